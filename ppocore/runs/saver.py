"""Save a run while it is in progress and when it ends, for whatever reason."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from ppocore.errors import NonFiniteError, OutputError, RunError, warn
from ppocore.files import write_atomically
from ppocore.policy import Policy
from ppocore.runs.checkpoints import Checkpoints
from ppocore.runs.configuration import Saving
from ppocore.runs.directory import FAULT_FILE, RunDirectory
from ppocore.runs.failed_updates import encode_bundle
from ppocore.training import Callback, Run, Snapshot


class Evaluation(Callback):
    """Evaluate the policy whenever a checkpoint is due, at most once per iteration.

    Args:
        evaluate: returns a policy's mean return.
        every: iterations between evaluations; 0 for none before the end.
    """

    reads_infos = False

    def __init__(self, evaluate: Callable[[Policy], float], every: int) -> None:
        self._evaluate, self._every = evaluate, every
        self._last: tuple[int, float] | None = None  # (steps, mean return)

    def on_iteration(self, run: Run) -> None:
        """Evaluate the policy if an evaluation is due."""
        if self._every and run.snapshot.iterations % self._every == 0:
            self.mean_return(run.snapshot)

    def mean_return(self, snapshot: Snapshot) -> float:
        """Return the mean return of a snapshot's policy."""
        if self._last is None or self._last[0] != snapshot.steps:
            assert snapshot.policy is not None  # snapshots of a running run have one
            self._last = snapshot.steps, self._evaluate(snapshot.policy)
        return self._last[1]


class Saver(Callback):
    """Write the checkpoints and the policy of a run.

    Args:
        directory: the locked directory of the run.
        saving: when the run is saved.
        sync: flushes the files that a checkpoint depends on.
        evaluation: ranks checkpoints; None to rank them by the mean training return.
        resumed: the checkpoint that the run was resumed from.
    """

    reads_infos = False

    def __init__(
        self,
        directory: RunDirectory,
        saving: Saving,
        *,
        sync: Callable[[], None],
        evaluation: Evaluation | None = None,
        resumed: Snapshot | None = None,
    ) -> None:
        self._directory = directory

        def score(snapshot: Snapshot) -> float | None:
            return snapshot.mean_return if evaluation is None else evaluation.mean_return(snapshot)

        def prepare() -> None:
            directory.ensure()
            sync()

        self._checkpoints = Checkpoints(directory.location, saving, sync=prepare, score=score)
        self._warned = False
        if resumed is not None:
            self._checkpoints.resume_from(resumed)

    def on_iteration(self, run: Run) -> None:
        """Save the run if a checkpoint is due, and warn once of an episode that is too long to be resumed exactly."""
        if not self._warned and (long := run.snapshot.not_replayable):
            self._warned = True
            length = int(run.snapshot.environments["lengths"][long[0]])
            warn(
                f"the episode of environment {long[0]} is {length} steps long and its actions are not kept any more: "
                "until it ends the run cannot be resumed exactly, only with restart_episodes=True; "
                "give the environment a time limit, max_episode_steps=, to avoid this"
            )
        self._checkpoints.offer(run.snapshot)

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Save the run after its last complete iteration, and add to an error how to resume.

        Raises:
            OutputError: the run succeeded, but its policy cannot be written.
        """
        if error is None and run.complete:
            self._checkpoints.end(run.snapshot)
            self._write_policy(run.policy)
        elif error is None or isinstance(error, KeyboardInterrupt):
            self._checkpoints.stop(run.snapshot)
            self._write_policy(run.policy)
        elif not isinstance(error, OutputError):
            add_explanation(error, self._save_after(run, error))

    def _save_after(self, run: Run, error: BaseException) -> str:
        """Save the run, the traceback and a failed update after an error; return a description of what was saved."""
        path, snapshot = self._directory.path, run.snapshot
        saved = self._checkpoints.stop(snapshot)
        parts = [f"the run after {snapshot.steps} steps is saved in {path}" if saved else "the run could not be saved"]
        try:
            self._directory.write_policy(run.policy)
            write_atomically(self._directory.location / FAULT_FILE, "".join(traceback.format_exception(error)).encode())
            parts.append(f"the traceback in its {FAULT_FILE}")
        except OSError as problem:
            parts.append(f"writing there failed ({problem.strerror or problem})")
        bundle = self._write_bundle(error)
        if bundle:
            parts.append(f"the failed update in its {bundle}, to be examined with: ppocore replay {path / bundle}")
        if isinstance(error, NonFiniteError):
            advice = "resumed with the same settings it would fail again: lower the learning rate and train a new run"
        else:
            advice = f"fix the cause and resume with: {self._directory.how_to_resume}"
        return f"{', '.join(parts)}; {advice}"

    def _write_bundle(self, error: BaseException) -> str | None:
        failed = error.failed_update if isinstance(error, NonFiniteError) else None
        if failed is None:
            return None
        name = f"non-finite-{failed.update}.safetensors"
        try:
            write_atomically(self._directory.location / name, encode_bundle(failed))
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
                f"{self._directory.how_to_resume}"
            ) from error


def add_explanation(error: BaseException, explanation: str) -> None:
    """Append an explanation to the message of a `RunError`, and add it as a note to any other exception."""
    if isinstance(error, RunError):
        error.args = (f"{error}; {explanation}",)
    else:
        error.add_note(explanation)
