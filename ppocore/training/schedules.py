"""Change settings over a run: annealed with its progress, or adapted to the KL divergence."""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """Map the remaining fraction of a run, 1 at its start and 0 at its end, to the value of a setting."""

    def __call__(self, remaining: float) -> float:
        """Return the value."""


def constant(value: float) -> Schedule:
    """Return a schedule that is always ``value``."""
    return lambda remaining: value


def linear(value: float) -> Schedule:
    """Return a schedule that decreases linearly from ``value`` to 0 (37 details, core 4)."""
    return lambda remaining: value * remaining


def annealed(value: float, anneal: bool) -> Schedule:
    """Return a `linear` schedule if ``anneal``, else a `constant` one."""
    return linear(value) if anneal else constant(value)


class AdaptivePenalty:
    """Adapt the coefficient of a KL penalty to the divergence of each iteration (arXiv:1707.06347, section 4).

    It is halved if the divergence is less than ``target / 1.5`` and doubled if it is more than ``1.5 * target``, within
    1e-9 and 1e9. Without a target it is constant.
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
    """Adapt a factor of the learning rate to keep the divergence of each iteration near a target.

    As in RSL-RL, it is divided by 1.5 if the divergence is more than twice the target and multiplied by 1.5 if it is
    less than half, within 0.01 and 100. Without a target it is 1.
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
