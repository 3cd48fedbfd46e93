"""Report what a check found: a result for each property, what explains a failure, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class UndeclaredChoice(AssertionError):
    """Report a function that is right if something is meant that nobody declared."""


@dataclass(frozen=True)
class Result:
    """Hold the result of one property.

    Attributes:
        name: name of the property.
        says: what it requires.
        examples: number of examples on which it held; None if it was not checked.
        reason: why it was not checked; empty if it was.
        failure: the smallest counterexample, with ``message``, ``code``, ``expected`` and ``actual``; None if it held.
    """

    name: str
    says: str
    examples: int | None
    reason: str = ""
    failure: Any = None

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
class Report:
    """Hold the results of one candidate; ``str(report)`` is a table, the smallest counterexample and the diagnosis.

    Attributes:
        candidate: name of the function.
        arrays: kind of its arrays.
        dtype: floating-point format of its arguments.
        precision: floating-point format that it was judged in, the coarsest that it computes in.
        signature: what it was taken for; empty if nothing had to be guessed.
        seed, max_examples: how examples were drawn.
        results: a result for each property.
        diagnosis: what explains a failure; None if nothing failed.
        choice: what it looks like and how to declare it, if it is right under a choice that nobody declared.
    """

    candidate: str
    arrays: str
    dtype: str
    precision: str
    signature: str
    seed: int
    max_examples: int
    results: tuple[Result, ...]
    diagnosis: Diagnosis | None = None
    choice: tuple[Any, ...] | None = None

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
    def failures(self) -> list[Result]:
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
        kept = ("candidate", "arrays", "dtype", "precision", "signature", "seed", "max_examples")
        return {
            **{name: getattr(self, name) for name in kept},
            "passed": self.passed,
            "verdict": self.verdict,
            "choice": None if self.choice is None else dict(zip(("looks_like", "pass"), self.choice[:2], strict=True)),
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
            detail = f"{verdict}: {result.reason}" if result.reason else f"{verdict:<13}{result.examples}"
            lines.append(f"{result.name:<36}{detail}")
        if self.failures:
            lines += ["", *self._explain(self.failures[0])]
        lines.append("")
        if self.signature:
            lines.append(f"Taken for {self.signature}.")
        if self.precision != self.dtype:
            lines.append(f"Judged in {self.precision}, which it computes in, not {self.dtype}.")
        if self.choice is not None:
            says, declare = self.choice[:2]
            lines.append(f"This looks like a choice: {says}. Pass {declare} if it is meant.")
            if self.failures:
                lines.append("The properties were checked as if it were passed.")
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "no property failed"
        if self.verdict == "choice":
            outcome += " if that is declared"
        return "\n".join([*lines, f"{self.candidate}: {outcome}"])

    def _explain(self, result: Result) -> list[str]:
        failure = result.failure
        assert failure is not None
        lines = [f"{result.name}: {result.says}", f"It does not hold here: {failure.message}.", "", failure.code]
        if failure.expected:
            lines += ["", f"expected {failure.expected}", f"actual   {failure.actual}"]
        return [*lines, "", f"Known mistake: {self.diagnosis}"]


def requirement_of(check: Callable[..., None]) -> str:
    """Return what a property requires, from the first line of its docstring."""
    return (check.__doc__ or "").strip().split("\n")[0].removeprefix("Require that ")


def text_of(array: Any) -> str:
    """Write a result, indented after its label."""
    return np.array2string(np.asarray(array), precision=6, separator=", ", threshold=60).replace("\n", "\n         ")
