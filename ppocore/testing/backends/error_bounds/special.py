"""Compute the special functions of policies with running error bounds.

Each error bound is that of the least accurate sensible algorithm: a few epsilons of the result where nothing cancels,
and of the largest intermediate number where something does.
"""

from __future__ import annotations

import math

import numpy as np

from ppocore.distributions import special
from ppocore.testing.backends.error_bounds.rounding import Rounded, as_rounded
from ppocore.typing import Array


def softplus(x: Rounded, underflow: float) -> Rounded:
    """Compute ``log(1 + exp(x))``."""
    value = np.logaddexp(x.value, 0.0)
    return Rounded(value, x.error_bound * _sigmoid(x.value) + 2.0 * value + underflow)


def sigmoid(x: Rounded, underflow: float) -> Rounded:
    """Compute ``1 / (1 + exp(-x))``, to full relative precision on both sides."""
    value, other = _sigmoid(x.value), _sigmoid(-x.value)
    return Rounded(value, x.error_bound * value * other + 2.0 * value + underflow)


def _sigmoid(x: Array) -> Array:
    """Use the hyperbolic tangent on the upper side, where it loses no digits."""
    small = np.exp(np.minimum(x, 0.0))
    found: Array = np.where(x < 0.0, small / (1.0 + small), 0.5 + 0.5 * np.tanh(0.5 * x))
    return found


def absolute(x: Rounded) -> Rounded:
    """Take the absolute value, whose error is at most that of the number."""
    return Rounded(np.abs(x.value), x.error_bound)


def log_slope(x: Rounded, underflow: float) -> Rounded:
    """Compute ``log(1 - tanh(x)^2)`` as ``2 (log 2 - |x| - log(1 + exp(-2 |x|)))``."""
    magnitude = absolute(x)
    return 2.0 * (as_rounded(math.log(2.0)) - magnitude - softplus(-2.0 * magnitude, underflow))


def log_gamma(x: Rounded) -> Rounded:
    """Compute the logarithm of the gamma function, for numbers of at least 1.

    The largest intermediate number is Stirling's leading term, taken at 8 for smaller numbers, which
    `ppocore.distributions.special` shifts up to 8.
    """
    value, slope = special.log_gamma(x.value), special.digamma(x.value)
    shifted = np.maximum(x.value, 8.0)
    return Rounded(value, x.error_bound * np.abs(slope) + shifted * np.log(shifted))


def digamma(x: Rounded) -> Rounded:
    """Compute the derivative of `log_gamma`, from a logarithm and a sum of reciprocals of about its size."""
    value, slope = special.digamma(x.value), special.trigamma(x.value)
    return Rounded(value, x.error_bound * slope + np.log(np.maximum(x.value, 8.0)))


def trigamma(x: Rounded) -> Rounded:
    """Compute the derivative of `digamma`, a sum of positive numbers."""
    value, inverse = special.trigamma(x.value), 1.0 / x.value
    slope = inverse * inverse * (1.0 + inverse + 0.5 * inverse * inverse)  # an upper bound of its derivative
    return Rounded(value, x.error_bound * slope + 4.0 * value)
