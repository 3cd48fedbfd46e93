"""Standardize numbers over those that are valid, and compare predictions with what came.

Computed in float64. `ppocore.normalize` has the statistics that run along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ppocore.advantages.arrays import framework_of, give_back
from ppocore.advantages.calls import estimator
from ppocore.advantages.sequences import read_named
from ppocore.typing import AnyArray, ArrayT, Bools, Floats


@overload
def normalize(x: ArrayT, valid: AnyArray | None = ..., epsilon: float = ...) -> ArrayT: ...


@overload
def normalize(x: Sequence[Any], valid: AnyArray | None = ..., epsilon: float = ...) -> Any: ...


@estimator
def normalize(x: AnyArray, valid: AnyArray | None = None, epsilon: float = 1e-8) -> AnyArray:
    """Return ``(x - mean) / (std + epsilon)``, mean and std (ddof 0) taken over the valid elements.

    ===== ============ ===========================================================
    x     any shape    numbers; NumPy, torch, paddle or JAX
    valid shape of ``x`` flags; invalid elements become 0, whatever they hold
    ===== ============ ===========================================================

    A single element, or finite elements that are all equal, become 0.

    Returns:
        The same kind of array; float32 in, float32 out; integers give float64. Computed in float64.

    Raises:
        ValueError: ``valid`` is not shaped as ``x``, or holds something other than flags.
    """
    return _where_valid(x, valid, lambda numbers: _standardized(numbers, epsilon))


@overload
def masked_whiten(
    x: ArrayT, mask: AnyArray, *, shift_mean: bool = ..., epsilon: float = ..., ddof: int = ...
) -> ArrayT: ...


@overload
def masked_whiten(
    x: Sequence[Any], mask: AnyArray, *, shift_mean: bool = ..., epsilon: float = ..., ddof: int = ...
) -> Any: ...


@estimator
def masked_whiten(
    x: AnyArray, mask: AnyArray, *, shift_mean: bool = True, epsilon: float = 1e-8, ddof: int = 1
) -> AnyArray:
    """Return ``(x - mean) / sqrt(var + epsilon)`` over the elements where ``mask`` is set, and 0 elsewhere.

    As libraries of language-model training do it: over all tokens of a batch together, epsilon below the root, with
    the unbiased variance. `normalize` is what PPO does with environments.

    Args:
        x: numbers of any shape; NumPy, torch, paddle or JAX. Not read where ``mask`` is not set.
        mask: flags, shaped as ``x``.
        shift_mean: whether the mean is taken away; if not, elements are only scaled about it.
        epsilon: added to the variance.
        ddof: the variance divides by the number of elements less ``ddof``: 1 unbiased, 0 the population's.

    Returns:
        The same kind of array; float32 in, float32 out. Computed in float64. Elements that are all equal, and a single
        one, become 0, or their mean without ``shift_mean``.

    Raises:
        ValueError: ``mask`` is not shaped as ``x`` or holds something other than flags, or ``ddof`` is not 0 or 1.
    """
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, but is {ddof}")

    def whiten(numbers: Floats) -> Floats:
        if numbers.size == 0:
            return numbers
        mean = np.add.reduce(numbers, axis=None) / numbers.size
        centered = np.zeros_like(numbers) if _is_constant(numbers) else numbers - mean
        variance = np.add.reduce(centered * centered, axis=None) / max(1, numbers.size - ddof)
        whitened = centered / math.sqrt(variance + epsilon)
        return whitened if shift_mean else whitened + mean

    return _where_valid(x, mask, whiten)


def _where_valid(x: AnyArray, valid: AnyArray | None, function: Callable[[Floats], Floats]) -> AnyArray:
    """Apply a function to the valid elements; the others become 0."""
    framework = framework_of(x)
    array, precision = read_named("x", x, framework)
    numbers = array.astype(np.float64)
    mask = mask_of(valid, numbers.shape)
    if mask is None:
        result = function(numbers)
    else:
        result = np.zeros_like(numbers)
        result[mask] = function(numbers[mask])
    return give_back(result, precision, x, framework)


def _standardized(x: Floats, epsilon: float) -> Floats:
    """Normalize numbers that are all valid; plain sums, because ``mean`` and ``std`` are several times slower."""
    if x.size == 0:
        return x
    mean = np.add.reduce(x, axis=None) / x.size
    centered = x - mean
    variance = np.add.reduce(centered * centered, axis=None) / x.size
    if variance <= (1e-12 * mean) ** 2 and _is_constant(x):  # else the rounding error of the mean would be amplified
        return np.zeros_like(x)
    standardized: Floats = centered / (math.sqrt(variance) + epsilon)
    return standardized


def explained_variance(values: AnyArray, returns: AnyArray, valid: AnyArray | None = None) -> float:
    """Return ``1 - Var(returns - values) / Var(returns)`` over the valid elements.

    1 is a perfect prediction, 0 is as good as a constant, and below 0 is worse than a constant. It is NaN if
    ``returns`` have no variance.

    Raises:
        ValueError: ``returns`` or ``valid`` is not shaped as ``values``, or ``valid`` holds something other than flags.
    """
    predicted = read_named("values", values, framework_of(values)).array.astype(np.float64)
    observed = read_named("returns", returns, framework_of(returns)).array.astype(np.float64)
    if observed.shape != predicted.shape:
        raise ValueError(f"returns has shape {observed.shape}, but shape {predicted.shape} is expected")
    mask = mask_of(valid, predicted.shape)
    if mask is not None:
        predicted, observed = predicted[mask], observed[mask]
    if observed.size == 0 or _is_constant(observed):
        return math.nan
    return float(1.0 - np.var(observed - predicted) / np.var(observed))


def _is_constant(x: Floats) -> bool:
    """Tell whether all elements are equal; their computed variance need not be exactly 0."""
    return bool(x.min() == x.max())


def mask_of(valid: AnyArray | None, shape: tuple[int, ...]) -> Bools | None:
    """Return ``valid`` as bool, or None where every element is valid."""
    if valid is None:
        return None
    mask = flags_of("valid", valid, shape)
    return None if mask.all() else mask


def flags_of(name: str, x: AnyArray, shape: tuple[int, ...]) -> Bools:
    """Return flags of a shape as bool."""
    array = x if type(x) is np.ndarray else read_named(name, x, framework_of(x)).array
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but shape {shape} is expected")
    if array.dtype != np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} must hold flags (True and False, or 0 and 1)")
        array = np.equal(array, 1)
    return array
