"""Sinks for what a run has to say: each is told of its start, of every iteration and of its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ppocore.config import PPOConfig

if TYPE_CHECKING:
    from ppocore.training.result import TrainResult


class RunStart(NamedTuple):
    """What is known before the first step."""

    env: str
    backend: str
    seed: int
    config: PPOConfig
    run_dir: Path | None
    steps: int = 0
    """Environment steps that a run which goes on had taken before."""


class Reporter(Protocol):
    """One sink.  ``metrics`` is the dict that becomes a line of ``metrics.jsonl``."""

    def begin(self, start: RunStart) -> None:
        """The run is about to begin."""

    def iteration(self, metrics: dict[str, Any]) -> None:
        """An iteration has been completed."""

    def close(self) -> None:
        """The loop has ended, well or not: release what is held."""

    def end(self, result: TrainResult) -> None:
        """The run has ended well, or by Ctrl-C."""
