"""Compare a backend's numbers with the oracle's, in units in the last place or to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.backend import Evaluation
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import compute_dtype
from ppocore.testing.backends.error_bounds.loss import RoundedLoss, rounded_loss
from ppocore.testing.backends.error_bounds.rounding import Rounded
from ppocore.testing.backends.problems import Problem, in_dtype
from ppocore.typing import Array

Errors = dict[str, float]
"""The largest error of each quantity that a property compares."""

Check = Callable[..., Errors]

ULP_BOUND = 4.0
"""Largest error in ulps; one ulp is epsilon times the running error bound of a number (`Rounded`)."""


class Property(NamedTuple):
    """Describe one property that every backend must have.

    Attributes:
        name: name in reports.
        check: function ``check(factory, problem, precision=..., device=...)`` that raises `Disagreement`, or returns
            the largest errors.
        problems: kind of problem that it is checked on: ``edges`` or ``steps``.
        precisions: precisions that it is checked in.
        unit: unit of the errors.
        bound: upper bound of the errors.
    """

    name: str
    check: Check
    problems: str = "edges"
    precisions: tuple[str, ...] = ("exact", "float32")
    unit: str = ""
    bound: float = 0.0


class Disagreement(AssertionError):
    """Report that a backend differs from the oracle.

    Attributes:
        quantity: what was compared.
        expected, actual: both numbers, or descriptions.
        error: error in the property's unit; infinite where no numbers were compared.
    """

    def __init__(
        self, quantity: str, expected: Any, actual: Any, error: float = float("inf"), detail: str = ""
    ) -> None:
        super().__init__(f"{quantity}: expected {expected!s}, got {actual!s}{detail and f' ({detail})'}")
        self.quantity, self.expected, self.actual, self.error = quantity, expected, actual, error


class Inapplicable(Exception):
    """Report that a property cannot be checked on a problem, for instance where numbers have no correct digits."""


class Reference(NamedTuple):
    """Hold the oracle's float64 results for a minibatch as the candidate gets it, and their running error bounds."""

    evaluation: Evaluation
    gradients: dict[str, Array]
    rounded: RoundedLoss


def epsilon_of(precision: str) -> float:
    """Return the machine epsilon of a precision's arithmetic."""
    return float(np.finfo(compute_dtype(precision)).eps)


def reference(problem: Problem, precision: str) -> Reference:
    """Compute the oracle's results for the first minibatch, in float64 whatever the precision.

    Raises:
        Inapplicable: the log-ratios are so ill-conditioned that their exponentials have no correct digits, or
            squared gradients overflow in this precision.
    """
    epsilon = epsilon_of(precision)
    batch = in_dtype(problem.batch(precision), np.float64)
    oracle = problem.backend(NumpyBackend, "exact")
    gradients = oracle.gradients(batch, problem.objective)
    rounded = rounded_loss(problem.spec, problem.weights, batch, problem.objective, np.finfo(compute_dtype(precision)))
    if epsilon * float(rounded.log_ratio.error_bound.max()) > 0.01:
        raise Inapplicable("the log-ratios have no correct digits in this precision")
    if max(np.abs(g).max() for g in gradients.values()) > 1e17 and precision != "exact":
        raise Inapplicable("squared gradients overflow in this precision")
    return Reference(oracle.evaluate(batch, problem.objective), gradients, rounded)


def ulps(quantity: str, actual: Any, expected: Any, rounded: Rounded, precision: str) -> float:
    """Return the largest error in ulps, which are epsilon times the running error bound.

    Raises:
        Disagreement: the shapes differ, a number is not finite, or an error exceeds `ULP_BOUND`.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise Disagreement(quantity, f"shape {expected.shape}", f"shape {actual.shape}")
    info = np.finfo(compute_dtype(precision))
    # Below the smallest normal number results may be flushed to zero.
    unit = np.maximum(epsilon_of(precision) * rounded.error_bound, float(info.tiny))
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.where(actual == expected, 0.0, np.abs(actual - expected) / unit)
    errors = np.where(np.isfinite(errors), errors, np.inf)
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    error = float(errors[worst])
    if error > ULP_BOUND:
        place = f"{quantity}{[int(i) for i in worst]}" if worst else quantity
        raise Disagreement(
            place,
            repr(float(expected[worst])),
            repr(float(actual[worst])),
            error,
            f"{error:.3g} ulps, bound {ULP_BOUND:g}",
        )
    return error


def require_dtype(quantity: str, array: Any, dtype: Any) -> None:
    """Raise `Disagreement` unless ``array`` is a NumPy array of this dtype."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise Disagreement(quantity, f"an array of {np.dtype(dtype)}", str(found))


def require_same_bits(quantity: str, actual: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Raise `Disagreement` for the first array that differs in its name, dtype, shape or bits."""
    if list(actual) != list(expected):
        raise Disagreement(f"{quantity}: names", list(expected), list(actual))
    for name, array in expected.items():
        other = actual[name]
        if (other.dtype, other.shape) != (array.dtype, array.shape):
            raise Disagreement(f"{quantity}: {name}", f"{array.dtype} {array.shape}", f"{other.dtype} {other.shape}")
        if other.tobytes() != array.tobytes():
            different = np.flatnonzero(other.ravel() != array.ravel())
            place = int(different[0]) if len(different) else 0
            raise Disagreement(
                f"{quantity}: {name}",
                repr(float(array.ravel()[place])),
                repr(float(other.ravel()[place])),
                detail=f"number {place} of {array.size}; {len(different)} differ",
            )


def differing(actual: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Count the numbers that differ."""
    return float(sum(np.count_nonzero(actual[name] != array) for name, array in expected.items()))
