"""Record the episodes of environments, and restore environments by replaying them."""

from ppocore.envs.replay.episodes import ActionLog, Episodes
from ppocore.envs.replay.replaying import Replaying, ReplayRequest, ReplayResult, replay_one

__all__ = ["ActionLog", "Episodes", "ReplayRequest", "ReplayResult", "Replaying", "replay_one"]
