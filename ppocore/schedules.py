"""Settings that change over a run, as functions of how much of it is left."""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """The value of a setting when ``remaining`` of the run (1 at its start, 0 at its end) is left."""

    def __call__(self, remaining: float) -> float:
        """The value."""


def constant(value: float) -> Schedule:
    """``value`` throughout."""
    return lambda remaining: value


def linear(value: float) -> Schedule:
    """From ``value`` down to 0, linearly (37 details, core 4)."""
    return lambda remaining: value * remaining


def annealed(value: float, anneal: bool) -> Schedule:
    """`linear` where a switch is on, else `constant`."""
    return linear(value) if anneal else constant(value)
