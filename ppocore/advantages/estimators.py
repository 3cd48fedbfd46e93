"""Select an advantage estimator by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ppocore.advantages.gae import AdvantageEstimate, numpy_gae
from ppocore.advantages.returns import discounted_returns, n_step_returns
from ppocore.advantages.vtrace import vtrace
from ppocore.typing import Array


class Trajectories(Protocol):
    """Define the arrays (T, N) of a rollout that estimators read, as described in `ppocore.advantages`."""

    @property
    def rewards(self) -> Array:
        """Return the reward of each step."""

    @property
    def values(self) -> Array:
        """Return the values of the observations acted on."""

    @property
    def next_values(self) -> Array:
        """Return the value of each step's true successor."""

    @property
    def terminated(self) -> Array:
        """Return where a step reached a terminal state."""

    @property
    def truncated(self) -> Array:
        """Return where an episode was cut short after the step."""

    @property
    def valid(self) -> Array:
        """Return where a row is a transition."""


def _gae(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate[Any]:
    return numpy_gae(r.rewards, r.values, r.next_values, r.terminated, r.truncated, gamma=gamma, lam=lam, valid=r.valid)


def _td(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate[Any]:
    return _n_step(r, log_ratios, gamma, lam, 1)


def _monte_carlo(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate[Any]:
    returns = discounted_returns(r.rewards, r.next_values, r.terminated, r.truncated, gamma=gamma, valid=r.valid)
    return _minus_values(r, returns)


def _n_step(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate[Any]:
    returns = n_step_returns(r.rewards, r.next_values, r.terminated, r.truncated, gamma=gamma, n=n, valid=r.valid)
    return _minus_values(r, returns)


def _vtrace(r: Trajectories, log_ratios: Array, gamma: float, lam: float, n: int) -> AdvantageEstimate[Any]:
    rows = (r.rewards, r.values, r.next_values, r.terminated, r.truncated)
    estimate = vtrace(*rows, log_ratios, gamma=gamma, lam=lam, valid=r.valid)
    return AdvantageEstimate(estimate.advantages, estimate.vs)


def _minus_values(r: Trajectories, returns: Array) -> AdvantageEstimate[Any]:
    """Subtract the values from the returns in valid rows."""
    return AdvantageEstimate(np.where(r.valid, returns - r.values, 0.0), np.where(r.valid, returns, 0.0))


Estimator = Callable[[Trajectories, Array, float, float, int], AdvantageEstimate[Any]]

ESTIMATORS: dict[str, Estimator] = {
    "gae": _gae,
    "monte_carlo": _monte_carlo,
    "n_step": _n_step,
    "td": _td,
    "vtrace": _vtrace,
}
"""Functions of a rollout, log-ratios, gamma, lambda and n that return advantages and returns.

``monte_carlo`` uses `discounted_returns` up to the end of the episode, or of the rollout, where it bootstraps;
``n_step`` uses n rewards and a value, and ``td`` one reward and a value. ``gae`` averages all of these. ``vtrace``
corrects for a policy that has changed since it acted, as it has when advantages are estimated again in each epoch.
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
) -> AdvantageEstimate[Any]:
    """Estimate advantages with one estimator, and value targets with the same or another.

    Args:
        rollout: the rollout.
        log_ratios: log of the current probability of each action over that when it was taken, (T, N), for ``vtrace``;
            None if the policy has not changed.
        estimator: name in `ESTIMATORS` of the estimator of the advantages.
        value_target: name in `ESTIMATORS` of the estimator of the returns, or ``same``.
        gamma: discount.
        lam: lambda of ``gae`` and ``vtrace``.
        n: number of rewards that ``n_step`` sums.

    Returns:
        Advantages and returns, (T, N) each, 0 in invalid rows.
    """
    log_ratios = np.zeros_like(rollout.rewards) if log_ratios is None else log_ratios
    advantages, returns = ESTIMATORS[estimator](rollout, log_ratios, gamma, lam, n)
    if value_target not in ("same", estimator):
        returns = ESTIMATORS[value_target](rollout, log_ratios, gamma, lam, n).returns
    return AdvantageEstimate(advantages, returns)
