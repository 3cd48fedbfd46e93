"""Advantage estimators by name: each gives advantages and the returns that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ppocore.advantages.gae import AdvantageEstimate, gae
from ppocore.advantages.returns import discounted_returns, n_step_returns
from ppocore.advantages.vtrace import vtrace
from ppocore.typing import Array


class Experience(NamedTuple):
    """What estimators read, (T, N) each; see `ppocore.advantages`."""

    rewards: Array
    values: Array
    next_values: Array
    terminated: Array
    truncated: Array
    valid: Array
    log_ratios: Array
    """Log of the policy's probability of the action over that of when it was taken: 0 before the first update."""


def _gae(e: Experience, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    return gae(*e[:5], gamma=gamma, lam=lam, valid=e.valid)


def _td(e: Experience, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    return _n_step(e, gamma, lam, 1)


def _monte_carlo(e: Experience, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    returns = discounted_returns(e.rewards, e.next_values, e.terminated, e.truncated, gamma=gamma, valid=e.valid)
    return _above(e, returns)


def _n_step(e: Experience, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    returns = n_step_returns(e.rewards, e.next_values, e.terminated, e.truncated, gamma=gamma, n=n, valid=e.valid)
    return _above(e, returns)


def _vtrace(e: Experience, gamma: float, lam: float, n: int) -> AdvantageEstimate:
    estimate = vtrace(*e[:5], e.log_ratios, gamma=gamma, lam=lam, valid=e.valid)
    return AdvantageEstimate(estimate.advantages, estimate.vs)


def _above(e: Experience, returns: Array) -> AdvantageEstimate:
    """How far returns lie above the values, where rows are valid."""
    return AdvantageEstimate(np.where(e.valid, returns - e.values, 0.0), np.where(e.valid, returns, 0.0))


Estimator = Callable[[Experience, float, float, int], AdvantageEstimate]

ESTIMATORS: dict[str, Estimator] = {
    "gae": _gae,
    "monte_carlo": _monte_carlo,
    "n_step": _n_step,
    "td": _td,
    "vtrace": _vtrace,
}
"""From experience, gamma, lambda and n to advantages and returns.

``monte_carlo``: the `discounted_returns` to the end of the episode or of the rollout, where they are closed off by a
value.  ``n_step``: those of n rewards and a value.  ``td``: of one reward and a value.  ``gae`` mixes all of these,
and ``vtrace`` corrects for a policy that has moved since, which it has where advantages are recomputed.
"""


def estimate(
    experience: Experience, *, estimator: str = "gae", value_target: str = "same", gamma: float, lam: float, n: int = 5
) -> AdvantageEstimate:
    """Advantages by one estimator, and value targets by the same or another.

    Args:
        experience: of one rollout.
        estimator: of the advantages, a name in `ESTIMATORS`.
        value_target: of the returns, a name in `ESTIMATORS`; ``same`` for those of the advantages.
        gamma: the discount.
        lam: lambda of ``gae`` and ``vtrace``.
        n: rewards that ``n_step`` sums.

    Returns:
        Both (T, N), and 0 where not valid.
    """
    advantages, returns = ESTIMATORS[estimator](experience, gamma, lam, n)
    if value_target not in ("same", estimator):
        returns = ESTIMATORS[value_target](experience, gamma, lam, n).returns
    return AdvantageEstimate(advantages, returns)
