"""Compute with running error bounds (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3).

Two programs that compute the same formula in different orders agree to a few units in the last place *of the numbers
they add*, not of the result, which may be a small difference of large numbers. A `Rounded` number carries a value and
its error bound: to first order, in units of the arithmetic's epsilon, the error of the value if every operation so far
had an error of one epsilon of its own result. An error divided by epsilon and the error bound is then of the order of
one, whatever the example.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.typing import Array

NEAR = 32.0
"""Distance from a kink (of ReLU, of a clip), in error bounds, beyond which the side of a number is certain."""


class Rounded:
    """Hold float64 values and their error bounds, arrays of one shape; plain arrays are exact."""

    __array_ufunc__ = None  # so that ``array * rounded`` calls ``__rmul__``

    def __init__(self, value: Any, error_bound: Any = 0.0) -> None:
        self.value: Array = np.asarray(value, np.float64)
        self.error_bound: Array = np.broadcast_to(np.asarray(error_bound, np.float64), self.value.shape)

    def __add__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        value = self.value + other.value
        return Rounded(value, self.error_bound + other.error_bound + np.abs(value))

    __radd__ = __add__

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error_bound)

    def __sub__(self, other: Any) -> Rounded:
        return self + -as_rounded(other)

    def __rsub__(self, other: Any) -> Rounded:
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        value = self.value * other.value
        return Rounded(
            value, np.abs(self.value) * other.error_bound + self.error_bound * np.abs(other.value) + np.abs(value)
        )

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        a, b = np.abs(self.value), np.abs(other.value)
        return Rounded(self.value @ other.value, a @ (other.error_bound + b) + self.error_bound @ b)

    def __getitem__(self, index: Any) -> Rounded:
        return Rounded(self.value[index], self.error_bound[index])

    @property
    def T(self) -> Rounded:
        """Transpose."""
        return Rounded(self.value.T, self.error_bound.T)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Rounded:
        """Sum in any order; the error bound is that of the worst order, with the sum of all magnitudes."""
        size = self.error_bound + np.abs(self.value)
        return Rounded(self.value.sum(axis=axis, keepdims=keepdims), size.sum(axis=axis, keepdims=keepdims))

    def mean(self) -> Rounded:
        """Average over all values."""
        return self.sum() * (1.0 / self.value.size)

    def exp(self, underflow: float = 0.0) -> Rounded:
        """Exponentiate; ``underflow`` is the error bound of a result of 0, as libraries underflow differently."""
        value = np.exp(self.value)
        return Rounded(value, value * (self.error_bound + 1.0) + underflow)

    def log(self) -> Rounded:
        """Take the logarithm of positive numbers."""
        value = np.log(self.value)
        return Rounded(value, self.error_bound / self.value + np.abs(value))

    def tanh(self) -> Rounded:
        """Take the hyperbolic tangent, to one epsilon of 1, as some compute it as ``2 / (1 + exp(-2x)) - 1``."""
        value = np.tanh(self.value)
        return Rounded(value, self.error_bound * (1.0 - value * value) + 1.0)

    def clip(self, low: float, high: float, epsilon: float) -> Rounded:
        """Clip to bounds; values that are certainly clipped are exact."""
        clipped = (self.value < low) | (self.value > high)
        sure = clipped & ~self.near(low, epsilon) & ~self.near(high, epsilon)
        return Rounded(np.clip(self.value, low, high), np.where(sure, 0.0, self.error_bound))

    def near(self, kink: Any, epsilon: float) -> Array:
        """Tell where rounding may decide on which side of ``kink`` a number lies."""
        found: Array = np.abs(self.value - kink) < NEAR * epsilon * self.error_bound
        return found

    def where(self, mask: Array, epsilon: float, undecided: Any = False) -> Rounded:
        """Keep the values under ``mask`` and set 0 elsewhere; where ``undecided``, either of the two is right."""
        error_bound = np.where(mask, self.error_bound, 0.0)
        either = self.error_bound + np.abs(self.value) / epsilon
        return Rounded(np.where(mask, self.value, 0.0), np.where(undecided, either, error_bound))

    def only(self, mask: Array) -> Rounded:
        """Keep the values under ``mask`` and set an exact 0 elsewhere."""
        return Rounded(np.where(mask, self.value, 0.0), np.where(mask, self.error_bound, 0.0))

    def relu(self, epsilon: float) -> Rounded:
        """Take the larger of the value and 0; it is continuous, so the error bound is unchanged near 0."""
        positive = self.value > 0.0
        return Rounded(
            np.where(positive, self.value, 0.0), np.where(positive | self.near(0.0, epsilon), self.error_bound, 0.0)
        )


def as_rounded(number: Any) -> Rounded:
    """Convert an exact number or array."""
    return number if isinstance(number, Rounded) else Rounded(number)


def minimum(a: Rounded, b: Rounded) -> Rounded:
    """Take the elementwise minimum, whose error is at most the larger of the two."""
    return Rounded(np.minimum(a.value, b.value), np.maximum(a.error_bound, b.error_bound))


def maximum(a: Rounded, b: Rounded) -> Rounded:
    """Take the elementwise maximum, whose error is at most the larger of the two."""
    return Rounded(np.maximum(a.value, b.value), np.maximum(a.error_bound, b.error_bound))


def concatenate(*parts: Rounded) -> Rounded:
    """Concatenate along the last axis."""
    return Rounded(np.concatenate([p.value for p in parts], -1), np.concatenate([p.error_bound for p in parts], -1))
