"""Save a run while it goes on, and whatever ends it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from ppocore.errors import NonFiniteError, OutputError, RunError, warn
from ppocore.files import write_atomically
from ppocore.policy import Policy
from ppocore.runs.checkpoints import Checkpoints
from ppocore.runs.configuration import Saving
from ppocore.runs.directory import FAULT_FILE, RunDirectory
from ppocore.runs.replay import encode_bundle
from ppocore.training import Callback, Run, Snapshot


class Evaluation(Callback):
    """Evaluate the policy where a checkpoint is due, at most once after each iteration.

    Args:
        evaluate: gives a policy's mean return.
        every: iterations from one evaluation to the next; 0 for none before the end.
    """

    reads_infos = False

    def __init__(self, evaluate: Callable[[Policy], float], every: int) -> None:
        self._evaluate, self._every = evaluate, every
        self._last: tuple[int, float] | None = None  # after how many steps, and the mean return

    def on_iteration(self, run: Run) -> None:
        """Evaluate, if it is time."""
        if self._every and run.snapshot.iterations % self._every == 0:
            self.mean_return(run.snapshot)

    def mean_return(self, snapshot: Snapshot) -> float:
        """Return the mean return of a snapshot's policy."""
        if self._last is None or self._last[0] != snapshot.steps:
            assert snapshot.policy is not None  # snapshots of a run have theirs
            self._last = snapshot.steps, self._evaluate(snapshot.policy)
        return self._last[1]


class Saver(Callback):
    """Write checkpoints and the policy of a run.

    Args:
        directory: of the run, locked.
        saving: when the run is saved.
        durable: makes durable what a checkpoint relies on, before it is written.
        evaluation: by which the best is found; None: by the mean training return.
        resumed: the checkpoint that a resumed run began from.
    """

    reads_infos = False

    def __init__(
        self,
        directory: RunDirectory,
        saving: Saving,
        *,
        durable: Callable[[], None],
        evaluation: Evaluation | None = None,
        resumed: Snapshot | None = None,
    ) -> None:
        self._directory = directory

        def figure(snapshot: Snapshot) -> float | None:
            return snapshot.mean_return if evaluation is None else evaluation.mean_return(snapshot)

        self._checkpoints = Checkpoints(directory.path, saving, before=durable, figure=figure)
        if resumed is not None:
            self._checkpoints.resume_from(resumed)

    def on_iteration(self, run: Run) -> None:
        """Save the run, if a checkpoint is due."""
        self._checkpoints.offer(run.snapshot)

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Save the last whole iteration, and say how to resume after an error.

        Raises:
            OutputError: the run went well, and its policy cannot be written.
        """
        if error is None and run.complete:
            self._checkpoints.end(run.snapshot)
            self._write_policy(run.policy)
        elif error is None or isinstance(error, KeyboardInterrupt):
            self._checkpoints.stop(run.snapshot)
            self._write_policy(run.policy)
        elif not isinstance(error, OutputError):
            explain(error, self._save_after(run, error))

    def _save_after(self, run: Run, error: BaseException) -> str:
        """Save all that is known after an error; return what to say of it."""
        path, snapshot = self._directory.path, run.snapshot
        saved = self._checkpoints.stop(snapshot)
        said = [f"the run after {snapshot.steps} steps is saved in {path}" if saved else "the run could not be saved"]
        try:
            self._directory.write_policy(run.policy)
            write_atomically(path / FAULT_FILE, "".join(traceback.format_exception(error)).encode())
            said.append(f"the traceback in its {FAULT_FILE}")
        except OSError as problem:
            said.append(f"writing there failed ({problem.strerror or problem})")
        bundle = self._write_bundle(error)
        if bundle:
            said.append(f"the failed update in its {bundle}, to be examined with: ppocore replay {path / bundle}")
        if isinstance(error, NonFiniteError):
            advice = "resumed with the same settings it would fail again: lower the learning rate and train anew"
        else:
            advice = f"fix the cause and resume with: ppocore resume {path}"
        return f"{', '.join(said)}; {advice}"

    def _write_bundle(self, error: BaseException) -> str | None:
        failed = error.failed_update if isinstance(error, NonFiniteError) else None
        if failed is None:
            return None
        name = f"non-finite-{failed.update}.safetensors"
        try:
            write_atomically(self._directory.path / name, encode_bundle(failed))
        except OSError as problem:
            warn(f"{name} could not be written ({problem.strerror or problem})")
            return None
        return name

    def _write_policy(self, policy: Policy) -> None:
        try:
            self._directory.write_policy(policy)
        except OSError as error:
            path = self._directory.path
            raise OutputError(
                f"the policy could not be written to {path} ({error.strerror or error}): free space and resume with: "
                f"ppocore resume {path}"
            ) from error


def explain(error: BaseException, what: str) -> None:
    """Say with an error what was saved: in its own sentence where that is ours, else in a note beside it."""
    if isinstance(error, RunError):
        error.args = (f"{error}; {what}",)
    else:
        error.add_note(what)
