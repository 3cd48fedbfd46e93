"""Calling somebody's advantage function: its kind of array, its signature, its time limit, and what it gives back."""

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


class Misbehaviour(AssertionError):
    """What a candidate did on an example besides giving wrong numbers: it raised, or gave no advantages."""


class Outcome(NamedTuple):
    """What one call gave, as NumPy: advantages (T, N), returns or None, and its arguments after the call."""

    advantages: Array
    returns: Array | None
    arguments: dict[str, Array]


class Candidate:
    """An advantage function to be checked.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N), and gives the
            advantages, or the advantages and the returns.  A parameter ``valid`` is passed where it has one.
        arrays: what it takes: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        valid: whether to check invalid rows; by default where it has a parameter of that name.
        seconds: how long a call may take.

    Raises:
        UsageError: it cannot be called, another kind of array, or one whose framework is not installed.
    """

    def __init__(
        self, function: Callable[..., Any], *, arrays: str = "numpy", valid: bool | None = None, seconds: float = 5.0
    ) -> None:
        if not callable(function):
            raise UsageError(f"the candidate is {function!r}, expected a function that gives advantages")
        if arrays not in ARRAYS:
            raise UsageError(f"arrays={arrays!r} is unknown: use one of {', '.join(ARRAYS)}")
        self.function, self.arrays, self._seconds = function, arrays, seconds
        self.name = str(getattr(function, "__qualname__", type(function).__name__))
        self._convert = _converter(arrays)
        parameters = _parameters(function)
        self._by_name = parameters is None or {"gamma", "lam"} <= parameters
        self.takes_valid = parameters is not None and "valid" in parameters if valid is None else valid

    def __call__(self, trajectory: Trajectory) -> Outcome:
        """Call it on one trajectory, with copies.

        Raises:
            Misbehaviour: it raised, took too long, or what it gave are no advantages of this trajectory.
        """
        given = {name: getattr(trajectory, name).copy() for name in NAMES}
        if self.takes_valid:
            given["valid"] = trajectory.valid.copy()
        arguments = {name: self._convert(array) for name, array in given.items()}
        result = self._timed(arguments, trajectory)
        after = {name: read(array, framework_of(array)).array for name, array in arguments.items()}
        parts = list(result) if isinstance(result, tuple | list) else [result]
        if not 1 <= len(parts) <= 2:
            raise Misbehaviour(
                f"it returned {len(parts)} things, expected the advantages, or the advantages and the returns"
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
            raise Misbehaviour(f"it took longer than {self._seconds:g} s") from error
        except (Exception, SystemExit) as error:
            raise Misbehaviour(f"it raised {type(error).__name__}: {error}") from error

    def _read(self, name: str, part: Any, trajectory: Trajectory) -> Array:
        framework = framework_of(part)
        kind = framework or ("numpy" if isinstance(part, np.ndarray) else type(part).__name__)
        if kind != self.arrays:
            raise Misbehaviour(f"its {name} are of kind {kind}, the rewards of kind {self.arrays}")
        array = read(part, framework).array
        if array.shape != trajectory.rewards.shape:
            raise Misbehaviour(f"its {name} have shape {array.shape}, the rewards {trajectory.rewards.shape}")
        if array.dtype.kind != "f":
            raise Misbehaviour(f"its {name} have dtype {array.dtype}, expected a floating-point one")
        bad = ~np.isfinite(array)
        if bad.any():
            t, i = np.argwhere(bad)[0].tolist()
            raise Misbehaviour(f"its {name} have {array[t, i]} in row {t} of column {i}")
        return array


def _parameters(function: Callable[..., Any]) -> set[str] | None:
    """The names of its parameters; None where they cannot be told."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def _converter(arrays: str) -> Callable[[Array], Any]:
    """NumPy to the candidate's kind of array; its framework is imported now."""
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
        raise UsageError(f"arrays={arrays!r} needs {error.name}, which is not installed") from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupts what runs longer, where the platform can; elsewhere it may run on."""
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
