"""Write the checkpoints of a run: decide when, which to keep, and which is the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ppocore.errors import warn
from ppocore.files import BEST_FILE, run_file, run_files, write_atomically
from ppocore.runs.checkpoint_file import encode_checkpoint
from ppocore.runs.configuration import Saving
from ppocore.training import Snapshot

SECONDS = 60.0
"""Longest time without a checkpoint: the next iteration then writes one even if none is due."""


class Checkpoints:
    """Write the checkpoints of a run directory.

    Args:
        directory: the run directory.
        saving: when to save, and how many checkpoints to keep.
        sync: flushes the files that a checkpoint depends on; called before each one is written.
        score: gives the return by which checkpoints are ranked, or None if there is none yet.
    """

    def __init__(
        self,
        directory: Path,
        saving: Saving,
        *,
        sync: Callable[[], None],
        score: Callable[[Snapshot], float | None],
    ) -> None:
        self._directory, self._saving, self._sync, self._score = directory, saving, sync, score
        self.best: dict[str, Any] | None = None
        """The return and the step count of the best checkpoint so far."""
        self._saved: int | None = None  # the step count of the newest checkpoint
        self._failing = False
        self._last_attempt = time.monotonic()

    def resume_from(self, snapshot: Snapshot) -> None:
        """Restore the best so far from a checkpoint, and copy that checkpoint if it is the best and has no copy yet."""
        self.best, self._saved = snapshot.description.get("best"), snapshot.steps
        if self.best is not None and self.best["steps"] == snapshot.steps:
            self._copy_as_best(run_file(self._directory, snapshot.steps))

    def offer(self, snapshot: Snapshot) -> None:
        """Save the run after an iteration, if a checkpoint is due."""
        if self.is_due(snapshot):
            self.save_and_rank(snapshot)
        elif self._saving.every and time.monotonic() - self._last_attempt > SECONDS:
            self.save(snapshot)  # only due checkpoints are ranked, so that the best does not depend on timing

    def stop(self, snapshot: Snapshot) -> bool:
        """Save a run that was stopped early; return whether it could be saved.

        A checkpoint that was due is ranked, so that the resumed run equals one that was not stopped.
        """
        if self.is_due(snapshot) and self._saved != snapshot.steps:
            try:
                self.save_and_rank(snapshot)
            except Exception as error:  # save the run even if its evaluation fails
                warn(f"the policy after {snapshot.steps} steps could not be evaluated ({error}): it is saved unranked")
        return self.save(snapshot) is not None

    def is_due(self, snapshot: Snapshot) -> bool:
        """Return whether a checkpoint is due after this iteration."""
        every, done = self._saving.every, snapshot.iterations
        return every > 0 and done > 0 and done % every == 0

    def end(self, snapshot: Snapshot) -> None:
        """Save a run that is complete, unless it is already saved."""
        if self._saved != snapshot.steps:
            self.save_and_rank(snapshot)

    def save_and_rank(self, snapshot: Snapshot) -> None:
        """Save the run, and copy the checkpoint if it is the best so far."""
        score = self._score(snapshot)
        is_best = score is not None and (self.best is None or score > self.best["return"])
        if is_best:
            self.best = {"return": score, "steps": snapshot.steps}
        path = self.save(snapshot)
        if is_best and path is not None:
            self._copy_as_best(path)

    def _copy_as_best(self, path: Path) -> None:
        try:
            # A copy and not a hard link, so that changing it in place leaves the checkpoint unchanged.
            write_atomically(self._directory / BEST_FILE, path.read_bytes())
        except OSError as error:
            warn(f"{BEST_FILE} could not be written ({error.strerror or error}): the run continues")

    def save(self, snapshot: Snapshot) -> Path | None:
        """Write a checkpoint and delete old ones; return its path, or None with one warning if it cannot be written."""
        path = run_file(self._directory, snapshot.steps)
        if self._saved == snapshot.steps:
            return path
        snapshot.description["best"] = self.best
        self._last_attempt = time.monotonic()
        try:
            self._sync()
            write_atomically(path, encode_checkpoint(snapshot))
        except OSError as error:
            if not self._failing:
                kept = run_files(self._directory)
                newest = f"its newest checkpoint is {kept[-1].name}" if kept else "it has no checkpoint yet"
                warn(
                    f"{path.name} could not be written ({error.strerror or error}): the run continues, {newest}; free "
                    "space so that the next one can be written"
                )
            self._failing = True
            return None
        self._saved, self._failing = snapshot.steps, False
        for older in run_files(self._directory)[: -self._saving.keep]:
            with suppress(OSError):  # it is kept then
                older.unlink()
        return path
