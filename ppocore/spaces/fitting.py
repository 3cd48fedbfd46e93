"""Convert what was given to an array of a dtype, if it can hold it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.typing import Array


def fitted(given: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return ``given`` as an array of ``dtype`` and ``shape``; a floating-point dtype may round it.

    Raises:
        ValueError: another shape, something other than real numbers, or a number that ``dtype`` cannot hold; the
            message completes a sentence that begins with "it".
    """
    array = given if type(given) is np.ndarray else _as_array(given)
    if array.shape != shape:
        raise ValueError(f"has shape {array.shape}, expected {shape}")
    if array.dtype is dtype:
        return array
    if array.dtype.kind == "O":
        array = _numbers(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"has dtype {array.dtype}, expected real numbers")
    if not np.can_cast(array.dtype, dtype):
        _check_fits(array, dtype)
    return array.astype(dtype)


def _as_array(given: Any) -> Array:
    if given is None or isinstance(given, Mapping | set | str | bytes):
        raise ValueError(f"is {'None' if given is None else f'of type {type(given).__name__}'}, expected real numbers")
    try:
        array = np.asarray(given)
    except Exception as error:  # of any array library
        raise ValueError(f"is no array of numbers ({type(error).__name__}: {' '.join(str(error).split())})") from error
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise ValueError("has masked elements, which have no value")
    return array


def _numbers(array: Array) -> Array:
    """Return an array of Python objects as numbers."""
    for element in array.ravel().tolist():
        if not isinstance(element, numbers.Real | np.bool_):
            raise ValueError(f"holds an object of type {type(element).__name__}, expected real numbers")
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError("holds an integer that no float can hold") from None


def _check_fits(array: Array, dtype: np.dtype[Any]) -> None:
    """Check that ``dtype``, which cannot hold every value of the array's dtype, can hold those that there are."""
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        wide = array if array.dtype.itemsize > 8 else array.astype(np.float64)
        # One product tells in the usual case: no number is too large if the sum of all squares is not.
        if dtype.itemsize < 8 and np.vdot(wide, wide) < largest * largest:
            return
        misfits = np.isfinite(wide) & (np.abs(wide) > largest)
    elif dtype.kind == "b":
        misfits = (array != 0) & (array != 1)
    else:
        limits = np.iinfo(dtype)
        # The upper limit plus 1 is exact in floating point, the limit itself need not be.
        above = array >= float(limits.max) + 1.0 if array.dtype.kind == "f" else array > limits.max
        misfits = ~((array >= limits.min) & ~above)
        if array.dtype.kind == "f":
            misfits |= array != np.floor(array)
    if misfits.any():
        where = np.argwhere(misfits)[0]
        at = f" at {where.tolist()}" if len(where) else ""
        raise ValueError(f"holds {array[tuple(where)]!s}{at}, which its space's dtype {dtype} cannot hold")
