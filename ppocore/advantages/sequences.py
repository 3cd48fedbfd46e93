"""Convert the arrays of one call to ``(T, N)``, and its results back."""

from __future__ import annotations

import math
import operator

import numpy as np
import numpy.typing as npt

from ppocore.advantages.arrays import Read, common_precision, framework_of, give_back, read
from ppocore.typing import AnyArray, Array, Bools, Floats


class Sequences:
    """Convert the arrays of one call to ``(T, N)`` without invalid rows, and convert results back.

    Axes other than the time's, such as agents', become further columns. Rows where ``valid`` is False are removed from
    each column and the other rows moved up, so that an estimator never sees them. The end of a shorter column is padded
    with zeros and False.

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
        self._axis = self._time_axis(name, time_axis)
        self._others = self._shape[: self._axis] + self._shape[self._axis + 1 :]
        self.length, self.columns = self._shape[self._axis], math.prod(self._others)
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

    def row(self, name: str, x: AnyArray, *, scalar: bool = False) -> Floats:
        """Convert one number for each column to ``(N,)``; with ``scalar``, one number may stand for all columns."""
        array, precision = self._real_numbers(name, x)
        if scalar and array.ndim == 0:
            return np.full(self.columns, array, np.float64)
        if array.shape != self._others and not (self._others == () and array.shape == (1,)):
            raise ValueError(f"{name} has shape {array.shape}, but shape {self._others} is expected")
        self._precisions.add(precision)
        return array.reshape(self.columns).astype(np.float64)

    @property
    def has_invalid(self) -> bool:
        """Tell whether there are rows that are not valid."""
        return self._order is not None

    @property
    def longest(self) -> int:
        """Return the number of valid rows of the column that has most."""
        return self.length if self._order is None else int(self._counts.max(initial=0))

    def with_last_rows(self, ended: Bools) -> Bools:
        """Copy ``ended``, with the last row of each column set as well."""
        ended = ended.copy()
        ended[self.last_rows()] = True
        return ended

    def last_rows(self) -> tuple[Array, Array]:
        """Return the rows and columns of the last row of each column, those of no valid row left out."""
        counts = np.full(self.columns, self.length) if self._order is None else self._counts
        filled = np.flatnonzero(counts)
        return counts[filled] - 1, filled

    def parameter(self, name: str, x: AnyArray) -> Floats:
        """Convert a parameter of each row, or of each column, to ``(T, N)``; the results' format ignores it."""
        array = self._real_numbers(name, x).array.astype(np.float64)
        if array.shape == self._others:
            array = np.expand_dims(array, self._axis)
            array = np.broadcast_to(array, self._shape)
        self._check_shape(name, array)
        return self._without_invalid(self._time_major(array))

    def following(self, last: Floats, values: Array | None = None) -> Floats:
        """Return ``values``, by default the first array, moved up by one row, with ``last`` after each last row."""
        moved = np.zeros((self.length, self.columns))
        moved[:-1] = (self.first if values is None else values)[1:]
        rows, columns = self.last_rows()
        moved[rows, columns] = last[columns]
        return moved

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
        result = result.reshape((self.length, *self._others))
        if self._axis != 0:
            result = np.moveaxis(result, 0, self._axis)
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
        return read_named(name, x, framework)

    def _time_axis(self, name: str, time_axis: int) -> int:
        dimensions = len(self._shape)
        if dimensions == 0:
            raise ValueError(f"{name} must have shape (T,) or (T, N), but has shape ()")
        axis = operator.index(time_axis)
        if not -dimensions <= axis < dimensions:
            raise ValueError(f"time_axis is {axis}, but {name} has shape {self._shape}")
        return axis % dimensions

    def _check_shape(self, name: str, array: Array) -> None:
        if array.shape != self._shape:
            advice = self._advice(name, array.shape)
            raise ValueError(f"{name} has shape {array.shape}, but shape {self._shape} is expected{advice}")

    def _advice(self, name: str, shape: tuple[int, ...]) -> str:
        """Return what to do about the usual wrong shapes: values of one row more, of the last row, of a trailing 1."""
        longer = (*self._shape[: self._axis], self.length + 1, *self._shape[self._axis + 1 :])
        if name == "next_values" and shape in (self._others, (1, *self._others), longer):
            return ": make it with ppocore.successor_values(values, last_values)"
        if name == "values" and shape == longer:
            return ": pass values[:-1], and values[1:] as next_values where no episode was truncated"
        if shape == (*self._shape, 1):
            return f": drop its last axis, {name}[..., 0]"
        if self._shape == (*shape, 1):
            return f": give it a last axis, {name}[..., None]"
        return ""

    def _time_major(self, array: Array) -> Array:
        if array.ndim == 1:
            return array[:, None]
        if array.ndim == 2:
            return array if self._axis == 0 else array.T
        return np.moveaxis(array, self._axis, 0).reshape(self.length, self.columns)

    def _without_invalid(self, array: Array) -> Array:
        if self._order is None:
            return array
        kept = np.take_along_axis(array, self._order, axis=0)
        kept[self._padding] = 0
        return kept


def read_named(name: str, x: AnyArray, framework: str | None) -> Read:
    """Convert ``x`` to NumPy, or raise an error that names it."""
    try:
        return read(x, framework)
    except Exception as error:  # also a framework's own, for a tensor that holds no numbers
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if line.startswith("is a masked array"):
            raise TypeError(f"{name} {line}") from None
        if framework is None:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name} cannot be read as an array: {line}") from None
        raise ValueError(
            f"{name} holds no numbers that can be read here ({line.rstrip('.')}): call this outside of whatever "
            f"transforms the function, and with arrays on a device"
        ) from None
