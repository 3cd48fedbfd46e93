"""Numbers that know how much rounding they may have picked up: running error analysis.

Two programs that compute the same formula in different orders agree to a few units in the last place *of the
numbers they add up*, not of the result, which may be a small difference of large ones.  A `Rounded` carries beside
each value its **doubt**: to first order, and in units of the arithmetic's epsilon, the error that it has if every
operation so far was off by one epsilon of its own result (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.3).  An error divided by epsilon times doubt is then a number near one, whatever the example.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.typing import Array

NEAR = 32.0
"""How many doubts from a kink (of ReLU, of a clip) a number must lie for its side to be certain."""


class Rounded:
    """An array of values and their doubt (both float64, of one shape); plain arrays are taken to be exact."""

    __array_ufunc__ = None  # so that ``array * rounded`` comes here

    def __init__(self, value: Any, doubt: Any = 0.0) -> None:
        self.value: Array = np.asarray(value, np.float64)
        self.doubt: Array = np.broadcast_to(np.asarray(doubt, np.float64), self.value.shape)

    def __add__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        value = self.value + other.value
        return Rounded(value, self.doubt + other.doubt + np.abs(value))

    __radd__ = __add__

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.doubt)

    def __sub__(self, other: Any) -> Rounded:
        return self + -as_rounded(other)

    def __rsub__(self, other: Any) -> Rounded:
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        value = self.value * other.value
        return Rounded(value, np.abs(self.value) * other.doubt + self.doubt * np.abs(other.value) + np.abs(value))

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Rounded:
        other = as_rounded(other)
        a, b = np.abs(self.value), np.abs(other.value)
        return Rounded(self.value @ other.value, a @ (other.doubt + b) + self.doubt @ b)

    def __getitem__(self, index: Any) -> Rounded:
        return Rounded(self.value[index], self.doubt[index])

    @property
    def T(self) -> Rounded:
        """Transposed."""
        return Rounded(self.value.T, self.doubt.T)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Rounded:
        """Sum in any order: the doubt is that of the largest order, the sum of all magnitudes."""
        size = self.doubt + np.abs(self.value)
        return Rounded(self.value.sum(axis=axis, keepdims=keepdims), size.sum(axis=axis, keepdims=keepdims))

    def mean(self) -> Rounded:
        """Mean over everything."""
        return self.sum() * (1.0 / self.value.size)

    def exp(self, underflow: float = 0.0) -> Rounded:
        """Exponential; ``underflow`` is the doubt of a result of 0, as libraries end at different small numbers."""
        value = np.exp(self.value)
        return Rounded(value, value * (self.doubt + 1.0) + underflow)

    def log(self) -> Rounded:
        """Logarithm of positive numbers."""
        value = np.log(self.value)
        return Rounded(value, self.doubt / self.value + np.abs(value))

    def tanh(self) -> Rounded:
        """Hyperbolic tangent, to one epsilon of 1: near 0 some make it of a sigmoid, 2 / (1 + exp(-2x)) - 1."""
        value = np.tanh(self.value)
        return Rounded(value, self.doubt * (1.0 - value * value) + 1.0)

    def clip(self, low: float, high: float, epsilon: float) -> Rounded:
        """Held between two numbers; what is surely held there has no doubt."""
        held = (self.value < low) | (self.value > high)
        sure = held & ~self.near(low, epsilon) & ~self.near(high, epsilon)
        return Rounded(np.clip(self.value, low, high), np.where(sure, 0.0, self.doubt))

    def near(self, kink: Any, epsilon: float) -> Array:
        """Whether rounding may decide on which side of ``kink`` a number lies."""
        found: Array = np.abs(self.value - kink) < NEAR * epsilon * self.doubt
        return found

    def where(self, mask: Array, epsilon: float, undecided: Any = False) -> Rounded:
        """The values under ``mask`` and 0 elsewhere; where ``undecided``, either of the two is right."""
        doubt = np.where(mask, self.doubt, 0.0)
        return Rounded(
            np.where(mask, self.value, 0.0), np.where(undecided, self.doubt + np.abs(self.value) / epsilon, doubt)
        )

    def only(self, mask: Array) -> Rounded:
        """The values under ``mask`` and an exact 0 elsewhere."""
        return Rounded(np.where(mask, self.value, 0.0), np.where(mask, self.doubt, 0.0))

    def relu(self, epsilon: float) -> Rounded:
        """The larger of the value and 0; continuous, so that the doubt stays what it was near 0."""
        positive = self.value > 0.0
        return Rounded(
            np.where(positive, self.value, 0.0), np.where(positive | self.near(0.0, epsilon), self.doubt, 0.0)
        )


def as_rounded(number: Any) -> Rounded:
    """A number or array as it is, without doubt."""
    return number if isinstance(number, Rounded) else Rounded(number)


def minimum(a: Rounded, b: Rounded) -> Rounded:
    """The smaller of two, which is off by no more than either."""
    return Rounded(np.minimum(a.value, b.value), np.maximum(a.doubt, b.doubt))


def maximum(a: Rounded, b: Rounded) -> Rounded:
    """The larger of two, which is off by no more than either."""
    return Rounded(np.maximum(a.value, b.value), np.maximum(a.doubt, b.doubt))


def concatenate(*parts: Rounded) -> Rounded:
    """Side by side, along the last axis."""
    return Rounded(np.concatenate([p.value for p in parts], -1), np.concatenate([p.doubt for p in parts], -1))
