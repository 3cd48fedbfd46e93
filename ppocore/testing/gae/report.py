"""Report the results of `ppocore.testing.check_gae`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.choices import Choice
from ppocore.testing.gae.code import code_of
from ppocore.testing.gae.comparison import Mismatch
from ppocore.testing.gae.trajectories import Trajectory


class UndeclaredChoice(AssertionError):
    """Report a function that is right if something is meant that nobody declared."""


@dataclass(frozen=True)
class GAEFailure:
    """Hold the smallest trajectory on which a property does not hold.

    Attributes:
        message: what is wrong, as a clause.
        trajectory: the arguments, as (T, N).
        code: Python code that calls the function with them, in its own signature and framework.
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
    def of(cls, mismatch: Mismatch, candidate: Candidate, function: Callable[..., Any]) -> GAEFailure:
        """Build it from the error of a property."""
        compared, of_returns = mismatch.expected is not None, not candidate.meaning.of_advantages
        values = mismatch.trajectory.values if of_returns else 0.0
        return cls(
            mismatch.message(of_returns=of_returns),
            mismatch.trajectory,
            code_of(candidate, mismatch.trajectory, function),
            _format(mismatch.expected + values) if compared else "",
            _format(mismatch.actual + values) if compared else "",
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
    """Hold what explains the candidate's numbers.

    Attributes:
        mistakes: name and description of each known mistake that it makes, all at once; empty if it makes none.
        attempted: whether there were advantages to compare.
        choices: for each mistake how to declare it where it is meant; empty if it cannot be.
    """

    mistakes: tuple[tuple[str, str], ...]
    attempted: bool = True
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.attempted:
            return "none: there are no results to compare"
        if not self.mistakes:
            return "none of the known ones"
        named = "; and ".join(f"{name} ({says})" for name, says in self.mistakes)
        advice = [
            f"Pass {choice}." if " if " in choice else f"If that is meant, pass {choice}."
            for choice in self.choices
            if choice
        ]
        return " ".join([named + ("." if advice else ""), *advice])


@dataclass(frozen=True)
class GAEReport:
    """Hold the results of one candidate; ``str(report)`` is a table, the smallest counterexample and the diagnosis.

    Attributes:
        candidate: name of the function.
        arrays: kind of its arrays.
        dtype: floating-point format of its arguments.
        precision: floating-point format that it was judged in, the coarsest that it computes in.
        truncation: convention for truncations.
        signature: what its signature was taken for, if that was guessed; otherwise empty.
        seed, max_examples: how trajectories were drawn.
        results: a result for each property.
        diagnosis: what explains a failure; None if nothing failed.
        choice: what it looks like, if it is right under a choice that nobody declared; otherwise None.
    """

    candidate: str
    arrays: str
    dtype: str
    precision: str
    truncation: str
    signature: str
    seed: int
    max_examples: int
    results: tuple[GAEResult, ...]
    diagnosis: Diagnosis | None
    choice: Choice | None = None

    @property
    def verdict(self) -> str:
        """Return ``passed``, ``failed``, or ``choice`` if it is right under a choice that nobody declared."""
        if self.failures:
            return "failed"
        return "passed" if self.choice is None else "choice"

    @property
    def passed(self) -> bool:
        """Tell whether no property failed, and nothing has to be declared for that."""
        return self.verdict == "passed"

    @property
    def failures(self) -> list[GAEResult]:
        """Return the properties that failed, the most elementary first."""
        return [result for result in self.results if result.failure is not None]

    def raise_if_failed(self) -> None:
        """Raise the report as an error unless it passed.

        Raises:
            UndeclaredChoice: it is right under a choice that nobody declared; an AssertionError.
            AssertionError: A property failed; the message is the whole report.
        """
        if self.verdict == "choice":
            raise UndeclaredChoice(str(self))
        if not self.passed:
            raise AssertionError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {
            "candidate": self.candidate,
            "arrays": self.arrays,
            "dtype": self.dtype,
            "precision": self.precision,
            "truncation": self.truncation,
            "signature": self.signature,
            "seed": self.seed,
            "max_examples": self.max_examples,
            "passed": self.passed,
            "verdict": self.verdict,
            "choice": None if self.choice is None else {"looks_like": self.choice.says, "pass": self.choice.declare},
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
        lines.append("")
        if self.signature:
            lines.append(f"Taken for {self.signature}.")
        if self.precision != self.dtype:
            lines.append(f"Judged in {self.precision}, which it computes in, not {self.dtype}.")
        if self.choice is not None:
            lines.append(f"This looks like a choice: {self.choice.says}. Pass {self.choice.declare} if it is meant.")
            if self.failures:
                lines.append("The properties were checked as if it were passed.")
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "no property failed"
        if self.verdict == "choice":
            outcome += " if that is declared"
        return "\n".join([*lines, f"{self.candidate}: {outcome}"])

    def _explain(self, result: GAEResult) -> list[str]:
        failure = result.failure
        assert failure is not None
        lines = [f"{result.name}: {result.says}", f"It does not hold here: {failure.message}.", "", failure.code]
        if failure.expected:
            lines += ["", f"expected {failure.expected}", f"actual   {failure.actual}"]
        return [*lines, "", f"Known mistake: {self.diagnosis}"]


def _format(array: Any) -> str:
    return np.array2string(np.asarray(array), precision=6, separator=", ", threshold=60).replace("\n", "\n         ")
