"""Call a candidate advantage function: convert its arguments, limit its time and validate its results."""

from __future__ import annotations

import copy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ppocore.errors import UsageError
from ppocore.testing.gae.frameworks import PRECISIONS, Framework, coarsest
from ppocore.testing.gae.meaning import Meaning
from ppocore.testing.gae.oracle import expected_advantages, normalized_back
from ppocore.testing.gae.signature import Call, Signature, usual
from ppocore.testing.gae.trajectories import Trajectory, diagnostic_trajectories
from ppocore.typing import Array

SECONDS = {"numpy": 5.0, "torch": 5.0, "paddle": 5.0, "jax": 60.0}
"""Limit of a call in processor time, by framework; the first call of JAX with a shape compiles."""
PATIENCE = 10.0
"""How many times the limit a call may take that waits for something."""
FLAGS = ("bool", "float", "int")


class CandidateError(AssertionError):
    """Report that a candidate raised an error, exceeded its time limit, or returned no valid advantages."""


class CandidateRaised(CandidateError):
    """Report that a candidate raised an error."""


class CandidateTimeout(CandidateError):
    """Report that a candidate exceeded its time limit."""


class Raw(NamedTuple):
    """Hold what the calls for one trajectory returned.

    Attributes:
        parts: the parts of the results (T, N), by position or key.
        precisions: their floating-point formats.
        written: the arguments that were written to.
        errors: why other parts are no results.
    """

    parts: dict[Any, Array]
    precisions: dict[Any, str]
    written: set[str]
    errors: dict[Any, CandidateError]

    @property
    def keys(self) -> list[Any]:
        """Return the positions or keys of all parts, in order."""
        return sorted([*self.parts, *self.errors], key=lambda key: key if isinstance(key, int) else 0)


class Outcome(NamedTuple):
    """Hold the results of one trajectory.

    Attributes:
        advantages: (T, N).
        returns: (T, N), or None.
        precision: the floating-point format that the advantages are judged in.
        written: the arguments that were written to.
    """

    advantages: Array
    returns: Array | None
    precision: str
    written: set[str]


