"""What a run writes while it goes on, and whatever ends it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from ppocore.errors import NonFiniteError, OutputError, RunError, RunWarning
from ppocore.files.atomic import write_atomically
from ppocore.policy import Policy
from ppocore.reporting.jsonl import MetricsFile, keep_lines
from ppocore.runs.checkpoints import Checkpoints, Saving
from ppocore.runs.directory import FAULT_FILE, RunDirectory
from ppocore.runs.state import RunState


def warn(sentence: str) -> None:
    """Say what did not end the run."""
    warnings.warn(sentence, RunWarning, stacklevel=3)


class Whole(NamedTuple):
    """A run after a whole iteration: what a file holds of it, its policy, and its mean return of late."""

    state: RunState
    policy: Policy
    mean_return: float | None


class RunOutput:
    """The files of one run; `metrics` is one of its reporters.

    Args:
        directory: locked.
        saving: when the run is saved.
        evaluate: the return of the policy as it is, for ``saving.evaluate_episodes``.
        state: of a run that goes on, what its run file held.
    """

    def __init__(
        self,
        directory: RunDirectory,
        saving: Saving,
        evaluate: Callable[[], float],
        state: RunState | None = None,
    ) -> None:
        self.directory = directory
        self.metrics = MetricsFile(directory.metrics_path, warn)
        self._checkpoints = Checkpoints(directory.path, saving, before=self.metrics.sync, evaluate=evaluate, warn=warn)
        if state is not None:
            self._checkpoints.go_on_from(state)

    def after_iteration(self, whole: Whole) -> None:
        """Save the run, if it is time."""
        self._checkpoints.offer(whole.state, whole.mean_return)

    def finished(self, whole: Whole) -> None:
        """Save a run that has come to its end.

        Raises:
            OutputError: the policy cannot be written.
        """
        self._checkpoints.end(whole.state, whole.mean_return)
        self._write_policy(whole.policy)

    def stopped(self, whole: Whole, history: list[dict[str, Any]]) -> None:
        """Save the last whole iteration of a run that was asked to stop.

        Raises:
            OutputError: the policy cannot be written.
        """
        self._save_whole(whole, history)
        self._write_policy(whole.policy)

    def failed(self, whole: Whole, history: list[dict[str, Any]], error: RunError) -> str:
        """Save the last whole iteration, and all that is known of the error; what to tell the user of it."""
        path = self.directory.path
        saved = self._save_whole(whole, history)
        told = [
            f"the run as it was after {whole.state.steps} steps is saved in {path}"
            if saved
            else "it could not be saved"
        ]
        try:
            self.directory.write_policy(whole.policy)
            text = "".join(traceback.format_exception(error))
            write_atomically(path / FAULT_FILE, text.encode())
            told.append(f"the traceback in {FAULT_FILE} there")
        except OSError as problem:
            told.append(f"writing there failed ({problem.strerror or problem})")
        bundle = self._write_bundle(error)
        if bundle:
            told.append(f"what led to it in {bundle}, see ppocore replay {path / bundle}")
        if isinstance(error, NonFiniteError):
            advice = (
                "continued with the same settings it would come to the same: lower the learning rate and train anew"
            )
        else:
            advice = f"mend the cause and go on with: ppocore resume {path}"
        return f"{', '.join(told)}; {advice}"

    def _write_bundle(self, error: RunError) -> str | None:
        bundle = getattr(error, "bundle", None)
        if bundle is None:
            return None
        name = f"non-finite-{bundle.update}.safetensors"
        try:
            write_atomically(self.directory.path / name, bundle.encode())
        except OSError as problem:
            warn(f"{name} could not be written ({problem.strerror or problem})")
            return None
        return name

    def _save_whole(self, whole: Whole, history: list[dict[str, Any]]) -> bool:
        """Save the run, and leave in the metrics what it has."""
        saved = self._checkpoints.stop(whole.state, whole.mean_return)
        self.metrics.close()
        try:
            keep_lines(self.directory.metrics_path, whole.state.iterations, history)
        except OSError as error:
            warn(f"{self.directory.metrics_path.name} could not be written ({error.strerror or error})")
        return saved

    def _write_policy(self, policy: Policy) -> None:
        try:
            self.directory.write_policy(policy)
        except OSError as error:
            path = self.directory.path
            raise OutputError(
                f"the policy could not be written to {path} ({error.strerror or error}): free space and go on with: "
                f"ppocore resume {path}"
            ) from error
