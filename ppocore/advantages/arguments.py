"""Check and convert the arguments that the estimators share.

Every error names the argument, its value and what is expected.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from ppocore.advantages.arrays import Read, common_precision, framework_of, give_back, read
from ppocore.typing import AnyArray, Array, Bools, Floats

P = ParamSpec("P")
R = TypeVar("R")

DONE_MESSAGE = (
    "terminated and truncated are both needed, not one done flag, because the value of the successor counts after a "
    "truncation but not after a termination: pass terminated=dones, truncated=numpy.zeros_like(dones) if episodes are "
    "never truncated"
)


def needs_both_flags(function: Callable[P, R]) -> Callable[P, R]:
    """Raise an error that explains why one ``done`` is not enough, in place of "missing argument"."""

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            if _is_missing_flags(function, args, kwargs):
                raise TypeError(f"{function.__name__}: {DONE_MESSAGE}") from None
            raise

    return checked


def _is_missing_flags(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if {"done", "dones"} & kwargs.keys():
        return True
    bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    flags = {"terminated", "truncated"} & inspect.signature(function).parameters.keys()
    return any(bound.get(name) is None for name in flags)


def unit_interval(name: str, x: float) -> float:
    """Convert a number from 0 to 1 to a float."""
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise TypeError(f"{name} must be a number from 0 to 1, not {type(x).__name__}")
    if not 0.0 <= x <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], but is {x}")
    return float(x)


def positive(name: str, x: float) -> float:
    """Convert a number above 0, which may be infinite, to a float."""
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise TypeError(f"{name} must be a number above 0, not {type(x).__name__}")
    if math.isnan(x) or x <= 0.0:
        raise ValueError(f"{name} must be above 0, but is {x}")
    return float(x)


def positive_integer(name: str, x: int) -> int:
    """Convert a whole number of at least 1 to an int."""
    if isinstance(x, bool) or not isinstance(x, numbers.Integral):
        raise TypeError(f"{name} must be a whole number of at least 1, not {type(x).__name__}")
    if x < 1:
        raise ValueError(f"{name} must be at least 1, but is {x}")
    return int(x)


class Sequences:
    """Convert the arrays of one call to ``(T, N)`` without invalid rows, and convert results back.

    Rows where ``valid`` is False are removed from each column and the other rows moved up, so that an estimator never
    sees them. The end of a shorter column is padded with zeros and False.

    Attributes:
        first: the array whose shape, library and device the results have.
        length: T, the number of rows before any are removed.
        columns: N.
    """

    def __init__(self, name: str, first: AnyArray, *, valid: AnyArray | None = None, time_axis: int = 0) -> None:
        self._like = first
        self._framework = framework_of(first)
        self._seen_framework = self._framework  # of any argument so far
        self._precisions: set[str] = set()
        self._order: npt.NDArray[np.intp] | None = None
        array = self._read(name, first).array
        self._shape = array.shape
        self._transposed = self._time_is_last(name, time_axis)
        self.length, self.columns = self._time_major(array).shape
        if valid is not None:
            mask = self.flags("valid", valid)
            if not mask.all():
                self._valid = mask
                self._counts = mask.sum(axis=0)
                self._padding = np.arange(self.length)[:, None] >= self._counts
                self._order = np.argsort(~mask, axis=0, kind="stable")
        self.first = self.numbers(name, first)

    def numbers(self, name: str, x: AnyArray, *, scalar: bool = False) -> Array:
        """Convert numbers to ``(T, N)`` in their own dtype; with ``scalar``, one number may stand for all rows."""
        array, precision = self._real_numbers(name, x)
        if scalar and array.ndim == 0:
            return np.broadcast_to(array.astype(np.float64), (self.length, self.columns))
        self._check_shape(name, array)
        self._precisions.add(precision)
        return self._without_invalid(self._time_major(array))

    def flags(self, name: str, x: AnyArray) -> Bools:
        """Convert flags to bool ``(T, N)``; integers and floats must be 0 or 1."""
        if x is None:
            raise TypeError(f"{name} must be an array of flags, not None")
        array = self._read(name, x).array
        self._check_shape(name, array)
        array = self._without_invalid(self._time_major(array))
        if array.dtype == np.bool_:
            return array
        flags: Bools = np.equal(array, 1) if array.dtype.kind in "fiu" else np.zeros(array.shape, np.bool_)
        if array.dtype.kind not in "fiu" or not (flags | np.equal(array, 0)).all():
            raise ValueError(f"{name} must hold flags, True and False or 0 and 1, but its dtype is {array.dtype}")
        return flags

    def row(self, name: str, x: AnyArray) -> Floats:
        """Convert one number for each column to ``(N,)``."""
        array, precision = self._real_numbers(name, x)
        expected = (self.columns,) if len(self._shape) == 2 else ()
        if array.shape not in ((self.columns,), expected):
            raise ValueError(f"{name} has shape {array.shape}, but shape {expected} is expected")
        self._precisions.add(precision)
        return array.reshape(self.columns).astype(np.float64)

    def with_last_rows(self, ended: Bools) -> Bools:
        """Copy ``ended``, with the last row of each column set as well."""
        ended = ended.copy()
        if self._order is None:
            ended[-1:] = True
        else:
            filled = np.flatnonzero(self._counts)
            ended[self._counts[filled] - 1, filled] = True
        return ended

    @property
    def precision(self) -> str:
        """Return the floating-point format of the results, which is known after every array has been converted."""
        return common_precision(self._precisions)

    def empty_result(self) -> Array:
        """Allocate memory for a result: float32 if the result is, otherwise float64."""
        dtype = np.float32 if self.precision == "float32" else np.float64
        return np.empty((self.length, self.columns), dtype)

    def give_back(self, result: Array) -> AnyArray:
        """Convert a ``(T, N)`` result to the caller's library, layout and precision, with 0 in invalid rows."""
        if self._order is not None:
            whole = np.empty_like(result)
            np.put_along_axis(whole, self._order, result, axis=0)
            np.copyto(whole, 0.0, where=~self._valid)
            result = whole
        if len(self._shape) == 1:
            result = result[:, 0]
        elif self._transposed:
            result = result.T
        return give_back(result, self.precision, self._like, self._framework)

    def _real_numbers(self, name: str, x: AnyArray) -> Read:
        found = self._read(name, x)
        if found.array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, but its dtype is {found.array.dtype}")
        return found

    def _read(self, name: str, x: AnyArray) -> Read:
        framework = framework_of(x)
        if framework is not None:
            self._seen_framework = self._seen_framework or framework
            if framework != self._seen_framework:
                raise TypeError(f"{name} is a {framework} array among {self._seen_framework} arrays: pass one kind")
        try:
            return read(x, framework)
        except ValueError as error:
            raise ValueError(f"{name} cannot be read as an array: {error}") from None

    def _time_is_last(self, name: str, time_axis: int) -> bool:
        dimensions = len(self._shape)
        if dimensions not in (1, 2):
            raise ValueError(f"{name} must have shape (T,) or (T, N), but has shape {self._shape}")
        axis = operator.index(time_axis)
        if not -dimensions <= axis < dimensions:
            raise ValueError(f"time_axis is {axis}, but {name} has shape {self._shape}")
        return dimensions == 2 and axis % 2 == 1

    def _check_shape(self, name: str, array: Array) -> None:
        if array.shape != self._shape:
            raise ValueError(f"{name} has shape {array.shape}, but shape {self._shape} is expected")

    def _time_major(self, array: Array) -> Array:
        if array.ndim == 1:
            return array[:, None]
        return array.T if self._transposed else array

    def _without_invalid(self, array: Array) -> Array:
        if self._order is None:
            return array
        kept = np.take_along_axis(array, self._order, axis=0)
        kept[self._padding] = 0
        return kept
