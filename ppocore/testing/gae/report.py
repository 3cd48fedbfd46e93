"""Report the results of `ppocore.testing.check_gae`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ppocore.testing.gae.candidate import Candidate, CandidateTimeout
from ppocore.testing.gae.choices import Choice
from ppocore.testing.gae.code import code_of
from ppocore.testing.gae.comparison import Mismatch
from ppocore.testing.gae.trajectories import Trajectory
from ppocore.testing.report import Report, text_of


@dataclass(frozen=True)
class GAEFailure:
    """Hold the smallest trajectory on which a property does not hold.

    Attributes:
        message: what is wrong, as a clause.
        trajectory: the arguments, as (T, N).
        code: Python code that calls the function with them, in its own signature and framework.
        expected, actual: advantages as text; empty if none were compared.
        has_advantages: whether the candidate returned valid advantages.
        too_slow: whether it exceeded its time limit.
    """

    message: str
    trajectory: Trajectory
    code: str
    expected: str = ""
    actual: str = ""
    has_advantages: bool = True
    too_slow: bool = False

    @classmethod
    def of(cls, mismatch: Mismatch, candidate: Candidate, function: Callable[..., Any]) -> GAEFailure:
        """Build it from the error of a property."""
        compared, of_returns = mismatch.expected is not None, not candidate.meaning.of_advantages
        values = mismatch.trajectory.values if of_returns else 0.0
        return cls(
            mismatch.message(of_returns=of_returns),
            mismatch.trajectory,
            code_of(candidate, mismatch.trajectory, function),
            text_of(mismatch.expected + values) if compared else "",
            text_of(mismatch.actual + values) if compared else "",
            has_advantages=mismatch.__cause__ is None,
            too_slow=isinstance(mismatch.__cause__, CandidateTimeout),
        )


@dataclass(frozen=True)
class GAEReport(Report):
    """Hold the results of `check_gae`; ``str(report)`` is a table, the smallest counterexample and the diagnosis.

    Attributes:
        truncation: convention for truncations.
        choice: what it looks like, if it is right under a choice that nobody declared; otherwise None.
    """

    choice: Choice | None = None
    truncation: str = "next_values"

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {**super().to_dict(), "truncation": self.truncation}
