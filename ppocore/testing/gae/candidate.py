"""Call a candidate advantage function: convert its arguments, limit its time and validate its results."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ppocore.advantages.arrays import framework_of, read
from ppocore.errors import UsageError
from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array

ARRAYS = ("numpy", "torch", "paddle", "jax")
NAMES = ("rewards", "values", "next_values", "terminated", "truncated")


class CandidateError(AssertionError):
    """Report that a candidate raised an error, exceeded its time limit, or returned no valid advantages."""


class Outcome(NamedTuple):
    """Hold the NumPy results of one call: advantages (T, N), returns or None, and the arguments after the call."""

    advantages: Array
    returns: Array | None
    arguments: dict[str, Array]


class Candidate:
    """Wrap an advantage function that is to be checked.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N), and returns
            the advantages, or the advantages and the returns. It is passed ``valid`` if it has such a parameter.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        valid: whether to check invalid rows; by default, if it has a parameter ``valid``.
        seconds: time limit of a call.

    Raises:
        UsageError: it cannot be called, ``arrays`` is unknown, or the framework is not installed.
    """

    def __init__(
        self, function: Callable[..., Any], *, arrays: str = "numpy", valid: bool | None = None, seconds: float = 5.0
    ) -> None:
        if not callable(function):
            raise UsageError(f"the candidate is {function!r}, expected a function that returns advantages")
        if arrays not in ARRAYS:
            raise UsageError(f"arrays={arrays!r} is unknown: use one of {', '.join(ARRAYS)}")
        self.function, self.arrays, self._seconds = function, arrays, seconds
        self.name = str(getattr(function, "__qualname__", type(function).__name__))
        self._convert = _converter(arrays)
        parameters = _parameters(function)
        self._by_name = parameters is None or {"gamma", "lam"} <= parameters
        self.takes_valid = parameters is not None and "valid" in parameters if valid is None else valid

    def __call__(self, trajectory: Trajectory) -> Outcome:
        """Call the function with copies of a trajectory's arrays.

        Raises:
            CandidateError: it raised an error, exceeded its time limit, or returned no valid advantages.
        """
        given = {name: getattr(trajectory, name).copy() for name in NAMES}
        if self.takes_valid:
            given["valid"] = trajectory.valid.copy()
        arguments = {name: self._convert(array) for name, array in given.items()}
        result = self._timed(arguments, trajectory)
        after = {name: read(array, framework_of(array)).array for name, array in arguments.items()}
        parts = list(result) if isinstance(result, tuple | list) else [result]
        if not 1 <= len(parts) <= 2:
            raise CandidateError(
                f"it returned {len(parts)} values, expected the advantages, or the advantages and the returns"
            )
        names = ("advantages", "returns")
        found = [self._read(name, part, trajectory) for name, part in zip(names, parts, strict=False)]
        return Outcome(found[0], found[1] if len(found) > 1 else None, after)

    def _timed(self, arguments: dict[str, Any], trajectory: Trajectory) -> Any:
        extra = {"valid": arguments["valid"]} if "valid" in arguments else {}
        positional = [arguments[name] for name in NAMES]
        try:
            with _time_limit(self._seconds), np.errstate(all="ignore"):
                if self._by_name:
                    return self.function(*positional, gamma=trajectory.gamma, lam=trajectory.lam, **extra)
                return self.function(*positional, trajectory.gamma, trajectory.lam, **extra)
        except TimeoutError as error:
            raise CandidateError(f"it took longer than {self._seconds:g} s") from error
        except (Exception, SystemExit) as error:
            raise CandidateError(f"it raised {type(error).__name__}: {error}") from error

    def _read(self, name: str, part: Any, trajectory: Trajectory) -> Array:
        framework = framework_of(part)
        kind = framework or ("numpy" if isinstance(part, np.ndarray) else type(part).__name__)
        if kind != self.arrays:
            raise CandidateError(f"its {name} are of kind {kind}, expected {self.arrays}, the kind of the rewards")
        array = read(part, framework).array
        if array.shape != trajectory.rewards.shape:
            expected = trajectory.rewards.shape
            raise CandidateError(f"its {name} have shape {array.shape}, expected {expected}, the shape of the rewards")
        if array.dtype.kind != "f":
            raise CandidateError(f"its {name} have dtype {array.dtype}, expected a floating-point dtype")
        bad = ~np.isfinite(array)
        if bad.any():
            t, i = np.argwhere(bad)[0].tolist()
            raise CandidateError(f"its {name} have {array[t, i]} in row {t} of column {i}, expected finite numbers")
        return array


def _parameters(function: Callable[..., Any]) -> set[str] | None:
    """Return the names of a function's parameters, or None if they are unknown."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def _converter(arrays: str) -> Callable[[Array], Any]:
    """Return a function that converts NumPy arrays to the candidate's kind, and import its framework."""
    if arrays == "numpy":
        return lambda array: array
    try:
        if arrays == "torch":
            import torch

            return lambda array: torch.from_numpy(array)
        if arrays == "paddle":
            import paddle

            return lambda array: paddle.to_tensor(array, place=paddle.CPUPlace())
        import jax.numpy

        return lambda array: jax.numpy.asarray(array)
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed, which arrays={arrays!r} needs") from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` after some seconds; on Windows and in other threads there is no limit."""
    usable = sys.platform != "win32" and threading.current_thread() is threading.main_thread()
    if not usable or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
