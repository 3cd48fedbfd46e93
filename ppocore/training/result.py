"""Define the result of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ppocore.policy import Policy


@dataclass(frozen=True)
class TrainResult:
    """Hold the result of a run.

    Attributes:
        policy: the trained policy, which acts with only NumPy.
        fingerprint: the SHA-256 over weights, moments and counters, which is equal for equal runs on every backend.
        rows: what ``history`` is read from, which takes little memory.
        run_dir: the run directory, or None.
        interrupted: whether Ctrl-C, SIGTERM or SIGHUP ended the run early.
        stop_reason: why a callback ended the run early, or None.
    """

    policy: Policy
    fingerprint: str
    rows: Sequence[dict[str, Any]] = field(repr=False)
    run_dir: Path | None
    env: str
    backend: str
    seed: int
    steps: int
    iterations: int
    episodes: int
    mean_return: float | None
    wall_seconds: float
    interrupted: bool = False
    stop_reason: str | None = None

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One dict of metrics per iteration, as in ``metrics.jsonl``."""
        return list(self.rows[: self.iterations])

    def summary(self) -> dict[str, Any]:
        """Summarize the run in one JSON object, as ``ppocore train --json`` prints it."""
        return {
            "env": self.env,
            "backend": self.backend,
            "seed": self.seed,
            "steps": self.steps,
            "iterations": self.iterations,
            "episodes": self.episodes,
            "mean_return": self.mean_return,
            "steps_per_second": round(self.steps / self.wall_seconds, 1) if self.wall_seconds else None,
            "wall_seconds": round(self.wall_seconds, 3),
            "fingerprint": self.fingerprint,
            "run_dir": None if self.run_dir is None else str(self.run_dir),
        }
