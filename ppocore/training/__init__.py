"""The algorithm: collect a rollout, estimate advantages, update; it knows no files."""

from __future__ import annotations

from ppocore.training.buffer import RolloutBuffer
from ppocore.training.collector import Collector, CollectorSetup
from ppocore.training.local_collector import LocalCollector
from ppocore.training.rollout import Actor, Rollout
from ppocore.training.statistics import EpisodeStatistics

__all__ = [
    "Actor",
    "Collector",
    "CollectorSetup",
    "EpisodeStatistics",
    "LocalCollector",
    "Rollout",
    "RolloutBuffer",
]
