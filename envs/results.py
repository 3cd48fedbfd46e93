"""Read what one environment returned, by one rule wherever it is stepped.

Every function raises a `ValueError` whose message completes a sentence that begins with "it".
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.spaces import fitted

REWARD_TYPES = frozenset({float, np.float64, np.float32})
"""What is a reward as it is."""
FLAG_TYPES = frozenset({bool, np.bool_})
"""What is a flag as it is."""


def step_parts(result: Any) -> Any:
    """Return the five parts of a step's result."""
    if isinstance(result, tuple | list) and len(result) == 5:
        return result
    raise ValueError(
        f"returned {_kind(result)} from step, expected (observation, reward, terminated, truncated, info)"
        + ("; the four of the old Gym need a wrapper that splits done" if _is_old(result) else "")
    )


def reset_parts(result: Any) -> Any:
    """Return the two parts of a reset's result."""
    if isinstance(result, tuple | list) and len(result) == 2:
        read_info(result[1])
        return result
    raise ValueError(f"returned {_kind(result)} from reset, expected (observation, info)")


def read_reward(reward: Any) -> float:
    """Return a reward, which may be an array of shape () or (1,), as float."""
    value = _single("a reward", reward, "one number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"gave a reward {_short(value)}, which no float can hold") from None
    except (TypeError, ValueError):
        raise ValueError(f"gave a reward {_short(value)}, expected one number") from None


def read_flag(name: str, flag: Any) -> bool:
    """Return ``terminated`` or ``truncated``, which may be 0 or 1 and an array of shape () or (1,), as bool."""
    value = _single(name, flag, "True or False")
    if value not in (0, 1):
        raise ValueError(f"gave {name}={value}, expected True or False")
    return bool(value)


def read_info(info: Any) -> Mapping[str, Any]:
    """Return an info, which may be None."""
    if info is None:
        return {}
    if not isinstance(info, Mapping):
        raise ValueError(f"gave an info of type {type(info).__name__}, expected a dict")
    return info


def _single(name: str, given: Any, expected: str) -> Any:
    """Return the real number that ``given`` is, or is an array of."""
    shape = getattr(given, "shape", None)
    if shape is not None and not isinstance(given, np.generic):
        if tuple(shape) not in ((), (1,)):
            raise ValueError(f"gave {name} of shape {tuple(shape)}, expected {expected}")
        try:
            given = fitted(given, np.dtype(np.float64), tuple(shape)).reshape(())[()]
        except ValueError as error:
            raise ValueError(f"gave {name} that {error}, expected {expected}") from None
    if isinstance(given, numbers.Real | np.bool_) or (
        isinstance(given, numbers.Number) and not isinstance(given, numbers.Complex)  # a Decimal
    ):
        return given
    raise ValueError(f"gave {name} {_short(given)} of type {type(given).__name__}, expected {expected}")


def _kind(result: Any) -> str:
    return f"{len(result)} values" if isinstance(result, tuple | list) else _short(result)


def _short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # its own, or an integer of too many digits
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_old(result: Any) -> bool:
    return isinstance(result, tuple) and len(result) == 4
