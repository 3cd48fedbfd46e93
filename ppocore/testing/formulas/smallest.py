"""Find the smallest case on which a property does not hold."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from ppocore.testing.formulas.subject import Case, Mismatch, Subject
from ppocore.testing.gae.smallest import bisected

Fails = Callable[[Case], Mismatch | None]
SHAPES = ((1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (4, 1), (1, 4), (3, 2), (2, 3), (5, 1), (1, 5))
SIMPLE = (0.0, 1.0, 2.0, -1.0, 0.5)


def smallest(
    found: Mismatch, subject: Subject, fails: Fails, *, tries: int = 60, simplifications: int = 300
) -> Mismatch:
    """Return the failure on the smallest case that could be found.

    Args:
        found: a failure.
        subject: what the cases are of.
        fails: checks a case, and returns the failure or None.
        tries: number of cases that are tried of each smaller shape.
        simplifications: number of simpler cases that are tried.
    """
    rows, columns = subject.shape(found.case)
    for shape in SHAPES:
        if shape[0] * shape[1] >= rows * columns:
            break
        rng = np.random.default_rng(10 * shape[0] + shape[1])
        drawn = (subject.draw(rng, shape, "plain") for _ in range(tries))
        other = next((failure for failure in map(fails, drawn) if failure is not None), None)
        if other is not None:
            found = other
            break
    for steps in (_fewer, _simpler_flags, _simpler_numbers):
        changed, left = True, simplifications
        while changed and left > 0:
            changed = False
            for simpler in steps(subject, found.case):
                left -= 1
                failure = fails(simpler)
                if failure is not None:
                    found, changed = failure, True
                    break
                if left <= 0:
                    break
    return found


def smallest_large(found: Mismatch, subject: Subject, fails: Fails) -> Mismatch:
    """Return the failure on the smallest arrays of plain numbers, for a failure that depends on the size."""
    rows, columns = subject.shape(found.case)
    drawn = functools.partial(_of_size, subject)
    columns = bisected(columns, lambda n: fails(drawn((rows, n))))
    rows = bisected(rows, lambda n: fails(drawn((n, columns))))
    found = fails(drawn((rows, columns))) or found
    for number in (0.0, 1.0):
        plain = {
            name: (np.full_like(x, number) if x.dtype.kind == "f" else np.full_like(x, name == "mask"))
            if isinstance(x, np.ndarray)
            else x
            for name, x in found.case.items()
        }
        simpler = fails(subject.settle(plain))
        if simpler is not None:
            return simpler
    return found


def _of_size(subject: Subject, shape: tuple[int, int]) -> Case:
    return subject.draw(np.random.default_rng(0), shape, "random")


def _fewer(subject: Subject, case: Case) -> Iterator[Case]:
    """Leave rows and columns out, many at first."""
    for axis, length in enumerate(subject.shape(case)):
        size = length // 2
        while size >= 1:
            for first in range(0, length, size):
                fewer = {
                    name: np.delete(x, slice(first, first + size), axis)
                    if isinstance(x, np.ndarray) and x.ndim > axis
                    else x
                    for name, x in case.items()
                }
                if subject.possible(fewer):
                    yield subject.settle(fewer)
            size //= 2


def _simpler_flags(subject: Subject, case: Case) -> Iterator[Case]:
    for name, x in case.items():
        if isinstance(x, np.ndarray) and x.dtype.kind == "b":
            plain = name == "mask"
            for place in map(tuple, np.argwhere(x != plain).tolist()):
                yield subject.settle(_with(case, name, place, plain))


def _simpler_numbers(subject: Subject, case: Case) -> Iterator[Case]:
    for name, x in case.items():
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            continue
        for place in np.ndindex(*x.shape):
            for number in SIMPLE:
                if x[place] == number:
                    break
                changed = subject.settle(_with(case, name, place, number))
                if not np.array_equal(changed[name], x):
                    yield changed


def _with(case: Case, name: str, place: tuple[int, ...], value: float | bool) -> Case:
    array = case[name].copy()
    array[place] = value
    return {**case, name: array}
