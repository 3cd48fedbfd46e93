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


class AdaptivePenalty:
    """A KL penalty's coefficient that follows what it brings about (arXiv:1707.06347, section 4).

    After each iteration, of divergence d: halved where ``d < target / 1.5``, doubled where ``d > 1.5 target``, between
    1e-9 and 1e9; as it is where there is no target.
    """

    def __init__(self, value: float, target: float | None) -> None:
        self.value = value
        self._target = target

    def update(self, divergence: float) -> None:
        """Adapt to the divergence of an iteration."""
        if self._target is None:
            return
        if divergence < self._target / 1.5:
            self.value = max(self.value / 2.0, 1e-9)
        elif divergence > self._target * 1.5:
            self.value = min(self.value * 2.0, 1e9)


class AdaptiveRate:
    """A factor of the learning rate that keeps the divergence of an iteration near a target.

    Divided by 1.5 where it was more than twice the target and multiplied by it where less than half, as in RSL-RL,
    within a hundredth and a hundred times of where it began; 1 where there is no target.
    """

    def __init__(self, target: float | None) -> None:
        self.value = 1.0
        self._target = target

    def update(self, divergence: float) -> None:
        """Adapt to the divergence of an iteration."""
        if self._target is None:
            return
        if divergence > 2.0 * self._target:
            self.value = max(self.value / 1.5, 1e-2)
        elif divergence < 0.5 * self._target:
            self.value = min(self.value * 1.5, 1e2)
