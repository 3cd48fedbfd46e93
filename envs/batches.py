"""Read what a vector environment returned for all its environments, and check it at little cost.

Functions that read raise a `ValueError` if it has another shape, or cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.envs.infos import from_list
from ppocore.spaces import fitted
from ppocore.typing import Array, Bools, Floats

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that a rollout can store."""


def observations(given: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return observations (N, *O); floating-point ones in their own dtype, if it is not wider than float64."""
    if type(given) is np.ndarray and given.shape == shape:
        both_floats = given.dtype.kind == "f" and dtype.kind == "f"
        if given.dtype is dtype or (both_floats and given.dtype.itemsize <= 8):
            return given
    return _fitted("observations", given, dtype, shape)


def rewards(given: Any, shape: tuple[int, ...]) -> Floats:
    """Return rewards (N,) as float64."""
    if type(given) is np.ndarray and given.dtype.kind == "f" and given.shape == shape:
        return given.astype(np.float64, copy=False)
    return _fitted("rewards", given, np.dtype(np.float64), shape)


def flags(name: str, given: Any, shape: tuple[int, ...]) -> Bools:
    """Return flags (N,), which may be 0 and 1, as bool."""
    if type(given) is np.ndarray and given.dtype.kind == "b" and given.shape == shape:
        return given
    return _fitted(f"{name} flags", given, np.dtype(np.bool_), shape)


def info(given: Any) -> dict[str, Any]:
    """Return an info, which may be a list of a dict for each environment, as one dict."""
    if isinstance(given, Mapping):
        return given if isinstance(given, dict) else dict(given)
    return from_list(given) if isinstance(given, list | tuple) else {}


def fits(values: Array, zeros: Array | None = None) -> bool:
    """Tell whether all numbers are finite in float32; a False may be a mistake, which `first_misfit` decides.

    It is one dot product, ``vdot`` because ``dot`` warns of invalid values.

    Args:
        values: the numbers.
        zeros: zeros of the shape of ``values``, where those are float32 or narrower, whose squares could be too large.
    """
    if zeros is not None and values.dtype.itemsize <= 4:
        return bool(np.vdot(zeros, values) == 0.0)  # zero times NaN or infinity is NaN
    return bool(np.vdot(values, values) <= LARGEST * LARGEST)  # the sum of all squares


def first_misfit(values: Array) -> tuple[int, str] | None:
    """Return the row of the first number that is not finite in float32, and a description; or None."""
    where = np.argwhere(~(np.abs(values) <= LARGEST))
    if not len(where):
        return None
    index, *element = where[0].tolist()
    value = values[tuple(where[0])]
    too_large = ", which is too large for float32" if np.isfinite(value) else ""
    return index, f"with {value} at {element}{too_large}" if element else f"{value}{too_large}"


def _fitted(name: str, given: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    try:
        return fitted(given, dtype, shape)
    except ValueError as error:
        raise ValueError(f"the array of all {name} {error}") from error
