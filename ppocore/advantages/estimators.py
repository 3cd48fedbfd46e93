"""Advantage estimators by name: each gives advantages and the returns that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ppocore.advantages.gae import AdvantageEstimate, gae
from ppocore.advantages.returns import discounted_returns, n_step_returns
from ppocore.advantages.vtrace import vtrace
from ppocore.typing import Array


class Trajectories(Protocol):
    """What estimators read of a rollout, arrays (T, N); see `ppocore.advantages`."""

    @property
    def rewards(self) -> Array:
        """Of each step."""

    @property
    def values(self) -> Array:
        """Of the observations acted on."""

    @property
    def next_values(self) -> Array:
        """Of each step's true successor."""

    @property
    def terminated(self) -> Array:
        """Whether the step reached a terminal state."""

    @property
    def truncated(self) -> Array:
        """Whether the episode was cut off after the step."""

    @property
    def valid(self) -> Array:
        """False where the row is no transition."""


def _gae(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    return gae(r.rewards, r.values, r.next_values, r.terminated, r.truncated, gamma=gamma, lam=lam, valid=r.valid)


def _td(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    return _n_step(r, log_ratios, gamma, lam, 1)


def _monte_carlo(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    returns = discounted_returns(r.rewards, r.next_values, r.terminated, r.truncated, gamma=gamma, valid=r.valid)
    return _above_values(r, returns)


def _n_step(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    returns = n_step_returns(r.rewards, r.next_values, r.terminated, r.truncated, gamma=gamma, n=n, valid=r.valid)
    return _above_values(r, returns)


def _vtrace(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    rows = (r.rewards, r.values, r.next_values, r.terminated, r.truncated)
    estimate = vtrace(*rows, log_ratios, gamma=gamma, lam=lam, valid=r.valid)
    return AdvantageEstimate(estimate.advantages, estimate.vs)


def _above_values(r: Trajectories, returns: Array) -> AdvantageEstimate:
    """How far returns lie above the values, where rows are valid."""
    return AdvantageEstimate(np.where(r.valid, returns - r.values, 0.0), np.where(r.valid, returns, 0.0))


Estimator = Callable[[Trajectories, Array, float, float, int], AdvantageEstimate]

ESTIMATORS: dict[str, Estimator] = {
    "gae": _gae,
    "monte_carlo": _monte_carlo,
    "n_step": _n_step,
    "td": _td,
    "vtrace": _vtrace,
}
"""From a rollout, log-ratios, gamma, lambda and n to advantages and returns.

``monte_carlo``: the `discounted_returns` to the end of the episode or of the rollout, where they are closed off by a
value. ``n_step``: those of n rewards and a value. ``td``: of one reward and a value. ``gae`` mixes all of these,
and ``vtrace`` corrects for a policy that has moved since, which it has where advantages are re-estimated.
"""


def estimate(
    rollout: Trajectories,
    log_ratios: Array | None = None,
    *,
    estimator: str = "gae",
    value_target: str = "same",
    gamma: float,
    lam: float,
    n: int = 5,
) -> AdvantageEstimate:
    """Estimate advantages by one estimator, and value targets by the same or another.

    Args:
        rollout: whose arrays are read.
        log_ratios: log of the policy's probability of each action over that of when it was taken, (T, N), which
            ``vtrace`` reads; None for a policy that has not moved since.
        estimator: of the advantages, a name in `ESTIMATORS`.
        value_target: of the returns, a name in `ESTIMATORS`; ``same`` for those of the advantages.
        gamma: the discount.
        lam: lambda of ``gae`` and ``vtrace``.
        n: rewards that ``n_step`` sums.

    Returns:
        Both (T, N), and 0 where not valid.
    """
    log_ratios = np.zeros_like(rollout.rewards) if log_ratios is None else log_ratios
    advantages, returns = ESTIMATORS[estimator](rollout, log_ratios, gamma, lam, n)
    if value_target not in ("same", estimator):
        returns = ESTIMATORS[value_target](rollout, log_ratios, gamma, lam, n).returns
    return AdvantageEstimate(advantages, returns)
