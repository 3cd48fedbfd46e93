"""Record the episodes of environments, and restore environments by replaying them."""

from ppocore.envs.replay.action_log import ActionLog, Joined, are_possible, stored_dtype
from ppocore.envs.replay.episodes import Episodes
from ppocore.envs.replay.replaying import Replaying, ReplayRequest, ReplayResult, replay_one

__all__ = [
    "ActionLog",
    "Episodes",
    "Joined",
    "ReplayRequest",
    "ReplayResult",
    "Replaying",
    "are_possible",
    "replay_one",
    "stored_dtype",
]
