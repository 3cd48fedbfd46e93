"""Put the verdict of ``ppocore.testing`` beside an independent one, for each function that was read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

import ppocore.testing
from ppocore.errors import UsageError

from .independent import Verdict, judge
from .independent_vtrace import judge_vtrace
from .read.entry import CALLERS, Read


@dataclass(frozen=True)
class Row:
    """Hold both verdicts on one function, called in one way.

    Attributes:
        entry: the function.
        caller: key of `CALLERS`.
        how: ``own signature``, or ``called`` where no adapter says what it takes.
        independent: the verdict of `independent.judge`.
        kit: ``passed``, ``failed`` or ``choice``.
        mistakes: what the kit calls it.
        report: the kit's report.
    """

    entry: Read
    caller: str
    how: str
    independent: Verdict
    kit: str
    mistakes: str
    report: Any

    @property
    def agree(self) -> bool:
        """Tell whether both find it right, or both do not."""
        return self.independent.right == (self.kit == "passed")

    def cells(self) -> list[str]:
        """Return what a table shows."""
        called = "alone" if self.caller == self.entry.contract else "as trained"
        mistakes = self.mistakes or ("" if self.kit == "passed" else "none known")
        return [self.entry.project, called, str(self.independent), self.kit, mistakes, "" if self.agree else "NO"]


def rows(entry: Read, examples: int) -> list[Row]:
    """Judge a function alone, called as its signature demands, and as its project calls it."""
    found = [_alone(entry, examples)]
    if entry.caller and entry.caller != entry.contract:
        found.append(_called(entry, entry.caller, examples))
    return found


def _alone(entry: Read, examples: int) -> Row:
    if entry.own is None:
        return _called(entry, entry.contract, examples)
    candidate = entry.candidate(entry.contract, integers=True)
    given = entry.own(ppocore.testing, entry.function)
    try:
        return _row(entry, entry.contract, "own signature", candidate, given, examples)
    except UsageError:  # its signature cannot be guessed
        return _called(entry, entry.contract, examples)


def _called(entry: Read, caller: str, examples: int) -> Row:
    return _row(entry, caller, "called", entry.candidate(caller), entry.standard(caller), examples)


def _row(entry: Read, caller: str, how: str, candidate: Any, given: Any, examples: int) -> Row:
    verdict = judge(candidate, entry.expected, **entry.limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = ppocore.testing.check_gae(
            given, arrays=entry.framework, max_examples=examples, raise_on_failure=False, **entry.declared()
        )
    mistakes = "" if report.diagnosis is None else ", ".join(name for name, _ in report.diagnosis.mistakes)
    if report.choice is not None:
        mistakes = f"declare {report.choice.declare}"
    return Row(entry, caller, how, verdict, report.verdict, mistakes, report)


def callers(shown: list[Row]) -> dict[str, str]:
    """Return what the callers of some rows do."""
    return {name: says for name, says in CALLERS.items() if any(row.caller == name for row in shown)}


def vtrace_cells(entry: Any, examples: int) -> list[str]:
    """Judge a V-trace function by both, and return what a table shows; the kit's is empty if it has no such check."""
    verdict = judge_vtrace(entry.candidate)
    check = getattr(ppocore.testing, "check_vtrace", None)
    if check is None:
        return [entry.project, str(verdict), "", "", ""]

    def called(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, log_ratios: Any, gamma: float
    ) -> Any:
        flags = (terminated.astype(bool), truncated.astype(bool))
        found = entry.candidate(rewards, values, next_values, *flags, np.exp(log_ratios), float(gamma))
        return tuple(np.asarray(part, np.float32) for part in found)

    report = check(
        called,
        arguments="rewards, values, next_values, terminated, truncated, log_ratios, gamma",
        max_examples=examples,
        raise_on_failure=False,
    )
    mistakes = "" if report.passed else str(report.diagnosis)
    agree = "" if verdict.right == (report.verdict == "passed") else "NO"
    return [entry.project, str(verdict), report.verdict, mistakes, agree]
