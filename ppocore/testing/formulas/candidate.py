"""Call a candidate: convert its arguments, limit its time and validate its results."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.testing.formulas.interface import Call, Interface
from ppocore.testing.formulas.subject import Case, Results, Subject
from ppocore.testing.gae.candidate import SECONDS, CandidateError, call_for, parts_of
from ppocore.testing.gae.frameworks import EPSILONS, PRECISIONS, TINIEST, Framework, coarsest
from ppocore.typing import Array

Names = dict[Any, str]


class Raw(NamedTuple):
    """Hold what the calls for one case returned: parts by position or key, their formats, and what was written to."""

    parts: dict[Any, Array]
    precisions: dict[Any, str]
    written: set[str]
    fields: tuple[str, ...]
    errors: dict[Any, CandidateError]


class Outcome(NamedTuple):
    """Hold the results of one case by name, the format to judge them in, and the arguments that were written to."""

    results: Results
    precision: str
    written: set[str]


class Candidate:
    """Wrap a function that is to be checked.

    Args:
        function: what `interface` says.
        framework: what its arrays are converted to.
        subject: what it is meant to compute.
        interface: what it takes.
        results: names of its results: in order, or by key; None for the usual ones.
        flags: what flags are handed out as: ``bool``, ``float`` or ``int``.
        seconds: time limit of a call.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        framework: Framework,
        subject: Subject,
        interface: Interface,
        *,
        results: tuple[str, ...] | Mapping[Any, str] | None = None,
        flags: str = "bool",
        seconds: float | None = None,
    ) -> None:
        self.function, self.framework, self.subject, self.interface = function, framework, subject, interface
        self.results, self.flags = results, flags
        self.name = str(getattr(function, "__qualname__", type(function).__name__))
        self.working = framework.dtype
        """Format that it computes in, the coarsest there is inside."""
        self._seconds = SECONDS[framework.name] if seconds is None else seconds
        self._compiled: list[Callable[..., Any]] = []
        self._as_it_is: list[bool] = []  # shared by copies
        self._raws: dict[int, tuple[Case, Raw]] = {}
        """What it returned, by the identity of the case, which is never written to."""

    def changed(self, **attributes: Any) -> Candidate:
        """Return a copy with some attributes changed."""
        other = copy.copy(self)
        other._raws = {} if {"function", "framework", "flags", "interface", "subject"} & set(attributes) else self._raws
        for name, value in attributes.items():
            setattr(other, name, value)
        return other

    def handed(self, case: Case) -> Case:
        """Round a case's numbers to the format that the candidate is handed, in arrays of float64."""
        rounded = {
            name: self.framework.rounded(x).astype(np.float64)
            for name, x in case.items()
            if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        }
        return {**case, **rounded}

    def allowed(self, case: Case, precision: str) -> Array:
        """Return the largest rounding error of each result.

        A step of a recursion or of a sum rounds at most four times, in proportion to the sum of the magnitudes of the
        terms, and the rest sixteen times (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1).
        """
        size, steps = self.subject.magnitude(case), max(self.subject.shape(case))
        found: Array = EPSILONS[precision] * (16.0 + 4.0 * steps) * size + TINIEST[precision]
        return found

    def __call__(self, case: Case) -> Outcome:
        """Call the function with copies of a case's arrays.

        Raises:
            CandidateError: it raised an error, exceeded its time limit, or returned no valid results.
        """
        return self.interpreted(self.raw(case), case)

    def interpreted(self, raw: Raw, case: Case) -> Outcome:
        """Return the results of a call by name.

        Raises:
            CandidateError: there are others than expected, or they are no finite numbers.
        """
        results: Results = {}
        precisions = [self.framework.dtype, self.working]
        for key, name in self._names(raw).items():
            if key in raw.errors:
                raise CandidateError(f"its {name} {raw.errors[key]}")
            array = raw.parts[key]
            self._require_numbers(name, array, case)
            if raw.precisions[key] in PRECISIONS:
                precisions.append(raw.precisions[key])
            results[name] = array
        return Outcome(results, coarsest(*precisions), raw.written)

    def raw(self, case: Case) -> Raw:
        """Call the function as often as its layout needs, and lay its results out as the case is.

        Raises:
            CandidateError: it raised an error, exceeded its time limit, or returned nothing.
        """
        if id(case) in self._raws:
            return self._raws[id(case)][1]
        shape = self.subject.shape(case)
        raw = Raw({}, {}, set(), (), {})
        for call in self.interface.calls(self.subject.arguments(case), shape):
            result, written = self._called(call)
            raw.written.update(written)
            raw = raw._replace(fields=tuple(getattr(type(result), "_fields", ())))
            for key, part in parts_of(result, call.shape).items():
                try:
                    array, precision = self._read(part, call)
                except CandidateError as error:
                    raw.errors[key] = error
                    continue
                if key not in raw.parts:
                    raw.parts[key], raw.precisions[key] = np.zeros(shape, array.dtype), precision
                self.interface.put(array, call, raw.parts[key])
        self._raws[id(case)] = case, raw
        return raw

    def convert(self, value: Any) -> Any:
        """Convert an argument to what the function is handed."""
        if not isinstance(value, np.ndarray | np.generic):
            return value
        array = np.asarray(value)
        if array.dtype.kind == "b":
            array = array.astype({"bool": np.bool_, "int": np.int64, "float": np.float64}[self.flags])
        if array.ndim == 0 and self.framework.name == "numpy":
            return self.framework.convert(array)[()]
        return self.framework.convert(array.copy())

    def _called(self, call: Call) -> tuple[Any, set[str]]:
        handed = [(argument, self.convert(value)) for argument, value in call.arguments]
        before = [self._bytes(value) for _, value in handed]
        positional = [value for argument, value in handed if argument.keyword is None]
        named = {argument.keyword: value for argument, value in handed if argument.keyword is not None}
        result = call_for(self._seconds, self._run, positional, named)
        after = [self._bytes(value) for _, value in handed]
        changed = zip(handed, before, after, strict=True)
        return result, {argument.role for (argument, _), old, new in changed if old != new}

    def _run(self, positional: list[Any], named: dict[str, Any]) -> Any:
        """Call the function; one of JAX compiled as a whole, if it can be, or else each operation compiles."""
        if self.framework.name == "jax" and not self._as_it_is:
            if not self._compiled:
                self._compiled.append(sys.modules["jax"].jit(self.function))
            try:
                return self._compiled[0](*positional, **named)
            except TimeoutError:
                raise
            except Exception:
                self._as_it_is.append(True)
        return self.function(*positional, **named)

    def _bytes(self, value: Any) -> bytes:
        if self.framework.name == "jax" or isinstance(value, int | float | np.generic):
            return b""  # which cannot be written to
        return bytes(self.framework.read(value)[0].tobytes())

    def _read(self, part: Any, call: Call) -> tuple[Array, str]:
        try:
            array, precision = self.framework.read(part)
        except TypeError as error:
            raise CandidateError(f"are of kind {error}, expected {self.framework.name}, as its arguments") from error
        if array.shape != call.shape:
            raise CandidateError(f"have shape {array.shape}, expected {call.shape}")
        return array, precision

    def _names(self, raw: Raw) -> Names:
        keys = list(dict.fromkeys([*raw.parts, *raw.errors]))
        by_position = all(isinstance(key, int) for key in keys)
        keys = sorted(keys) if by_position else keys
        if isinstance(self.results, Mapping):
            missing = [key for key in self.results if key not in keys]
            if missing:
                raise CandidateError(f"it returned {_form(keys)}, without {missing[0]!r}, which results= names")
            return {key: name for key, name in self.results.items() if name != "_"}
        if self.results is not None:
            if not by_position or len(keys) != len(self.results):
                raise CandidateError(f"it returned {_form(keys)}, expected {len(self.results)} parts, as results= says")
            return {key: name for key, name in zip(keys, self.results, strict=True) if name != "_"}
        labels = (
            dict(zip(keys, raw.fields, strict=True))
            if len(raw.fields) == len(keys)
            else dict(zip(keys, keys, strict=True))
        )
        named = self._by_label(labels)
        if named:
            return named
        if not by_position or not keys or len(keys) > len(self.subject.results):
            usual = " or ".join(", ".join(self.subject.results[:n]) for n in range(1, len(self.subject.results) + 1))
            raise CandidateError(f"it returned {_form(keys)}, expected {usual}: pass results= to name what it returns")
        return dict(zip(keys, self.subject.results, strict=False))

    def _by_label(self, labels: dict[Any, Any]) -> Names:
        """Return the results that keys and fields name."""
        found: Names = {}
        for name, beginnings in self.subject.result_aliases.items():
            for key, label in labels.items():
                begins = isinstance(label, str) and label.lower().startswith(tuple(beginnings.split()))
                if begins and key not in found and name not in found.values():
                    found[key] = name
        return found

    def _require_numbers(self, name: str, array: Array, case: Case) -> None:
        if array.dtype.kind != "f":
            raise CandidateError(f"its {name} have dtype {array.dtype}, expected a floating-point dtype")
        bad = ~np.isfinite(array) & self.subject.compared(case, name)
        if bad.any():
            i, j = np.argwhere(bad)[0].tolist()
            place = self.subject.place.format(i, j)
            raise CandidateError(f"its {name} have {array[i, j]} in {place}, expected finite numbers")


def _form(keys: list[Any]) -> str:
    if all(isinstance(key, int) for key in keys):
        return f"{len(keys)} parts"
    return "a dictionary of " + ", ".join(map(repr, keys))
