"""Implement the algorithm: collect a rollout, estimate advantages, update, report. It reads and writes no files."""

from ppocore.training.buffer import RolloutBuffer
from ppocore.training.callbacks import Callback, Progress, Run, as_callbacks
from ppocore.training.collector import Collector, CollectorSetup, check_collector
from ppocore.training.failed_update import FailedUpdate
from ppocore.training.fingerprint import fingerprint
from ppocore.training.local_collector import LocalCollector
from ppocore.training.memory import check_memory
from ppocore.training.result import TrainResult
from ppocore.training.rollout import Actor, Rollout
from ppocore.training.runtime import Runtime
from ppocore.training.snapshot import Snapshot
from ppocore.training.statistics import EpisodeStatistics
from ppocore.training.trainer import Trainer

__all__ = [
    "Actor",
    "Callback",
    "Collector",
    "CollectorSetup",
    "EpisodeStatistics",
    "FailedUpdate",
    "LocalCollector",
    "Progress",
    "Rollout",
    "RolloutBuffer",
    "Run",
    "Runtime",
    "Snapshot",
    "TrainResult",
    "Trainer",
    "as_callbacks",
    "check_collector",
    "check_memory",
    "fingerprint",
]
