"""Step many environments at once, under one contract for all of Gymnasium's autoreset modes.

`make_environments` takes an environment id, a callable that makes an environment, or a vector environment, and returns
a `VectorEnvironments` whose ``step`` returns a `Step`.
"""

from __future__ import annotations

from ppocore.envs.base import Step, VectorEnvironments, episode_seed
from ppocore.envs.make import make_environments
from ppocore.envs.replay import Episodes
from ppocore.envs.spaces import action_space, observation_mapping, observation_space
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.envs.wrappers import made_with, read_arguments, read_wrappers

__all__ = [
    "Episodes",
    "Step",
    "VectorEnvironments",
    "WorkerVectorEnv",
    "action_space",
    "episode_seed",
    "made_with",
    "make_environments",
    "observation_mapping",
    "observation_space",
    "read_arguments",
    "read_wrappers",
]
