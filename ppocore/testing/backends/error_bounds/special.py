"""Functions of `Rounded` numbers (`rounding.py`) that policies are made of, with what they may be off by.

Each doubt is that of the worst sensible way to compute the function, in the arithmetic that is judged: a few epsilons
of the result where nothing cancels, and where something does, of the largest number in between.
"""

from __future__ import annotations

import math

import numpy as np

from ppocore.distributions import special
from ppocore.testing.backends.error_bounds.rounding import Rounded, as_rounded
from ppocore.typing import Array


def softplus(x: Rounded, underflow: float) -> Rounded:
    """``log(1 + exp(x))``."""
    value = np.logaddexp(x.value, 0.0)
    return Rounded(value, x.doubt * _sigmoid(x.value) + 2.0 * value + underflow)


def sigmoid(x: Rounded, underflow: float) -> Rounded:
    """``1 / (1 + exp(-x))``, to relative precision on both sides."""
    value, other = _sigmoid(x.value), _sigmoid(-x.value)
    return Rounded(value, x.doubt * value * other + 2.0 * value + underflow)


def _sigmoid(x: Array) -> Array:
    """Through the hyperbolic tangent on the upper side, which loses nothing there."""
    small = np.exp(np.minimum(x, 0.0))
    found: Array = np.where(x < 0.0, small / (1.0 + small), 0.5 + 0.5 * np.tanh(0.5 * x))
    return found


def absolute(x: Rounded) -> Rounded:
    """The absolute value, which moves by no more than the number."""
    return Rounded(np.abs(x.value), x.doubt)


def log_slope(x: Rounded, underflow: float) -> Rounded:
    """``log(1 - tanh(x)^2)``, as ``2 (log 2 - |x| - log(1 + exp(-2 |x|)))``."""
    size = absolute(x)
    return 2.0 * (as_rounded(math.log(2.0)) - size - softplus(-2.0 * size, underflow))


def log_gamma(x: Rounded) -> Rounded:
    """Logarithm of the gamma function, for numbers of at least 1.

    The largest number in between is Stirling's leading term, at 8 for what is below (`ppocore.distributions.special`).
    """
    value, slope = special.log_gamma(x.value), special.digamma(x.value)
    at = np.maximum(x.value, 8.0)
    return Rounded(value, x.doubt * np.abs(slope) + at * np.log(at))


def digamma(x: Rounded) -> Rounded:
    """Its derivative; between are the logarithm and a sum of reciprocals that is its like."""
    value, slope = special.digamma(x.value), special.trigamma(x.value)
    return Rounded(value, x.doubt * slope + np.log(np.maximum(x.value, 8.0)))


def trigamma(x: Rounded) -> Rounded:
    """The derivative of that: a sum of positive numbers, and its own slope is below the bracket."""
    value, inverse = special.trigamma(x.value), 1.0 / x.value
    slope = inverse * inverse * (1.0 + inverse + 0.5 * inverse * inverse)
    return Rounded(value, x.doubt * slope + 4.0 * value)
