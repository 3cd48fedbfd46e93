"""Checkpoints of a run: when they are written, which are kept, and which is the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppocore.errors import warn
from ppocore.files import BEST_FILE, run_file, run_files, write_atomically
from ppocore.runs.configuration import Saving
from ppocore.runs.state import encode_checkpoint
from ppocore.training import Snapshot

SECONDS = 60.0
"""A checkpoint is written after the first iteration that ends so long after the last one, due or not."""


class Checkpoints:
    """Write the checkpoints of a run directory.

    Args:
        directory: of the run.
        saving: when, and how many.
        before: called before a file is written: makes durable what the file relies on.
        figure: the return by which the best is found; None before there is one.
    """

    def __init__(
        self,
        directory: Path,
        saving: Saving,
        *,
        before: Callable[[], None],
        figure: Callable[[Snapshot], float | None],
    ) -> None:
        self._directory, self._saving, self._before, self._figure = directory, saving, before, figure
        self.best: dict[str, Any] | None = None
        """The return of the best checkpoint so far, and after how many steps it was."""
        self._saved: int | None = None  # the steps of the newest file
        self._failing = False
        self._when = time.monotonic()  # of the last attempt

    def resume_from(self, snapshot: Snapshot) -> None:
        """Take over what a checkpoint says of the best; it may itself be the best, and not yet copied as such."""
        self.best, self._saved = snapshot.description.get("best"), snapshot.steps
        if self.best is not None and self.best["steps"] == snapshot.steps:
            self._copy_as_best(run_file(self._directory, snapshot.steps))

    def offer(self, snapshot: Snapshot) -> None:
        """Save the run after an iteration, if a checkpoint is due."""
        if self.is_due(snapshot):
            self.save_and_rank(snapshot)
        elif self._saving.every and time.monotonic() - self._when > SECONDS:
            self.save(snapshot)  # only due checkpoints are ranked, so that the best does not depend on the time

    def stop(self, snapshot: Snapshot) -> bool:
        """Save a run that is not at its end; return whether that went well.

        A checkpoint that was due is ranked as it would have been, so that the resumed run is the undisturbed one.
        """
        if self.is_due(snapshot) and self._saved != snapshot.steps:
            try:
                self.save_and_rank(snapshot)
            except Exception as error:  # an evaluation that fails must not keep the run from being saved
                warn(f"the policy after {snapshot.steps} steps could not be evaluated ({error}): it is saved unranked")
        return self.save(snapshot) is not None

    def is_due(self, snapshot: Snapshot) -> bool:
        """Whether a checkpoint is due after this many iterations."""
        every, done = self._saving.every, snapshot.iterations
        return every > 0 and done > 0 and done % every == 0

    def end(self, snapshot: Snapshot) -> None:
        """Save a run that has come to its end, unless that has been done."""
        if self._saved != snapshot.steps:
            self.save_and_rank(snapshot)

    def save_and_rank(self, snapshot: Snapshot) -> None:
        """Save the run, and copy the checkpoint as the best where it is."""
        figure = self._figure(snapshot)
        is_best = figure is not None and (self.best is None or figure > self.best["return"])
        if is_best:
            self.best = {"return": figure, "steps": snapshot.steps}
        path = self.save(snapshot)
        if is_best and path is not None:
            self._copy_as_best(path)

    def _copy_as_best(self, path: Path) -> None:
        try:
            # A copy, not a second name: whoever changes it in place would change the run file.
            write_atomically(self._directory / BEST_FILE, path.read_bytes())
        except OSError as error:
            warn(f"{BEST_FILE} could not be written ({error.strerror or error}): the run goes on")

    def save(self, snapshot: Snapshot) -> Path | None:
        """Write a checkpoint now; None where that failed, with a warning the first time; older ones stay."""
        path = run_file(self._directory, snapshot.steps)
        if self._saved == snapshot.steps:
            return path
        snapshot.description["best"] = self.best
        self._when = time.monotonic()
        try:
            self._before()
            write_atomically(path, encode_checkpoint(snapshot))
        except OSError as error:
            if not self._failing:
                kept = run_files(self._directory)
                newest = f"the newest whole one is {kept[-1].name}" if kept else "there is none yet"
                warn(
                    f"{path.name} could not be written ({error.strerror or error}): the run goes on, {newest}; free "
                    "space, and the next one will be written"
                )
            self._failing = True
            return None
        self._saved, self._failing = snapshot.steps, False
        for older in run_files(self._directory)[: -self._saving.keep]:
            older.unlink(missing_ok=True)
        return path
