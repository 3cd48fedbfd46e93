"""Bound the result of one optimizer step by intervals, from the gradients that rounding allows.

Rounding to float32, or to exact mode's grid, is monotonic, so it maps the ends of an interval to the ends of the
rounded interval. Where both ends round to one number, the result is known to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ppocore.optimizers import ADAM_BETAS, gradient_grid
from ppocore.testing.backends.comparison import ULP_BOUND, Disagreement, Reference, epsilon_of
from ppocore.testing.backends.problems import Problem
from ppocore.typing import Array


class Interval(NamedTuple):
    """Hold lower and upper bounds, arrays of one shape."""

    low: Array
    high: Array

    def stored(self) -> Interval:
        """Round to float32, where numbers below the smallest normal one may be flushed to zero."""
        tiny = float(np.finfo(np.float32).tiny)
        return Interval((self.low - tiny).astype(np.float32), (self.high + tiny).astype(np.float32))

    def require(self, quantity: str, actual: Array) -> None:
        """Raise `Disagreement` for a number outside the bounds."""
        outside = ~((actual >= self.low) & (actual <= self.high))
        if outside.any():
            place = np.unravel_index(int(outside.argmax()), outside.shape)
            low, high = float(self.low[place]), float(self.high[place])
            raise Disagreement(
                f"{quantity}{[int(i) for i in place]}",
                repr(low) if low == high else f"between {low!r} and {high!r}",
                repr(float(actual[place])),
            )


def clipped_gradients(problem: Problem, expected: Reference, precision: str) -> dict[str, Interval]:
    """Bound the gradients that the optimizer gets, by weight name: clipped, and in exact mode rounded to the grid."""
    epsilon = epsilon_of(precision)
    smallest, largest = _factors(problem.max_grad_norm, expected, epsilon)
    grid = gradient_grid(problem.adam_epsilon) if precision == "exact" else 0.0
    intervals: dict[str, Interval] = {}
    for name, gradient in expected.gradients.items():
        margin = ULP_BOUND * epsilon * expected.rounded.gradients[name].error_bound
        ends = np.stack([(gradient + side * margin) * f for side in (-1.0, 1.0) for f in (smallest, largest)])
        low, high = ends.min(axis=0), ends.max(axis=0)
        low, high = low - 4.0 * epsilon * np.abs(low), high + 4.0 * epsilon * np.abs(high)
        intervals[name] = Interval(low + grid - grid, high + grid - grid)
    return intervals


def _factors(limit: float | None, expected: Reference, epsilon: float) -> tuple[float, float]:
    """Bound the factor of the gradient, which is 1, or limit / norm with the norm in float32."""
    norm = expected.rounded.stats["grad_norm"]
    length, margin = float(norm.value), ULP_BOUND * epsilon * float(norm.error_bound)
    if limit is None or length + margin <= limit:
        return 1.0, 1.0
    factors = [limit / float(np.float32(x)) for x in (length + margin, max(length - margin, limit))]
    return (factors[0], factors[1]) if length - margin > limit else (min(1.0, factors[0]), max(1.0, factors[1]))


def first_moments(problem: Problem, expected: Reference, precision: str) -> dict[str, Interval]:
    """Bound Adam's first moments after one step from zero, by weight name."""
    share = 1.0 - ADAM_BETAS[0]
    relative = 4.0 * epsilon_of(precision)
    return {
        name: Interval(share * low - relative * np.abs(low), share * high + relative * np.abs(high)).stored()
        for name, (low, high) in clipped_gradients(problem, expected, precision).items()
    }


def after_one_step(problem: Problem, expected: Reference, precision: str) -> dict[str, Interval]:
    """Bound the weights and both moments after one step from moments of zero, by the names of a state."""
    epsilon, rate, share = epsilon_of(precision), problem.learning_rate, 1.0 - ADAM_BETAS[1]
    found = {f"adam.m.{name}": interval for name, interval in first_moments(problem, expected, precision).items()}
    for name, (low, high) in clipped_gradients(problem, expected, precision).items():
        crosses = (low < 0.0) & (high > 0.0)
        near = np.where(crosses, 0.0, np.minimum(np.abs(low), np.abs(high)))
        far = np.maximum(np.abs(low), np.abs(high))
        found[f"adam.v.{name}"] = Interval(
            share * near**2 * (1.0 - 8.0 * epsilon), share * far**2 * (1.0 + 8.0 * epsilon)
        ).stored()
        weight = problem.weights[name].astype(np.float64)
        # After bias correction the moments are g and g^2; the step is rate * g / (|g| + epsilon), which grows with g.
        least, most = (rate * g / (np.abs(g) + problem.adam_epsilon) for g in (low, high))
        pad = 8.0 * epsilon * (np.abs(weight) + rate)
        found[name] = Interval(weight - most - pad, weight - least + pad).stored()
    return found
