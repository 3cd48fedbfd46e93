"""Many environments stepped at once, under one contract whatever Gymnasium's autoreset mode.

`make_environments` takes an environment id, a callable that makes an environment, or a vector environment
already built, and gives a `VectorEnvironments` whose `step` returns a `Step`.
"""

from __future__ import annotations

from ppocore.envs.base import Step, VectorEnvironments, episode_seed
from ppocore.envs.make import make_environments
from ppocore.envs.replay.episodes import Episodes
from ppocore.envs.spaces import action_space, observation_mapping, observation_space

__all__ = [
    "Episodes",
    "Step",
    "VectorEnvironments",
    "action_space",
    "episode_seed",
    "make_environments",
    "observation_mapping",
    "observation_space",
]
