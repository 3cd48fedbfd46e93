"""Compare a candidate's advantages with the expected ones, up to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError, Outcome
from ppocore.testing.gae.oracle import magnitude
from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array


class Mismatch(AssertionError):
    """Report a trajectory on which a property does not hold.

    Attributes:
        trajectory: the candidate's arguments.
        expected, actual: the arrays that were compared; None if there were none.
    """

    def __init__(self, message: str, trajectory: Trajectory, expected: Any = None, actual: Any = None) -> None:
        super().__init__(message)
        self.message, self.trajectory = message, trajectory
        self.expected, self.actual = expected, actual


class Inapplicable(Exception):
    """Report that a property cannot be checked on a trajectory."""


def tolerance(trajectory: Trajectory, dtype: np.dtype[Any], size: Array | None = None) -> Array:
    """Return the largest rounding error of each advantage, (T, N): some units in the last place of the terms summed."""
    size = magnitude(trajectory) if size is None else size
    length = len(trajectory.rewards)
    allowed: Array = np.finfo(dtype).eps * (16.0 + 4.0 * length) * size + np.finfo(dtype).tiny
    return allowed


def outcome_of(candidate: Candidate, trajectory: Trajectory) -> Outcome:
    """Call the candidate, and report an error of its own as a mismatch on this trajectory."""
    try:
        return candidate(trajectory)
    except CandidateError as error:
        raise Mismatch(str(error), trajectory) from error


def advantages_of(candidate: Candidate, trajectory: Trajectory) -> Array:
    """Return the candidate's advantages."""
    return outcome_of(candidate, trajectory).advantages


def require_close(what: str, trajectory: Trajectory, expected: Array, actual: Array, allowed: Array) -> None:
    """Raise `Mismatch` where advantages of valid rows differ by more than ``allowed``."""
    wrong = (np.abs(actual - expected) > allowed) & trajectory.valid
    if wrong.any():
        t, i = np.argwhere(wrong)[0].tolist()
        raise Mismatch(
            f"{what}: row {t} of column {i} is {actual[t, i]:.7g}, expected {expected[t, i]:.7g}",
            trajectory,
            expected,
            actual,
        )
