"""Report the results of `ppocore.testing.check_gae`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.comparison import Mismatch
from ppocore.testing.gae.trajectories import Trajectory


@dataclass(frozen=True)
class GAEFailure:
    """Hold the smallest trajectory on which a property does not hold.

    Attributes:
        message: what is wrong, as a clause.
        trajectory: the candidate's arguments.
        code: Python code that calls the candidate with them.
        expected, actual: advantages as text; empty if none were compared.
        has_advantages: whether the candidate returned valid advantages.
    """

    message: str
    trajectory: Trajectory
    code: str
    expected: str = ""
    actual: str = ""
    has_advantages: bool = True

    @classmethod
    def of(cls, mismatch: Mismatch, candidate: Candidate) -> GAEFailure:
        """Build it from the error of a property."""
        trajectory = mismatch.trajectory
        compared = mismatch.expected is not None
        valid = ", valid=valid" if candidate.takes_valid else ""
        call = "rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam"
        lines = ["import numpy as np", "", trajectory.code(), f"{_short_name(candidate.name)}({call}{valid})"]
        if candidate.arrays != "numpy":
            lines.insert(3, f"# as {candidate.arrays} arrays:")
        return cls(
            mismatch.message,
            trajectory,
            "\n".join(lines),
            _format(mismatch.expected) if compared else "",
            _format(mismatch.actual) if compared else "",
            has_advantages=mismatch.__cause__ is None,
        )


@dataclass(frozen=True)
class GAEResult:
    """Hold the result of one property.

    Attributes:
        name: name of the property, a function in `ppocore.testing.gae.properties`.
        says: what it requires.
        examples: number of trajectories on which it held; None if it was not checked.
        reason: why it was not checked; empty if it was.
        failure: the smallest counterexample; None if it held.
    """

    name: str
    says: str
    examples: int | None
    reason: str = ""
    failure: GAEFailure | None = None

    @property
    def passed(self) -> bool | None:
        """Tell whether it held; None if it was not checked."""
        if self.failure is not None:
            return False
        return True if self.examples else None


@dataclass(frozen=True)
class Diagnosis:
    """Hold the known mistakes that give the candidate's numbers.

    Attributes:
        mistakes: name and description of each; empty if the candidate makes none of the known mistakes.
        attempted: whether there were advantages to compare.
    """

    mistakes: tuple[tuple[str, str], ...]
    attempted: bool = True

    def __str__(self) -> str:
        if not self.attempted:
            return "none: there are no advantages to compare"
        if not self.mistakes:
            return "none of the known ones"
        return "; or ".join(f"{name} ({says})" for name, says in self.mistakes)


@dataclass(frozen=True)
class GAEReport:
    """Hold the results of one candidate; ``str(report)`` is a table, the smallest counterexample and the diagnosis."""

    candidate: str
    arrays: str
    truncation: str
    seed: int
    max_examples: int
    results: tuple[GAEResult, ...]
    diagnosis: Diagnosis | None

    @property
    def passed(self) -> bool:
        """Tell whether no property failed."""
        return not self.failures

    @property
    def failures(self) -> list[GAEResult]:
        """Return the properties that failed, the most elementary first."""
        return [result for result in self.results if result.failure is not None]

    def raise_if_failed(self) -> None:
        """Raise the report as an error if a property failed.

        Raises:
            AssertionError: A property failed; the message is the whole report.
        """
        if not self.passed:
            raise AssertionError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {
            "candidate": self.candidate,
            "arrays": self.arrays,
            "truncation": self.truncation,
            "seed": self.seed,
            "max_examples": self.max_examples,
            "passed": self.passed,
            "diagnosis": None if self.diagnosis is None else [name for name, _ in self.diagnosis.mistakes],
            "properties": [
                {
                    "name": result.name,
                    "says": result.says,
                    "passed": result.passed,
                    "examples": result.examples or 0,
                    "not_checked": result.reason,
                    "failure": None
                    if result.failure is None
                    else {name: getattr(result.failure, name) for name in ("message", "code", "expected", "actual")},
                }
                for result in self.results
            ],
        }

    def __str__(self) -> str:
        lines = [f"{'property':<36}{'':<13}examples"]
        for result in self.results:
            verdict = {True: "passed", False: "FAILED", None: "not checked"}[result.passed]
            if result.reason:
                lines.append(f"{result.name:<36}{verdict}: {result.reason}")
            else:
                lines.append(f"{result.name:<36}{verdict:<13}{result.examples}")
        if self.failures:
            lines += ["", *self._explain(self.failures[0])]
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "no property failed"
        return "\n".join([*lines, "", f"{self.candidate}: {outcome}"])

    def _explain(self, result: GAEResult) -> list[str]:
        failure = result.failure
        assert failure is not None
        lines = [f"{result.name}: {result.says}", f"It does not hold here: {failure.message}.", "", failure.code]
        if failure.expected:
            lines += ["", f"expected {failure.expected}", f"actual   {failure.actual}"]
        return [*lines, "", f"Known mistake: {self.diagnosis}"]


def _short_name(name: str) -> str:
    """Return the last part of a qualified name, or ``candidate`` if that is not an identifier."""
    last = name.rpartition(".")[2]
    return last if last.isidentifier() else "candidate"


def _format(array: Any) -> str:
    return np.array2string(np.asarray(array), precision=6, separator=", ", threshold=60).replace("\n", "\n         ")