class Candidate:
    """Wrap an advantage function that is to be checked.

    Args:
        function: what `signature` says; by default it takes (rewards, values, next_values, terminated, truncated,
            gamma, lam), arrays (T, N), and returns the advantages, or the advantages and the returns.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: format of its numbers; the framework's default by default.
        signature: what it takes.
        meaning: what its results are.
        seconds: time limit of a call.

    Raises:
        UsageError: it cannot be called, ``arrays`` or ``dtype`` is unknown, or the framework is not installed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        arrays: str = "numpy",
        dtype: str | None = None,
        signature: Signature | None = None,
        meaning: Meaning | None = None,
        seconds: float | None = None,
    ) -> None:
        if not callable(function):
            raise UsageError(f"the candidate is {function!r}, expected a function that returns advantages")
        self.framework = Framework(arrays, dtype)
        self.function, self.arrays = function, arrays
        self.signature, self.meaning = signature or usual(function), meaning or Meaning()
        self.name = str(getattr(function, "__qualname__", type(function).__name__))
        self.working = self.framework.dtype
        """Format that it computes in, the coarsest there is inside; see `precision.find_working`."""
        self._seconds = SECONDS[arrays] if seconds is None else seconds
        self.flags = self.signature.flags or "bool"
        self._known: dict[Any, Raw | CandidateError] = {}

    @property
    def takes_valid(self) -> bool:
        """Tell whether it is passed which rows are transitions."""
        return self.signature.has("valid")

    def changed(self, **attributes: Any) -> Candidate:
        """Return a copy with some attributes changed."""
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        return other

    def choose_flags(self) -> None:
        """Hand flags out as the first of bool, float and int with which it raises no error, unless it is declared."""
        if self.signature.flags is not None:
            return
        for flags in FLAGS:
            self.flags = flags
            try:
                for example in diagnostic_trajectories(count=3):
                    self.raw(example)
            except CandidateTimeout:
                break
            except CandidateError:
                continue
            return
        self.flags = "bool"

    def expected(self, trajectory: Trajectory) -> Array:
        """Compute the right advantages, of the estimator that is declared."""
        return expected_advantages(trajectory, self.meaning.estimator)

    def __call__(self, trajectory: Trajectory) -> Outcome:
        """Call the function with copies of a trajectory's arrays.

        Raises:
            CandidateError: it raised an error, exceeded its time limit, or returned no valid advantages.
        """
        raw = self.raw(trajectory)
        try:
            names = self.meaning.select({key: key for key in raw.keys})
        except ValueError as error:
            raise CandidateError(str(error)) from error
        return self.interpreted(raw, names, trajectory)

    def interpreted(
        self, raw: Raw, names: dict[str, Any], trajectory: Trajectory, expected: Array | None = None
    ) -> Outcome:
        """Return the advantages and returns of a call.

        Args:
            raw: what it returned.
            names: key of the part that holds the ``advantages`` and the ``returns``, or one of them.
            trajectory: the arguments.
            expected: the advantages whose mean and deviation normalized ones have; the right ones by default.
        """
        for key in names.values():
            if key in raw.errors:
                raise raw.errors[key]
        found = {name: raw.parts[key] for name, key in names.items()}
        kept = [raw.precisions[key] for key in names.values() if raw.precisions[key] in PRECISIONS]
        precision = coarsest(self.framework.dtype, self.working, *kept)
        if "advantages" not in found:
            returns = found["returns"]
            size = np.where(trajectory.valid, trajectory.values, 0.0)
            return Outcome(returns - size, None, precision, raw.written)
        advantages = found["advantages"]
        if self.meaning.normalized:
            advantages = normalized_back(advantages, self.expected(trajectory) if expected is None else expected)
        for name, array in (("advantages", advantages), ("returns", found.get("returns"))):
            if array is not None and not (name == "returns" and self.meaning.returns == "any"):
                _require_numbers(name, array)
        return Outcome(advantages, found.get("returns"), precision, raw.written)

    def raw(self, trajectory: Trajectory) -> Raw:
        """Call the function as often as its layout needs, and lay its results out as (T, N).

        It is called once with equal arguments: most properties begin with the same call.

        Raises:
            CandidateError: it raised an error, exceeded its time limit, or returned no arrays of the right shape.
        """
        key = (self.framework.dtype, self.flags, self.signature, *map(_identity, trajectory))
        if key not in self._known:
            try:
                self._known[key] = self._uncached(trajectory)
            except CandidateError as error:
                self._known[key] = error
            if len(self._known) > 4096:
                del self._known[next(iter(self._known))]
        found = self._known[key]
        if isinstance(found, CandidateError):
            raise found
        return found

    def _uncached(self, trajectory: Trajectory) -> Raw:
        parts: dict[Any, Array] = {}
        errors: dict[Any, CandidateError] = {}
        precisions: dict[Any, str] = {}
        written: set[str] = set()
        for call in self.signature.packing(trajectory):
            result, after = self._called(call)
            written |= after
            for key, part in parts_of(result, call.shape).items():
                try:
                    array, precision = self._read(key, part, call)
                except CandidateError as error:
                    errors[key] = error
                    continue
                if key not in parts:
                    parts[key], precisions[key] = np.zeros(trajectory.shape, array.dtype), precision
                self.signature.put(array, call, parts[key])
        return Raw({key: part for key, part in parts.items() if key not in errors}, precisions, written, errors)

    def handed(self, role: str, value: Any) -> Any:
        """Convert an argument to what the function is handed."""
        if not isinstance(value, np.ndarray | np.generic):
            return value
        array = np.asarray(value)
        if array.dtype.kind == "b":
            array = array.astype({"bool": np.bool_, "int": np.int64, "float": np.float64}[self.flags])
        if array.ndim == 0 and self.arrays == "numpy":
            return self.framework.convert(array)[()]
        return self.framework.convert(array.copy())

    def _called(self, call: Call) -> tuple[Any, set[str]]:
        handed = [(argument, self.handed(argument.role, argument.value)) for argument in call.arguments]
        before = [self._bytes(value) for _, value in handed]
        positional = [value for argument, value in handed if argument.keyword is None]
        named = {argument.keyword: value for argument, value in handed if argument.keyword is not None}
        result = call_for(self._seconds, self.function, *positional, **named)
        after = [self._bytes(value) for _, value in handed]
        changed = zip(handed, before, after, strict=True)
        return result, {argument.role for (argument, _), old, new in changed if old != new}

    def _bytes(self, value: Any) -> bytes:
        if self.arrays == "jax" or isinstance(value, float | np.generic):
            return b""  # which cannot be written to
        return bytes(self.framework.read(value)[0].tobytes())

    def _read(self, key: Any, part: Any, call: Call) -> tuple[Array, str]:
        name = f"its {key}" if isinstance(key, str) else f"its {('advantages', 'returns')[key]}" if key < 2 else "it"
        try:
            array, precision = self.framework.read(part)
        except TypeError as error:
            raise CandidateError(
                f"{name} are of kind {error}, expected {self.arrays}, the kind of the rewards"
            ) from error
        except Exception as error:  # whatever an object raises that is no array
            raise CandidateError(f"{name} cannot be read as an array of {self.arrays}: {error}") from error
        if array.shape != call.shape:
            raise CandidateError(f"{name} have shape {array.shape}, expected {call.shape}, the shape of the rewards")
        if array.dtype.kind not in "biuf":
            raise CandidateError(f"{name} have dtype {array.dtype}, expected a floating-point dtype")
        return array, precision


def call_for(seconds: float, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function for some seconds at most.

    Raises:
        CandidateTimeout: it takes longer.
        CandidateRaised: it raises an error.
    """
    try:
        with _time_limit(seconds), np.errstate(all="ignore"):
            return function(*arguments, **named)
    except TimeoutError as error:
        raise CandidateTimeout(f"it took longer than {seconds:g} s") from error
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CandidateRaised(f"it raised {reason}") from error


