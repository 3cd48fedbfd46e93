"""What a reporter is, and the callback that drops one that fails."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ppocore.config import PPOConfig
from ppocore.errors import UsageError, warn
from ppocore.training import Callback, Run, TrainResult


class RunStart(NamedTuple):
    """What is known before the first step."""

    env: str
    backend: str
    seed: int
    config: PPOConfig
    run_dir: Path | None
    steps: int = 0
    """Environment steps that a resumed run had taken before."""


class Reporter(Protocol):
    """Shows or sends on what a run has to say. ``metrics`` is the dict that becomes a line of ``metrics.jsonl``."""

    def begin(self, start: RunStart) -> None:
        """Be told that the run is about to begin."""

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Be told that an iteration has been completed."""

    def close(self) -> None:
        """Release what is held: the run has ended, well or not."""

    def end(self, result: TrainResult) -> None:
        """Be told that the run has ended well, by a callback's wish, or by Ctrl-C."""


METHODS = ("begin", "iteration", "close", "end")


class ReporterCallback(Callback):
    """Passes a run on to a reporter, which is dropped with one warning where it raises."""

    reads_infos = False

    def __init__(self, reporter: Reporter) -> None:
        self._reporter: Reporter | None = reporter

    def on_start(self, run: Run) -> None:
        """Say what is about to run."""
        self._call("begin", RunStart(run.env, run.backend, run.seed, run.config, run.run_dir, run.start_steps))

    def on_iteration(self, run: Run) -> None:
        """Pass on the metrics."""
        self._call("iteration", run.metrics)

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Close the reporter, and pass on the result where there is one."""
        self._call("close")
        if run.result is not None and (error is None or isinstance(error, KeyboardInterrupt)):
            self._call("end", run.result)

    def _call(self, method: str, *arguments: Any) -> None:
        if self._reporter is None:
            return
        try:
            getattr(self._reporter, method)(*arguments)
        except Exception as error:
            name = type(self._reporter).__name__
            reason = " ".join(str(error).split())
            warn(
                f"reporter {name} failed in {method} ({type(error).__name__}: {reason}) and is left out from now on: "
                "the run goes on"
            )
            self._drop(method)

    def _drop(self, method: str) -> None:
        reporter, self._reporter = self._reporter, None
        if method not in ("close", "end"):
            try:
                assert reporter is not None
                reporter.close()
            except Exception:  # the warning has been given
                pass


def reporter_callbacks(reporters: Iterable[Any]) -> list[Callback]:
    """Return a callback for every reporter.

    Raises:
        UsageError: not a list, or something that lacks a reporter's methods.
    """
    if callable(reporters) or not isinstance(reporters, Iterable):
        raise UsageError(f"reporters={reporters!r} must be a list of reporters: put it into one")
    found: list[Callback] = []
    for reporter in reporters:
        if isinstance(reporter, type):
            raise UsageError(f"reporter {reporter.__name__} is a class: give an instance, {reporter.__name__}()")
        missing = [name for name in METHODS if not callable(getattr(reporter, name, None))]
        if missing:
            hint = "; a function belongs in callbacks=" if callable(reporter) else ""
            raise UsageError(
                f"reporter {reporter!r} has no method {missing[0]}: see ppocore.reporting.Reporter for all four{hint}"
            )
        found.append(ReporterCallback(reporter))
    return found
