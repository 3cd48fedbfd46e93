"""When a run is saved, which of its files are kept, and which was the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppocore.errors import UsageError
from ppocore.files.atomic import write_atomically
from ppocore.files.names import BEST_FILE, run_file, run_files
from ppocore.runs.state import RunState

SECONDS = 60.0
"""A run is saved after the first iteration that ends so long after it was last saved, regular or not."""


@dataclass(frozen=True)
class Saving:
    """What is saved of a run, beside what it ends with.

    Attributes:
        every: iterations from one run file to the next, and a minute at most; 0 for none before the end.
        keep: how many of the newest are kept.
        evaluate_episodes: the best is told by that many evaluated episodes; 0: by the mean training return of the last
            100 episodes.
    """

    every: int = 50
    keep: int = 3
    evaluate_episodes: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("every", 0), ("keep", 1), ("evaluate_episodes", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                shown = {"every": "checkpoint_every"}.get(name, name)
                raise UsageError(f"{shown}={value!r} must be an integer, at least {least}")


class Checkpoints:
    """Writes the run files of a directory.

    Args:
        directory: of the run.
        saving: when, and how many.
        before: called before a file is written: makes durable what the file relies on.
        evaluate: the return by which the best is told, where that is not the training return.
        warn: told, in a sentence, of a file that could not be written.
    """

    def __init__(
        self,
        directory: Path,
        saving: Saving,
        *,
        before: Callable[[], None],
        evaluate: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._directory, self._saving = directory, saving
        self._before, self._evaluate, self._warn = before, evaluate, warn
        self.best: dict[str, Any] | None = None
        """The return of the best run file so far, and after how many steps it was."""
        self._saved: int | None = None  # the steps of the newest file
        self._failing = False
        self._when = time.monotonic()  # of the last attempt

    def go_on_from(self, state: RunState) -> None:
        """Take over what a run file says of the best; it may itself be the best, and not yet have been named so."""
        self.best, self._saved = state.description.get("best"), state.steps
        if self.best is not None and self.best["steps"] == state.steps:
            self._name_best(run_file(self._directory, state.steps))

    def offer(self, state: RunState, mean_return: float | None) -> None:
        """Save the run after an iteration, if it is time."""
        if self._is_time(state):
            self._save_regularly(state, mean_return)
        elif self._saving.every and time.monotonic() - self._when > SECONDS:
            self.save(state)  # the best is told at regular iterations alone, so that it does not depend on the time

    def stop(self, state: RunState, mean_return: float | None) -> bool:
        """Save a run that is not at its end; whether that went well.

        Where it would have been saved anyway, it is as it would have been, and so is the run that goes on.
        """
        if self._is_time(state) and self._saved != state.steps:
            self._save_regularly(state, mean_return)
        return self.save(state) is not None

    def _is_time(self, state: RunState) -> bool:
        return self._saving.every > 0 and state.iterations > 0 and state.iterations % self._saving.every == 0

    def end(self, state: RunState, mean_return: float | None) -> None:
        """Save a run that has come to its end, unless that has been done."""
        if self._saved != state.steps:
            self._save_regularly(state, mean_return)

    def _save_regularly(self, state: RunState, mean_return: float | None) -> None:
        figure = self._evaluate() if self._saving.evaluate_episodes else mean_return
        is_best = figure is not None and (self.best is None or figure > self.best["return"])
        if is_best:
            self.best = {"return": figure, "steps": state.steps}
        path = self.save(state)
        if is_best and path is not None:
            self._name_best(path)

    def _name_best(self, path: Path) -> None:
        try:
            # A copy, not a second name: whoever changes it in place would change the run file.
            write_atomically(self._directory / BEST_FILE, path.read_bytes())
        except OSError as error:
            self._warn(f"{BEST_FILE} could not be written ({error.strerror or error}): the run goes on")

    def save(self, state: RunState) -> Path | None:
        """Write the run file now; None where that failed, with a warning the first time; older ones stay."""
        path = run_file(self._directory, state.steps)
        if self._saved == state.steps:
            return path
        state.description["best"] = self.best
        self._when = time.monotonic()
        try:
            self._before()
            write_atomically(path, state.encode())
        except OSError as error:
            if not self._failing:
                kept = run_files(self._directory)
                newest = f"the newest whole one is {kept[-1].name}" if kept else "there is none yet"
                self._warn(
                    f"{path.name} could not be written ({error.strerror or error}): the run goes on, {newest}; free "
                    "space, and the next one will be written"
                )
            self._failing = True
            return None
        self._saved, self._failing = state.steps, False
        for older in run_files(self._directory)[: -self._saving.keep]:
            older.unlink(missing_ok=True)
        return path
