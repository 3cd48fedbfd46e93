"""Compute the logarithm of the gamma function and its derivatives for arguments of at least 1, which NumPy lacks.

The asymptotic series is evaluated at x + n of at least 8 (Abramowitz and Stegun 6.1.41, 6.3.18 and 6.4.12), and the
recurrence leads back to x. The error is some 1e-15 of the largest intermediate number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ppocore.typing import Array

_LEAST = 8.0
_LOG_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12, 3617 / 8160)
TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _series(coefficients: tuple[float, ...], x: Array) -> Array:
    """Evaluate the polynomial ``sum_k coefficients[k] * x**k``."""
    total = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= x
    total += coefficients[0]
    return total


def _steps(x: Array) -> Iterator[tuple[Array, Array]]:
    """Yield ``(x, x < 8)``, ``(x + 1, x + 1 < 8)`` and so on until none is below 8."""
    below = x < _LEAST
    while below.any():
        yield x, below
        x = x + below
        below = x < _LEAST
    yield x, below


def log_gamma(x: Array) -> Array:
    """Return the logarithm of the gamma function."""
    product = np.ones_like(x)
    for y, below in _steps(x):
        product = np.where(below, product * y, product)
    inverse = 1.0 / y
    series = _series(_LOG_GAMMA, inverse * inverse) * inverse
    result: Array = (y - 0.5) * np.log(y) - y + (0.5 * math.log(2.0 * math.pi)) + series - np.log(product)
    return result


def digamma(x: Array) -> Array:
    """Return the derivative of `log_gamma`."""
    total = np.zeros_like(x)
    for y, below in _steps(x):
        total = np.where(below, total + 1.0 / y, total)
    inverse = 1.0 / y
    square = inverse * inverse
    result: Array = np.log(y) - 0.5 * inverse + _series(_DIGAMMA, square) * square - total
    return result


def trigamma(x: Array) -> Array:
    """Return the derivative of `digamma`; in operators alone, so that ``x`` may be an array of another library."""
    total: Any = 0.0
    for y, below in _steps(x):
        total = total + below / (y * y)
    inverse = 1.0 / y
    square = inverse * inverse
    result: Array = total + inverse + 0.5 * square + _series(TRIGAMMA, square) * square * inverse
    return result