def _identity(value: Any) -> Any:
    """Return what tells an argument from others."""
    return (value.shape, value.dtype.char, value.tobytes()) if isinstance(value, np.ndarray) else value


def parts_of(result: Any, shape: tuple[int, ...]) -> dict[Any, Any]:
    """Return the parts of a result by position or key; a list of rows or of numbers is one part."""
    if isinstance(result, Mapping):
        return dict(result)
    if not isinstance(result, tuple | list):
        return {0: result}
    if result and len(result) == shape[0] and all(_rank(part) == len(shape) - 1 for part in result):
        return {0: list(result)}
    return dict(enumerate(result))


def _rank(part: Any) -> int:
    """Return the number of dimensions of an array or of nested lists."""
    if isinstance(part, list | tuple):
        return 1 + (_rank(part[0]) if part else 0)
    return len(getattr(part, "shape", ()))


def _require_numbers(name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        raise CandidateError(f"its {name} have dtype {array.dtype}, expected a floating-point dtype")
    bad = ~np.isfinite(array)
    if bad.any():
        t, i = np.argwhere(bad)[0].tolist()
        raise CandidateError(f"its {name} have {array[t, i]} in row {t} of column {i}, expected finite numbers")


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` after some seconds of processor time; on Windows and in other threads there is no limit.

    A process that waits is given ten times as long, so that a busy machine does not make a function slow. The alarm
    repeats, because what is raised where Python ignores exceptions, as in a callback of its collector, is lost.
    """
    usable = sys.platform != "win32" and threading.current_thread() is threading.main_thread()
    if not usable or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    started, used = time.monotonic(), time.process_time()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if time.process_time() - used >= seconds or time.monotonic() - started >= PATIENCE * seconds:
            raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
