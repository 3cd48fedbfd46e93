"""Advantages and returns: the estimators, the checks of their arguments and the one recurrence behind them.

The arrays, and what the estimators have in common, are described in `ppocore.advantages.gae`.
"""

from ppocore.advantages.gae import AdvantageEstimate, gae, successor_values, td_residuals
from ppocore.advantages.returns import discounted_returns, lambda_returns, n_step_returns
from ppocore.advantages.vtrace import VTraceEstimate, vtrace

__all__ = [
    "AdvantageEstimate",
    "VTraceEstimate",
    "discounted_returns",
    "gae",
    "lambda_returns",
    "n_step_returns",
    "successor_values",
    "td_residuals",
    "vtrace",
]
