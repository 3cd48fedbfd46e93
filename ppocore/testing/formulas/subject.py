"""Describe a kind of formula: what a function is given, what is right, and which mistakes are known."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.testing.report import requirement_of
from ppocore.typing import Array

Case = dict[str, Any]
"""The arguments of a formula by name: arrays whose first axes are those of the formula, and numbers."""
Results = dict[str, Array]


class Mismatch(AssertionError):
    """Report a case on which a property does not hold.

    Attributes:
        case: the arguments.
        name: which result was compared; empty if none was.
        expected, actual: the arrays that were compared; None if there were none.
    """

    def __init__(self, message: str, case: Case, name: str = "", expected: Any = None, actual: Any = None) -> None:
        super().__init__(message)
        self.message, self.case, self.name, self.expected, self.actual = message, case, name, expected, actual


class Inapplicable(Exception):
    """Report that a property cannot be checked on a case; its message says why, if that is the candidate."""


class Property(NamedTuple):
    """Describe a property: a function of a candidate and a case that raises `Mismatch`, and if it needs large cases."""

    check: Callable[[Any, Case], None]
    large: bool = False

    @property
    def name(self) -> str:
        """Return the name of its function."""
        return self.check.__name__

    @property
    def says(self) -> str:
        """Return what it requires, from the docstring of its function."""
        return requirement_of(self.check)


class Mistake(NamedTuple):
    """Describe a known mistake.

    Attributes:
        says: what is wrong, as a clause.
        changes: arguments of `Subject.mistaken` that make it.
        choice: how to declare it where it is meant; empty if it cannot be.
    """

    says: str
    changes: dict[str, Any]
    choice: str = ""


class Alternative(NamedTuple):
    """Describe what else a function may be meant to compute.

    Attributes:
        says: what it looks like, as a clause.
        declare: the arguments of the check that declare it, as code.
        subject: what is then right.
        results: the names of its results, in order; None for the usual ones.
    """

    says: str
    declare: str
    subject: Subject
    results: tuple[str, ...] | None = None


class Subject(ABC):
    """Say what a kind of formula takes and returns, what is right, and which mistakes are known."""

    check: str
    """Name of the function that checks it."""
    roles: Mapping[str, str]
    """What an argument of a function may be."""
    aliases: Mapping[str, str]
    """Names of parameters that stand for a role, in one string for each."""
    canonical: tuple[str, ...]
    """Roles of the arguments of a function about which nothing is known."""
    results: tuple[str, ...]
    """Names of the results in their usual order."""
    result_aliases: Mapping[str, str]
    """Beginnings of keys and fields that stand for a result, in one string for each."""
    mistakes: Mapping[str, Mistake]
    properties: tuple[Property, ...]
    layouts: Mapping[str, str]
    """Layouts that can be declared, as those of `interface.Interface`."""
    place: str
    """How messages name an entry of an array, with its two indices."""
    sizes: tuple[tuple[int, int], ...]
    """Large shapes to try; the first is also tried where functions are compiled."""
    exact: bool = True
    """Whether there are cases that every format represents through every operation."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Case:
        """Draw a case; ``kind`` is ``plain`` (easy to read), ``random`` or ``exact`` (in every format)."""

    def settle(self, case: Case) -> Case:
        """Return a case, rows or numbers of which were changed, such that it is possible."""
        return case

    def possible(self, case: Case) -> bool:
        """Tell whether rows and columns left out still make a case."""
        return min(self.shape(case)) > 0

    @abstractmethod
    def arguments(self, case: Case) -> dict[str, Any]:
        """Return an array or a number for each role."""

    @abstractmethod
    def expected(self, case: Case) -> Results:
        """Compute all results by definition."""

    @abstractmethod
    def mistaken(self, case: Case, **changes: Any) -> Results:
        """Compute all results in another way, with mistakes."""

    @abstractmethod
    def magnitude(self, case: Case) -> Array:
        """Return the sum of the magnitudes of the terms of each result, to which rounding is proportional."""

    def compared(self, case: Case, name: str) -> Array:
        """Tell which entries of a result are to be right."""
        return np.ones(self.shape(case), np.bool_)

    def regular(self, case: Case) -> bool:
        """Tell whether a definition applies to a case."""
        return True

    def shape(self, case: Case) -> tuple[int, int]:
        """Return the shape of the results."""
        found: tuple[int, int] = next(x for x in case.values() if isinstance(x, np.ndarray) and x.ndim == 2).shape
        return found

    def variants(self) -> Iterator[Subject]:
        """Go through what is right alike, the most usual first; which of them is meant is told from the numbers."""
        yield self

    def alternatives(self) -> Iterator[Alternative]:
        """Go through what else a function may be meant to compute, the simplest first."""
        yield from ()

    def describe(self) -> str:
        """Say which variant this is; empty if there is one only."""
        return ""

    def changed(self, **attributes: Any) -> Any:
        """Return a copy with some attributes changed."""
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        return other
