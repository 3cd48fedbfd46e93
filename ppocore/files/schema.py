"""Check what a file holds: JSON of a given form, and tensors of a given dtype, shape and range.

A checksum says that a file is the one that was written, not that what it says is possible. A `Check` is a function of a
value and what the value is called; it returns the value or raises a `ValueError` of one sentence.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ppocore.typing import Array

Check = Callable[[Any, str], Any]

LARGEST = 2**63 - 1
_LARGEST = sys.float_info.max
DEPTH = 32
"""Largest nesting of JSON, and of the parts of a space."""


def parse_json(text: str | bytes) -> Any:
    """Parse JSON without NaN and infinities.

    Raises:
        ValueError: not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def shown(value: Any) -> str:
    """Return a value in a few words, for a message."""
    if isinstance(value, dict | list) and value:
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge integer"
    return text if len(text) <= 40 else f"{text[:37]}..."


def integer(low: int = 0, high: int = LARGEST) -> Check:
    """Return a check for integers from ``low`` to ``high``."""

    def check(value: Any, name: str) -> Any:
        if type(value) is not int or not low <= value <= high:
            limits = f"from {low} to {high}" if high < LARGEST else f"of at least {low}"
            raise ValueError(f"{name} is {shown(value)}, expected an integer {limits}")
        return value

    return check


def number(low: float = -math.inf, high: float = math.inf, *, above: float | None = None) -> Check:
    """Return a check for finite numbers from ``low`` to ``high``, and above ``above``."""

    def check(value: Any, name: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {shown(value)}, expected a number")
        outside = not low <= value <= high or (above is not None and value <= above)
        if outside or not -_LARGEST <= value <= _LARGEST:  # not `isfinite`, which overflows for huge integers
            limit = f" above {above:g}" if above is not None else f" of at least {low:g}" if low > -math.inf else ""
            limit += f", at most {high:g}" if high < math.inf else ""
            raise ValueError(f"{name} is {shown(value)}, expected a finite number{limit}")
        return value

    return check


def text(value: Any, name: str) -> Any:
    """Check for a string of printable characters."""
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ValueError(f"{name} is {shown(value)}, expected a string of printable characters")
    return value


def flag(value: Any, name: str) -> Any:
    """Check for True and False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}, expected true or false")
    return value


def one_of(*choices: str) -> Check:
    """Return a check for one of a few strings."""

    def check(value: Any, name: str) -> Any:
        if value not in choices or not isinstance(value, str):
            raise ValueError(f"{name} is {shown(value)}, expected one of {', '.join(choices)}")
        return value

    return check


def nullable(inner: Check) -> Check:
    """Return a check for null, or what another check accepts."""
    return lambda value, name: None if value is None else inner(value, name)


def listing(inner: Check, *, longest: int = 10**7) -> Check:
    """Return a check for lists of what another check accepts."""

    def check(value: Any, name: str) -> Any:
        if not isinstance(value, list) or len(value) > longest:
            raise ValueError(f"{name} is {shown(value)}, expected a list of at most {longest} entries")
        for index, entry in enumerate(value):
            inner(entry, f"{name}[{index}]")
        return value

    return check


def record(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, others: bool = False
) -> Check:
    """Return a check for objects.

    Args:
        required: the entries that must be there.
        optional: those that may be there.
        others: whether there may be others still, which are not checked.
    """
    known = {**required, **(optional or {})}

    def check(value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {shown(value)}, expected an object")
        missing = [key for key in required if key not in value]
        if missing:
            raise ValueError(f"{name} has no {missing[0]}")
        for key, entry in value.items():
            if key in known:
                known[key](entry, key if name == TOP else f"{name}.{key}")
            elif not others:
                raise ValueError(f"{name} has an unknown entry {shown(key)}")
        return value

    return check


TOP = "it"
"""What the whole description is called; its entries are called by their own names."""

_WORD = integer(0, 2**128 - 1)
RNG = record(
    {
        "bit_generator": one_of("PCG64"),
        "state": record({"state": _WORD, "inc": _WORD}),
        "has_uint32": integer(0, 1),
        "uinteger": integer(0, 2**32 - 1),
    }
)
"""The state of NumPy's default generator."""


def tensor(
    tensors: Mapping[str, Any],
    name: str,
    shape: Sequence[int | None] | None,
    dtype: str,
    *,
    least: float | None = None,
    finite: bool = True,
    nan: bool = False,
    prefix: str = "",
) -> Array:
    """Return a tensor of a file after checking it.

    Args:
        tensors: the tensors by name.
        name: its name.
        shape: its shape, in which None stands for any length; None for any shape.
        dtype: its dtype.
        least: the smallest number allowed.
        finite: whether infinities and NaN are refused.
        nan: whether NaN is allowed where infinities are.
        prefix: what comes before its name in messages.

    Raises:
        ValueError: it is missing, or is not such a tensor.
    """
    if name not in tensors:
        raise ValueError(f"tensor {prefix}{name} is missing")
    array = np.asarray(tensors[name])
    if array.dtype.name != dtype:
        raise ValueError(f"tensor {prefix}{name} has dtype {array.dtype.name}, expected {dtype}")
    if shape is not None and not _fits(array.shape, shape):
        expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"tensor {prefix}{name} has shape {array.shape}, expected {expected}")
    refused = ~np.isfinite(array) if finite else np.isnan(array) if not nan else np.zeros(0, np.bool_)
    if refused.any():
        raise ValueError(f"tensor {prefix}{name} has entries that are {'not finite' if finite else 'NaN'}")
    if least is not None and array.size and array.min() < least:
        raise ValueError(f"tensor {prefix}{name} has the entry {array.min()}, expected at least {least}")
    return array


def _fits(found: tuple[int, ...], shape: Sequence[int | None]) -> bool:
    return len(found) == len(shape) and all(n is None or n == m for n, m in zip(shape, found, strict=True))
