"""Compare a candidate's advantages with the expected ones, up to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError, Outcome
from ppocore.testing.gae.frameworks import EPSILONS, TINIEST
from ppocore.testing.gae.oracle import magnitude
from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array


class Mismatch(AssertionError):
    """Report a trajectory on which a property does not hold.

    Attributes:
        trajectory: the candidate's arguments.
        expected, actual, allowed: the advantages that were compared, and by how much they may differ; None if none
            were.
    """

    def __init__(
        self, what: str, trajectory: Trajectory, expected: Any = None, actual: Any = None, allowed: Any = None
    ) -> None:
        super().__init__(what)
        self.what, self.trajectory = what, trajectory
        self.expected, self.actual, self.allowed = expected, actual, allowed

    def message(self, *, of_returns: bool = False) -> str:
        """Say what is wrong, as a clause; ``of_returns`` adds the values, for a function that returns returns."""
        if self.expected is None:
            return self.what
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(self.actual - self.expected) <= self.allowed) & self.trajectory.valid
        t, i = np.argwhere(wrong)[0].tolist()
        value = self.trajectory.values[t, i] if of_returns else 0.0
        found, right = self.actual[t, i] + value, self.expected[t, i] + value
        beside = ""
        if f"{found:.7g}" == f"{right:.7g}":
            beside = f", which differs by {abs(found - right):.2g}; rounding allows {self.allowed[t, i]:.2g}"
        what = self.what.replace("advantages", "returns") if of_returns else self.what
        return f"{what}: row {t} of column {i} is {found:.7g}, expected {right:.7g}{beside}"

    def __str__(self) -> str:
        return self.message()


class Inapplicable(Exception):
    """Report that a property cannot be checked on a trajectory; its message says why, if that is the candidate."""


def tolerance(candidate: Candidate, trajectory: Trajectory, precision: str, size: Array | None = None) -> Array:
    """Return the largest rounding error of each advantage, (T, N).

    A step of the recursion rounds at most eight times, with the rounding of gamma, lambda and their product among them,
    each in proportion to the sum of the magnitudes of the terms; the residual and the returns add sixteen more (Higham,
    *Accuracy and Stability of Numerical Algorithms*, section 3.1).

    Args:
        candidate: whose advantages they are; the error of a mean, by which they are normalized, spreads to all of them.
        trajectory: the arguments.
        precision: floating-point format that they are computed in.
        size: sum of the magnitudes of the terms; `size_of` the trajectory by default.
    """
    size = size_of(candidate, trajectory) if size is None else size
    if candidate.meaning.normalized:
        size = np.full_like(size, 4.0 * size.max(initial=0.0))
    length = len(trajectory.rewards)
    allowed: Array = EPSILONS[precision] * (16.0 + 4.0 * length) * size + TINIEST[precision]
    return allowed


def size_of(candidate: Candidate, trajectory: Trajectory) -> Array:
    """Return the sum of the magnitudes of all terms of each advantage, (T, N)."""
    # The advantage of V-trace has one lambda less in every term.
    return magnitude(trajectory._replace(lam=1.0) if candidate.meaning.estimator == "vtrace" else trajectory)


def outcome_of(candidate: Candidate, trajectory: Trajectory) -> Outcome:
    """Call the candidate, and report an error of its own as a mismatch on this trajectory."""
    try:
        return candidate(trajectory)
    except CandidateError as error:
        raise Mismatch(str(error), trajectory) from error


def require_close(what: str, trajectory: Trajectory, expected: Array, actual: Array, allowed: Array) -> None:
    """Raise `Mismatch` where advantages of valid rows differ by more than ``allowed``."""
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(actual - expected) <= allowed) & trajectory.valid
    if wrong.any():
        raise Mismatch(what, trajectory, expected, actual, np.broadcast_to(allowed, wrong.shape))
