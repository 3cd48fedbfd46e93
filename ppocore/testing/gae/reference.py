"""Compute generalized advantage estimation by the usual recursion, the basis of the known mistakes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ppocore.typing import Array

Pair = tuple[Array, Array]
"""Advantages and returns, (T, N) each."""


class Arguments(NamedTuple):
    """Hold the arguments of an advantage function."""

    rewards: Array
    values: Array
    next_values: Array
    terminated: Array
    truncated: Array
    gamma: float
    lam: float
    valid: Any = None

    @property
    def ended(self) -> Array:
        """Return where an episode ended, by termination or truncation."""
        return self.terminated | self.truncated


def reference_gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    lam: float,
    valid: Array | None = None,
) -> Pair:
    """Compute generalized advantage estimation without a mistake, by the usual recursion."""
    if valid is None:
        return recursion(rewards, values, next_values, ~terminated, ~(terminated | truncated), gamma, lam)
    advantages = np.zeros(rewards.shape)
    for i in range(rewards.shape[1]):
        rows = valid[:, i]
        flags = ~terminated[rows, i], ~(terminated | truncated)[rows, i]
        column, _ = recursion(rewards[rows, i], values[rows, i], next_values[rows, i], *flags, gamma, lam)
        advantages[rows, i] = column
    return advantages, np.where(valid, advantages + values, 0.0)


def recursion(
    rewards: Array, values: Array, next_values: Array, bootstraps: Array, continues: Array, gamma: float, lam: float
) -> Pair:
    """Compute advantages and returns by the recursion from the last row to the first.

    Args:
        rewards: rewards (T, N).
        values: values (T, N) of the observations.
        next_values: values (T, N) of their successors.
        bootstraps: flags (T, N); where False, the successor's value counts as 0.
        continues: flags (T, N); where False, the next row's advantage counts as 0.
        gamma: discount.
        lam: lambda.
    """
    advantages = np.zeros(rewards.shape)
    following = np.zeros(rewards.shape[1:])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * np.where(bootstraps[t], next_values[t], 0.0) - values[t]
        following = delta + gamma * lam * np.where(continues[t], following, 0.0)
        advantages[t] = following
    return advantages, advantages + values


def recursion_with_decay(x: Arguments, decay: float) -> Pair:
    """Compute the recursion with another decay than ``gamma * lam``."""
    advantages = np.zeros(x.rewards.shape)
    following = np.zeros(x.rewards.shape[1])
    for t in reversed(range(len(x.rewards))):
        delta = x.rewards[t] + x.gamma * np.where(x.terminated[t], 0.0, x.next_values[t]) - x.values[t]
        following = delta + decay * np.where(x.ended[t], 0.0, following)
        advantages[t] = following
    return advantages, advantages + x.values
