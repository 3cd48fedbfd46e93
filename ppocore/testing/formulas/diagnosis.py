"""Find what explains a candidate's numbers: known mistakes, two at once, or a choice that nobody declared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.comparison import is_right, require_close
from ppocore.testing.formulas.subject import Alternative, Case, Mismatch, Subject
from ppocore.testing.gae.candidate import CandidateError
from ppocore.testing.gae.frameworks import coarsest

SHAPES = ((7, 2), (4, 1), (3, 6))
COMPILED_SHAPES = ((3, 6), (7, 2))
"""Few, because a framework compiles a function for each."""
FLAGS = ("bool", "float", "int")


class Found(NamedTuple):
    """Hold the names of the mistakes that a candidate makes, all at once, and the choice that has to be declared."""

    mistakes: tuple[str, ...]
    choice: Alternative | None = None


def examples_of(candidate: Candidate, *, count: int = 12, kind: str = "random") -> list[Case]:
    """Draw cases on which two functions hardly ever agree within rounding, of few shapes."""
    rng = np.random.default_rng(0)
    shapes: tuple[tuple[int, int], ...] = ((2, 1), (1, 2))
    if kind == "random":
        shapes = COMPILED_SHAPES if candidate.framework.name == "jax" else SHAPES
    drawn = (candidate.subject.draw(rng, shapes[i % len(shapes)], kind) for i in range(count))
    return [candidate.handed(case) for case in drawn]


def fitted(candidate: Candidate) -> Candidate:
    """Return the candidate with the flags, the format and the variant of what is right that explain its numbers."""
    examples = examples_of(candidate)
    runs = []
    for flags in FLAGS:
        judged = candidate.changed(flags=flags)
        runs.append((judged, sum(_raises(judged, example) for example in examples)))
        for precision in _precisions(candidate):
            for subject in candidate.subject.variants():
                fit = judged.changed(working=precision)
                fit.subject = subject
                if all(is_right(fit, example) for example in examples) and _computes_in(fit, precision):
                    return fit
    return min(runs, key=lambda run: run[1])[0]


def diagnose(candidate: Candidate, counterexample: Case | None = None) -> Found:
    """Find the known mistakes and the choice that give the candidate's numbers.

    Args:
        candidate: the function and what is declared about it.
        counterexample: a further case whose numbers are to be explained.
    """
    examples = examples_of(candidate)
    if counterexample is not None and candidate.subject.regular(counterexample):
        examples.append(candidate.handed(counterexample))
    known = candidate.subject.mistakes
    for precision in _precisions(candidate):
        judged = candidate.changed(working=precision)
        effective = _effective(judged, examples)
        singles: list[tuple[str, ...]] = [(name,) for name in effective]
        found = _named(judged, examples, singles)
        if found:
            return Found(found)
        alternatives = list(candidate.subject.alternatives())
        for alternative in alternatives:
            if _right_as(judged, alternative):
                return Found((), alternative)
        disjoint: list[tuple[str, ...]] = [
            pair for pair in combinations(effective, 2) if not set(known[pair[0]].changes) & set(known[pair[1]].changes)
        ]
        found = _named(judged, examples, disjoint)
        if found:
            return Found(found)
        for alternative in alternatives:
            other = as_alternative(judged, alternative)
            cases = examples_of(other)
            found = _named(other, cases, [(name,) for name in _effective(other, cases)])
            if found:
                return Found(found, alternative)
    return Found(())


def as_alternative(candidate: Candidate, alternative: Alternative) -> Candidate:
    """Return the candidate as what it may be meant to be."""
    results = candidate.results if alternative.results is None else alternative.results
    return candidate.changed(subject=alternative.subject, results=results)


def _right_as(candidate: Candidate, alternative: Alternative) -> bool:
    other = as_alternative(candidate, alternative)
    cases = examples_of(other)
    for subject in alternative.subject.variants():
        other.subject = subject
        if all(is_right(other, case) for case in cases):
            return True
    return False


def _precisions(candidate: Candidate) -> list[str]:
    """Return the formats in which numbers may agree: that of the candidate, and float32."""
    return list(dict.fromkeys([candidate.working, coarsest(candidate.working, "float32")]))


def _computes_in(candidate: Candidate, precision: str) -> bool:
    """Tell a function with a coarser constant inside from one with a small mistake, by numbers that are exact."""
    own = candidate.framework.dtype
    if precision == own or not candidate.subject.exact:
        return True
    exact = candidate.changed(working=own)
    return all(is_right(exact, example) for example in examples_of(exact, kind="exact"))


def _raises(candidate: Candidate, example: Case) -> bool:
    try:
        candidate.raw(example)
    except CandidateError:
        return True
    return False


def _effective(candidate: Candidate, examples: list[Case]) -> list[str]:
    """Return the mistakes that change a number, given what the function takes."""
    found = []
    for name, mistake in candidate.subject.mistakes.items():
        if any(_differs(candidate, example, mistake.changes) for example in examples[:6]):
            found.append(name)
    return found


def _differs(candidate: Candidate, example: Case, changes: dict[str, Any]) -> bool:
    right, wrong = candidate.subject.expected(example), candidate.subject.mistaken(example, **changes)
    return any(
        (np.abs(wrong[name] - right[name]) > 1e-9)[candidate.subject.compared(example, name)].any() for name in wrong
    )


def _named(candidate: Candidate, examples: list[Case], tried: list[tuple[str, ...]]) -> tuple[str, ...]:
    for subject in _some(candidate.subject.variants(), 40 if len(tried) < 40 else 4):
        judged = candidate.changed()
        judged.subject = subject
        for names in tried:
            changes = {key: value for name in names for key, value in subject.mistakes[name].changes.items()}
            if all(_agrees(judged, example, changes) for example in examples):
                return names
    return ()


def _some(variants: Iterator[Subject], count: int) -> Iterator[Subject]:
    return (variant for _, variant in zip(range(count), variants, strict=False))


def _agrees(candidate: Candidate, example: Case, changes: dict[str, Any]) -> bool:
    try:
        outcome = candidate(example)
        mistaken = candidate.subject.mistaken(example, **changes)
        require_close("", candidate, example, mistaken, outcome, twice=True)
    except (CandidateError, Mismatch):
        return False
    return True
