"""Register known mistakes of advantage code, each as a change of a right computation.

What a mistake changes is a `Plan`; ``early`` ones change what is passed, before anything is made of it. A mistake that
code
makes in several ways has variants: functions of the same name with further underscores at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ppocore.testing.gae.plan import Change, advantages_with
from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array


class Defect(NamedTuple):
    """Describe a known mistake.

    Attributes:
        name: name in reports.
        says: what is wrong, as a clause.
        function: an implementation that makes the mistake; it takes (rewards, values, next_values, terminated,
            truncated, gamma, lam), arrays (T, N), and returns the advantages and the returns.
        changes: what it does to a plan, in each of its variants; empty if it is about something else than numbers.
        early: whether it changes a plan before the flags and discounts are used.
        reads_truncation: whether only a function that bootstraps truncated steps itself can make it.
        choice: how to declare it where it is meant; empty if it cannot be.
    """

    name: str
    says: str
    function: Callable[..., tuple[Array, Array]]
    changes: tuple[Change, ...] = ()
    early: bool = False
    reads_truncation: bool = False
    choice: str = ""


DEFECTS: dict[str, Defect] = {}


def mistake(
    says: str, *, early: bool = False, reads_truncation: bool = False, choice: str = ""
) -> Callable[[Change], Change]:
    """Register a change of a plan as a mistake under its function's name, or as a further variant of it."""

    def add(change: Change) -> Change:
        name = change.__name__.strip("_").replace("_", " ")
        if name in DEFECTS:
            known = DEFECTS[name]
            DEFECTS[name] = known._replace(changes=(*known.changes, change))
            return change
        function = implementation([(change, early)], change.__name__, says)
        DEFECTS[name] = Defect(name, says, function, (change,), early, reads_truncation, choice)
        return change

    return add


def implementation(changes: list[tuple[Change, bool]], name: str, says: str) -> Callable[..., tuple[Array, Array]]:
    """Make a function with the usual signature that makes the mistakes."""

    def candidate(
        rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array, gamma: float, lam: float
    ) -> tuple[Array, Array]:
        valid = np.ones_like(terminated)
        x = Trajectory(rewards, values, next_values, terminated, truncated, valid, gamma, lam)
        advantages = advantages_with(changes, x)
        return advantages, advantages + values

    candidate.__name__ = candidate.__qualname__ = name
    candidate.__doc__ = says
    return candidate
