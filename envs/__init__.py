"""Many environments stepped at once, under one contract whatever Gymnasium's autoreset mode.

`make_environments` takes an environment id, a callable that makes an environment, or a vector environment
already built, and gives a `VectorEnvironments` whose `step` returns a `Step`.
"""

from __future__ import annotations

from .contract import Step, VectorEnvironments, episode_seed
from .episodes import Episodes
from .spaces import check_action_space, observation_mapping
from .vector import make_environments

__all__ = [
    "Episodes",
    "Step",
    "VectorEnvironments",
    "check_action_space",
    "episode_seed",
    "make_environments",
    "observation_mapping",
]
