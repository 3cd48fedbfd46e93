"""Define the interface of a reporter, and the callback that drops one that fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ppocore.config import PPOConfig
from ppocore.errors import UsageError, warn
from ppocore.training import Callback, Run, TrainResult


class RunStart(NamedTuple):
    """Describe a run before its first step."""

    env: str
    backend: str
    seed: int
    config: PPOConfig
    run_dir: Path | None
    steps: int = 0
    """Environment steps before the run was resumed."""
    preset: str = ""
    """Which preset applies, or that none does; empty for a run that is resumed."""
    given: Mapping[str, Any] = MappingProxyType({})
    """The settings that were given one by one."""


class Reporter(Protocol):
    """Report the progress of a run, for example on the console or to a service."""

    def begin(self, start: RunStart) -> None:
        """Report the start of the run."""

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Report a completed iteration; ``metrics`` is its line of ``metrics.jsonl``."""

    def close(self) -> None:
        """Release resources; called whenever the run ends, also after an error."""

    def end(self, result: TrainResult) -> None:
        """Report the result of a run that was completed, or stopped by a callback or Ctrl-C; called after `close`."""


METHODS = ("begin", "iteration", "close", "end")


class ReporterCallback(Callback):
    """Call a reporter, and drop it with one warning if it raises."""

    reads_infos = False

    def __init__(self, reporter: Reporter, preset: str = "", given: Mapping[str, Any] | None = None) -> None:
        self._reporter: Reporter | None = reporter
        self._preset, self._given = preset, MappingProxyType(dict(given or {}))

    def on_start(self, run: Run) -> None:
        """Report the start of the run."""
        about = run.env, run.backend, run.seed, run.config, run.run_dir, run.start_steps
        self._call("begin", RunStart(*about, self._preset, self._given))

    def on_iteration(self, run: Run) -> None:
        """Report the metrics."""
        self._call("iteration", run.metrics)

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Close the reporter, and report the result if there is one."""
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
                f"reporter {name} failed in {method} ({type(error).__name__}: {reason}) and is dropped: the run "
                "continues"
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


def reporter_callbacks(
    reporters: Iterable[Any], preset: str = "", given: Mapping[str, Any] | None = None
) -> list[Callback]:
    """Return a callback for every reporter.

    Args:
        reporters: the reporters.
        preset: which preset applies, as `RunStart` has it.
        given: the settings that were given one by one.

    Raises:
        UsageError: not a list, or an object that lacks a reporter's methods.
    """
    if callable(reporters) and not isinstance(reporters, type) and not hasattr(reporters, METHODS[0]):
        raise UsageError(f"reporters={reporters!r} must be a list of reporters; a function belongs in callbacks=[...]")
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
        found.append(ReporterCallback(reporter, preset, given))
    return found
