"""What `check_gae` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.properties import Mismatch
from ppocore.testing.gae.trajectories import Trajectory


@dataclass(frozen=True)
class GAEFailure:
    """The smallest trajectory on which a property does not hold.

    Attributes:
        message: what is wrong, in a sentence.
        trajectory: what the candidate was called with.
        code: Python that makes it and calls the candidate, to paste.
        expected, actual: advantages as text; empty where none were compared.
        trajectory_matters: False where the candidate gave no advantages.
    """

    message: str
    trajectory: Trajectory
    code: str
    expected: str = ""
    actual: str = ""
    trajectory_matters: bool = True

    @classmethod
    def of(cls, mismatch: Mismatch, candidate: Candidate) -> GAEFailure:
        """From what was raised."""
        trajectory = mismatch.trajectory
        compared = mismatch.expected is not None
        valid = ", valid=valid" if candidate.takes_valid else ""
        call = "rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam"
        lines = ["import numpy as np", "", trajectory.code(), f"{_simple(candidate.name)}({call}{valid})"]
        if candidate.arrays != "numpy":
            lines.insert(3, f"# as {candidate.arrays} arrays:")
        return cls(
            mismatch.message,
            trajectory,
            "\n".join(lines),
            _shown(mismatch.expected) if compared else "",
            _shown(mismatch.actual) if compared else "",
            trajectory_matters=mismatch.__cause__ is None,
        )


@dataclass(frozen=True)
class GAEResult:
    """One property: on how many trajectories it held, or why it was not checked, or how it failed."""

    name: str
    says: str
    examples: int | None
    reason: str = ""
    failure: GAEFailure | None = None

    @property
    def passed(self) -> bool | None:
        """Whether it held; None where it was not checked."""
        if self.failure is not None:
            return False
        return True if self.examples else None


@dataclass(frozen=True)
class Diagnosis:
    """The known mistakes that give the candidate's numbers; none where it makes another."""

    mistakes: tuple[tuple[str, str], ...]
    asked: bool = True

    def __str__(self) -> str:
        if not self.asked:
            return "none: it gives no advantages to go by"
        if not self.mistakes:
            return "none of the known ones"
        return "; or ".join(f"{name} ({says})" for name, says in self.mistakes)


@dataclass(frozen=True)
class GAEReport:
    """Every property of one candidate; as text: a table, the smallest counterexample as code, and the diagnosis."""

    candidate: str
    arrays: str
    truncation: str
    seed: int
    max_examples: int
    results: tuple[GAEResult, ...]
    diagnosis: Diagnosis | None

    @property
    def passed(self) -> bool:
        """Whether no property failed."""
        return not self.failures

    @property
    def failures(self) -> list[GAEResult]:
        """The properties that failed, the most elementary first."""
        return [result for result in self.results if result.failure is not None]

    def raise_if_failed(self) -> None:
        """Do nothing if no property failed.

        Raises:
            AssertionError: with the whole report.
        """
        if not self.passed:
            raise AssertionError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
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
            held = f": {result.reason}" if result.reason else str(result.examples)
            lines.append(
                f"{result.name:<36}{verdict}{held}" if result.reason else f"{result.name:<36}{verdict:<13}{held}"
            )
        if self.failures:
            lines += ["", *self._explained(self.failures[0])]
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "no property failed"
        return "\n".join([*lines, "", f"{self.candidate}: {outcome}"])

    def _explained(self, result: GAEResult) -> list[str]:
        failure = result.failure
        assert failure is not None
        lines = [f"{result.name}: {result.says}", f"It does not hold here: {failure.message}.", "", failure.code]
        if failure.expected:
            lines += ["", f"expected {failure.expected}", f"actual   {failure.actual}"]
        return [*lines, "", f"Known mistake: {self.diagnosis}"]


def _simple(name: str) -> str:
    """The last part of a qualified name, where it can be called by it."""
    last = name.rpartition(".")[2]
    return last if last.isidentifier() else "candidate"


def _shown(array: Any) -> str:
    return np.array2string(np.asarray(array), precision=6, separator=", ", threshold=60).replace("\n", "\n         ")
