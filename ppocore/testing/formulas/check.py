"""Check every property of a formula, and report which known mistake a function makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ppocore.errors import UsageError
from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.code import code_of
from ppocore.testing.formulas.diagnosis import COMPILED_SHAPES, as_alternative, diagnose, fitted
from ppocore.testing.formulas.interface import Argument, Interface, guess_arguments, read_arguments
from ppocore.testing.formulas.report import FormulaFailure, FormulaReport
from ppocore.testing.formulas.smallest import smallest, smallest_large
from ppocore.testing.formulas.subject import Case, Inapplicable, Mismatch, Property, Subject
from ppocore.testing.gae.frameworks import EPSILONS, Framework
from ppocore.testing.report import Diagnosis, Result, text_of

WRITTEN = "an argument is written to", "the caller's array is changed"
INTEGERS = "results of the dtype of the rewards", "with integer rewards the fractions are cut off"


def interface_of(function: Callable[..., Any], kind: type[Subject], arguments: str | None, layout: str) -> Interface:
    """Read or guess what a function takes.

    Raises:
        UsageError: it is no function, the layout is unknown, or there is no telling what it takes.
    """
    if not callable(function):
        raise UsageError(f"the candidate is {function!r}, expected a function: pass one to {kind.check}")
    if layout not in kind.layouts:
        raise UsageError(f"layout={layout!r} is unknown: use one of {', '.join(kind.layouts)}")
    if arguments is not None:
        found: tuple[Argument, ...] = read_arguments(arguments, kind.roles)
    else:
        found = guess_arguments(function, kind.roles, kind.aliases, kind.canonical)
    return Interface(found, kind.layouts[layout])


def read_results(
    declared: str | Mapping[Any, str] | None, known: Iterable[str]
) -> tuple[str, ...] | Mapping[Any, str] | None:
    """Read what is declared about results: ``"advantages, vs"``, or a mapping from keys to names.

    Raises:
        UsageError: a name is unknown, or none is named.
    """
    if declared is None:
        return None
    names = list(declared.values()) if isinstance(declared, Mapping) else [x.strip() for x in declared.split(",")]
    unknown = [name for name in names if name not in (*known, "_")]
    if unknown or set(names) <= {"_"}:
        raise UsageError(f"results={declared!r} cannot be read: name each part {', '.join(known)} or _")
    return declared if isinstance(declared, Mapping) else tuple(names)


def run_check(
    function: Callable[..., Any],
    subject: Subject,
    interface: Interface,
    *,
    arrays: str,
    dtype: str | None,
    results: str | Mapping[Any, str] | None,
    max_examples: int,
    seed: int,
    seconds: float | None,
    properties: Iterable[str] | None,
    raise_on_failure: bool,
) -> FormulaReport:
    """Check a function, and raise the report if it does not pass, unless it is asked not to."""
    selected = _select(subject, properties)
    names = read_results(results, subject.result_aliases)
    framework = Framework(arrays, dtype)
    candidate = Candidate(function, framework, subject, interface, results=names, seconds=seconds)
    run = _Run(fitted(candidate), max_examples, seed)
    report = run.report(selected)
    if raise_on_failure:
        report.raise_if_failed()
    return report


def _select(subject: Subject, names: Iterable[str] | None) -> tuple[Property, ...]:
    if names is None:
        return subject.properties
    known = {checked.name: checked for checked in subject.properties}
    selected = list(names)
    unknown = [name for name in selected if name not in known]
    if unknown:
        raise UsageError(f"there is no property {unknown[0]!r}: choose from {', '.join(known)}")
    return tuple(known[name] for name in selected)


class _Run:
    """Check a candidate's properties, and again as what it turns out to be."""

    def __init__(self, candidate: Candidate, max_examples: int, seed: int) -> None:
        self.candidate, self.max_examples, self.seed = candidate, max_examples, seed

    def report(self, selected: tuple[Property, ...]) -> FormulaReport:
        """Check the properties, explain what failed, and report."""
        candidate, choice, diagnosis = self.candidate, None, None
        results = self.check(candidate, selected)
        if any(result.failure is not None for result in results):
            diagnosis, choice = self.explain(candidate, results)
            if choice is not None:
                candidate = fitted(as_alternative(candidate, choice))
                names = {checked.name for checked in selected}
                selected = tuple(checked for checked in candidate.subject.properties if checked.name in names)
                results = self.check(candidate, selected)
                if any(result.failure is not None for result in results):
                    diagnosis, _ = self.explain(candidate, results)
                else:
                    diagnosis = None
        return FormulaReport(
            candidate.name,
            candidate.framework.name,
            candidate.framework.dtype,
            candidate.working,
            _signature(candidate),
            self.seed,
            self.max_examples,
            tuple(results),
            diagnosis,
            None if choice is None else (choice.says, choice.declare),
            candidate.subject.check,
        )

    def explain(self, candidate: Candidate, results: list[Result]) -> tuple[Diagnosis, Any]:
        """Name what explains the numbers."""
        failed = {result.name: result.failure for result in results if result.failure is not None}
        first = next(iter(failed.values()))
        assert first is not None
        attempted = bool(first.expected) or set(failed) == {"inputs_untouched"}
        mistakes, hints, choice = [], [], None
        if "inputs_untouched" in failed:
            mistakes.append(WRITTEN)
            hints.append("")
        others = set(failed) - {"inputs_untouched"}
        if others == {"integer_rewards"}:
            mistakes.append(INTEGERS)
            hints.append("")
        elif others:
            counterexample = next((failed[r.name] for r in results if r.name in others), first)
            compared = "by_definition" in failed and counterexample is not None
            found = diagnose(candidate, counterexample.case if compared and counterexample else None)
            known, choice = candidate.subject.mistakes, found.choice
            mistakes += [(name, known[name].says) for name in found.mistakes]
            hints += [known[name].choice for name in found.mistakes]
            attempted = attempted or bool(found.mistakes)
        return Diagnosis(tuple(mistakes), attempted, tuple(hints)), choice

    def check(self, candidate: Candidate, selected: tuple[Property, ...]) -> list[Result]:
        """Check each property; only the first that fails is explained in full."""
        results: list[Result] = []
        drawn = self.draw(candidate)
        for checked in selected:
            first = all(result.passed is not False for result in results)
            results.append(self._check(candidate, checked, drawn, first=first))
            failure = results[-1].failure
            if failure is not None and not failure.expected and checked.name != "inputs_untouched":
                break  # without results every other property would fail in the same way
        return results

    def draw(self, candidate: Candidate) -> list[Case]:
        """Draw cases, once for all properties."""
        rng = np.random.default_rng(self.seed)
        subject, compiled = candidate.subject, candidate.framework.name == "jax"
        half = EPSILONS[candidate.working] > EPSILONS["float32"] and subject.exact
        drawn = []
        for number in range(self.max_examples):
            if compiled:
                shape = (*COMPILED_SHAPES, (1, 1))[number % 3]
            elif half:
                shape = ((2, 1), (1, 2), (1, 1))[number % 3]
            elif number % 10 == 9:
                shape = (int(rng.integers(8, 60)), int(rng.integers(8, 60)) if number % 20 == 9 else 2)
            else:
                shape = (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
            kind = "exact" if half else ("plain", "random")[int(rng.integers(0, 2))]
            drawn.append(candidate.handed(subject.draw(rng, shape, kind)))
        return drawn

    def _check(self, candidate: Candidate, checked: Property, drawn: list[Case], *, first: bool) -> Result:
        held, reason = 0, "it applied to no example"

        def once(case: Case) -> Mismatch | None:
            nonlocal held, reason
            try:
                checked.check(candidate, case)
            except Inapplicable as inapplicable:
                reason = str(inapplicable) or reason
                return None
            except Mismatch as mismatch:
                return mismatch
            held += 1
            return None

        def again(case: Case) -> Mismatch | None:
            return once(candidate.handed(case))

        cases = self._large(candidate) if checked.large else drawn
        found = next((mismatch for mismatch in map(once, cases) if mismatch is not None), None)
        if found is None:
            return Result(checked.name, checked.says, held, "" if held else reason)
        examples = held
        if first:
            tries = {"tries": 12, "simplifications": 60} if candidate.framework.name == "jax" else {}
            if checked.large:
                found = smallest_large(found, candidate.subject, again)
            else:
                found = smallest(found, candidate.subject, again, **tries)
        compared = found.expected is not None
        failure = FormulaFailure(
            found.message,
            found.case,
            code_of(candidate, found.case),
            text_of(found.expected) if compared else "",
            text_of(found.actual) if compared else "",
        )
        return Result(checked.name, checked.says, examples, failure=failure)

    def _large(self, candidate: Candidate) -> list[Case]:
        if EPSILONS[candidate.working] > EPSILONS["float32"]:
            return []
        sizes = candidate.subject.sizes
        rng = np.random.default_rng(self.seed)
        sizes = sizes[:1] if candidate.framework.name == "jax" else sizes
        return [candidate.handed(candidate.subject.draw(rng, shape, "random")) for shape in sizes]


def _signature(candidate: Candidate) -> str:
    taken = ", ".join(
        f"{argument.keyword}={argument.role}"
        if argument.keyword and argument.keyword != argument.role
        else argument.role
        for argument in candidate.interface.arguments
    )
    described = candidate.subject.describe()
    return f"f({taken}) with {candidate.flags} flags" + (f", {described}" if described else "")
