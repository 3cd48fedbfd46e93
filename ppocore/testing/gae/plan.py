"""Compute advantages in steps that a mistake can change, the basis of the known mistakes.

A `Plan` holds what the recursion takes::

    residual[t] = weight[t] * (rewards[t] + discount[t] * bootstraps[t] * successors[t] - values[t])
    A[t] = residual[t] + decay * continues[t] * A[t + 1]

Without a mistake the weight is 1, the discount gamma, the decay gamma lam; ``bootstraps`` is where the episode did not
terminate, and ``continues`` where it did not end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array


@dataclass
class Plan:
    """Hold what the recursion takes, for a mistake to change in place.

    Attributes:
        rewards, values, successors: numbers (T, N).
        terminated, truncated: flags (T, N), from which `derive` makes the next two.
        bootstraps: flags (T, N); where False, the successor's value counts as 0.
        continues: flags (T, N); where False, the next row's advantage counts as 0.
        gamma, lam: the discounts as passed.
        discount: what the successor's value is multiplied by, a number or (T, N).
        decay: what the next row's advantage is multiplied by.
        weight: what the residual is multiplied by, (T, N).
        joined: None, or how environments run together: ``end to end`` or ``interleaved``.
        finish: what is done to the advantages at last.
    """

    rewards: Array
    values: Array
    successors: Array
    terminated: Array
    truncated: Array
    gamma: float
    lam: float
    bootstraps: Array = field(init=False)
    continues: Array = field(init=False)
    discount: Any = field(init=False)
    decay: float = field(init=False)
    weight: Array = field(init=False)
    joined: str | None = None
    finish: list[Callable[[Plan, Array], Array]] = field(default_factory=list)

    @classmethod
    def of(cls, x: Trajectory) -> Plan:
        """Copy the arguments of an estimator."""
        numbers = (x.rewards.astype(np.float64), x.values.astype(np.float64), x.next_values.astype(np.float64))
        return cls(*numbers, x.terminated.copy(), x.truncated.copy(), x.gamma, x.lam)

    def derive(self) -> None:
        """Make from the flags and the discounts what the recursion takes."""
        self.bootstraps, self.continues = ~self.terminated, ~(self.terminated | self.truncated)
        self.discount, self.decay = self.gamma, self.gamma * self.lam
        self.weight = np.ones(self.rewards.shape)

    def residuals(self) -> Array:
        """Compute the residuals (T, N)."""
        following = self.discount * np.where(self.bootstraps, self.successors, 0.0)
        found: Array = self.weight * (self.rewards + following - self.values)
        return found

    def advantages(self) -> Array:
        """Compute the advantages (T, N) by the recursion from the last row to the first."""
        residuals, continues = self.residuals(), self.continues
        shape = residuals.shape
        if self.joined is not None:
            if self.joined == "end to end":
                residuals, continues = residuals.T, continues.T
            residuals, continues = residuals.reshape(-1, 1), continues.reshape(-1, 1)
        found = np.zeros(residuals.shape)
        following = np.zeros(residuals.shape[1:])
        decays = self.decay * continues
        for t in range(len(residuals) - 1, -1, -1):
            following = residuals[t] + decays[t] * following
            found[t] = following
        if self.joined is not None:
            found = found.reshape(shape[::-1]).T if self.joined == "end to end" else found.reshape(shape)
        for step in self.finish:
            found = step(self, found)
        return found


Change = Callable[[Plan], None]


def advantages_with(changes: Sequence[tuple[Change, bool]], x: Trajectory) -> Array:
    """Compute the advantages (T, N) with mistakes.

    Args:
        changes: what each mistake does to the plan, and whether it does so before the flags and discounts are used.
        x: the arguments; rows that are not valid are taken for transitions.
    """
    plan = Plan.of(x)
    for change, early in changes:
        if early:
            change(plan)
    plan.derive()
    for change, early in changes:
        if not early:
            change(plan)
    return plan.advantages()


def reference_gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    lam: float,
    valid: Array | None = None,
) -> tuple[Array, Array]:
    """Compute generalized advantage estimation without a mistake, by the usual recursion."""
    valid = np.ones_like(terminated) if valid is None else valid
    x = Trajectory(rewards, values, next_values, terminated, truncated, valid, gamma, lam)
    if valid.all():
        advantages = advantages_with((), x)
        return advantages, advantages + values
    advantages = np.zeros(rewards.shape)
    for i in range(rewards.shape[1]):
        advantages[valid[:, i], i] = advantages_with((), x.deleted_invalid(i))[:, 0]
    return advantages, np.where(valid, advantages + values, 0.0)
