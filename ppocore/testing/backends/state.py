"""Check a backend's state, its use of its arguments, the errors it raises, and the process around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ppocore.backend import Backend, BackendFactory, Minibatch
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import NonFiniteError, UsageError
from ppocore.testing.backends.comparison import Disagreement, Errors, require_dtype, require_same_bits
from ppocore.testing.backends.problems import Problem
from ppocore.testing.backends.process_state import changed_process_state, process_state, unusual_process_state
from ppocore.typing import Array


def state_layout(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require canonical names in canonical order, float32 arrays of shape (in, out), and int64 step counts.

    The count of steps in which the actor was held is part of the state from the first such step on.
    """
    backend = problem.backend(factory, precision, device)
    loaded, weights = backend.state(), backend.weights()
    shapes = problem.spec.shapes()
    expected = {p + name: shape for p in ("", "adam.m.", "adam.v.") for name, shape in shapes.items()}
    if list(loaded) != [*expected, "adam.step"]:
        raise Disagreement("state: names", [*expected, "adam.step"], list(loaded))
    for name, shape in expected.items():
        require_dtype(f"state: {name}", loaded[name], np.float32)
        if loaded[name].shape != shape:
            raise Disagreement(f"state: {name}", f"shape {shape}", f"shape {loaded[name].shape}")
    require_same_bits("state after weights were loaded", {n: loaded[n] for n in shapes}, problem.weights)
    require_same_bits("weights", weights, problem.weights)
    for index, batch in enumerate(problem.minibatches(precision)):
        problem.step(backend, batch, index)
        state, held = backend.state(), sum(map(problem.holds, range(index + 1)))
        counts = {"adam.step": index + 1, **({"adam.held": held} if held else {})}
        if list(state) != [*expected, *counts]:
            raise Disagreement(f"state after {index + 1} steps: names", [*expected, *counts], list(state))
        for name, count in counts.items():
            require_dtype(name, state[name], np.int64)
            if state[name].shape != () or state[name] != count:
                raise Disagreement(f"{name} after {index + 1} steps", count, state[name])
    return {}


def copies(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that a backend returns copies, which later calls do not change and whose changes do not reach it."""
    backend = problem.backend(factory, precision, device)
    batch, *others = problem.minibatches(precision)
    problem.step(backend, batch)
    given: dict[str, Callable[[], Mapping[str, Any]]] = {
        "state": backend.state,
        "weights": backend.weights,
        "gradients": lambda: backend.gradients(batch, problem.objective),
        "forward": lambda: dict(zip(("parameters", "values"), backend.forward(batch.observations), strict=True)),
        "evaluate": lambda: backend.evaluate(batch, problem.objective)._asdict(),
    }
    kept = {kind: _arrays(ask()) for kind, ask in given.items()}
    before = {kind: {name: array.copy() for name, array in arrays.items()} for kind, arrays in kept.items()}
    for arrays in kept.values():
        for array in arrays.values():
            if array.flags.writeable:
                array[...] = 7
    for kind, ask in given.items():
        require_same_bits(f"{kind} after an earlier {kind} was written to", _arrays(ask()), before[kind])
    kept = {kind: _arrays(ask()) for kind, ask in given.items()}
    for other in others or [batch]:
        problem.step(backend, other)
        for ask in given.values():
            ask()
    for kind, arrays in kept.items():
        require_same_bits(f"{kind} kept over a later step", arrays, before[kind])
    return {}


def inputs_untouched(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that minibatches and loaded states are neither written to nor kept by reference."""
    backend = problem.backend(factory, precision, device)
    batch, reference = problem.batch(precision), problem.batch(precision)
    _call_all(backend, problem, batch)
    require_same_bits("minibatch", batch.arrays(), reference.arrays())
    state = backend.state()
    loaded = {name: array.copy() for name, array in state.items()}
    backend.load_state(loaded)
    problem.step(backend, batch)
    require_same_bits("state that was loaded", loaded, state)
    stepped = backend.state()
    for array in loaded.values():
        array[...] = 7
    require_same_bits("state after what was loaded was written to", backend.state(), stepped)
    return {}


def asking_is_not_stepping(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that ``forward``, ``evaluate`` and ``gradients`` change neither the state nor the next step."""
    backend, other = (problem.backend(factory, precision, device) for _ in range(2))
    batch = problem.batch(precision)
    before = backend.state()
    backend.forward(batch.observations)
    backend.evaluate(batch, problem.objective)
    backend.gradients(batch, problem.objective)
    require_same_bits("state after forward, evaluate and gradients", backend.state(), before)
    for each in (backend, other):
        problem.step(each, batch)
    require_same_bits("state after forward, evaluate, gradients and a step", backend.state(), other.state())
    return {}


def bad_state(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require a `UsageError` that names a tensor missing from a state, or of another shape, and an unchanged state."""
    backend = problem.backend(factory, precision, device)
    problem.step(backend, problem.batch(precision))
    before = backend.state()
    name = list(problem.spec.shapes())[-1]
    wrong: list[tuple[str, dict[str, Array]]] = []
    for tensor in (name, f"adam.v.{name}"):
        wrong.append((tensor, {n: a for n, a in before.items() if n != tensor}))
        wrong.append((tensor, {**before, tensor: np.zeros((*before[tensor].shape, 2), np.float32)}))
    for tensor, state in wrong:
        changed = {n: a + 1 if n != tensor else a for n, a in state.items()}
        error = _catch(UsageError, partial(backend.load_state, changed))
        if repr(tensor) not in str(error):
            raise Disagreement("loading a bad state", f"a UsageError that names {tensor!r}", _describe(error))
        require_same_bits("state after a bad one was rejected", backend.state(), before)
    return {}


NON_FINITE = (
    ("observations", np.nan),
    ("log_probs", np.nan),
    ("advantages", -np.inf),
    ("returns", np.inf),
    ("values", np.nan),
    ("old_parameters", np.nan),
    ("critic.output.bias", np.inf),
    ("actor.output.bias", np.nan),
)


def non_finite(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that an update that is not finite raises the oracle's `NonFiniteError` and leaves the state unchanged."""
    for field, bad in NON_FINITE:
        read = {"values": problem.objective.value_clip_range is not None, "old_parameters": problem.objective.kl_coef}
        if not read.get(field, True):
            continue
        made = [problem.backend(f, precision, d) for f, d in ((factory, device), (NumpyBackend, "cpu"))]
        errors: list[Any] = []
        for backend in made:
            first = problem.batch(precision)
            problem.step(backend, first)
            batch = problem.batch(precision)._replace(masks=None)  # a mask could keep the number from being read
            if field in Minibatch._fields:
                getattr(batch, field)[-1] = bad
            else:
                state = backend.state()
                state[field][-1] = bad
                backend.load_state(state)
            before = backend.state()
            errors.append(_catch(NonFiniteError, partial(problem.step, backend, batch)))
            require_same_bits(f"state after an update with {bad} in {field}", backend.state(), before)
        if str(errors[0]) != str(errors[1]):
            raise Disagreement(f"an update with {bad} in {field}", _describe(errors[1]), _describe(errors[0]))
    return {}


def wrong_device(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require a `UsageError` that names a device that does not exist."""
    missing = "no-such-device"
    error = _catch(
        UsageError,
        lambda: factory(problem.spec, precision=precision, adam_epsilon=problem.adam_epsilon, device=missing),
    )
    if missing not in str(error):
        raise Disagreement(f"device={missing!r}", f"a UsageError that names {missing!r}", _describe(error))
    return {}


def process_left_as_found(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that a backend neither changes nor depends on the state of the process.

    That is random states, default dtypes and devices, thread counts and grad mode; results must be the same where the
    default dtype and the grad mode are unusual.
    """
    results = []
    for context in (None, unusual_process_state):
        found = process_state()
        if context is None:
            results.append(_run(factory, problem, precision, device))
        else:
            with context():
                inside = process_state()
                results.append(_run(factory, problem, precision, device))
                _require_unchanged(inside)
        _require_unchanged(found)
    require_same_bits("state in a process with an unusual default dtype and grad mode", results[1], results[0])
    return {}


def _run(factory: BackendFactory, problem: Problem, precision: str, device: str) -> dict[str, Array]:
    """Do all that a run does with a backend, and return the final state."""
    backend = problem.backend(factory, precision, device)
    with backend.using_threads(1):
        for index, batch in enumerate(problem.minibatches(precision)):
            _call_all(backend, problem, batch, index)
    backend.load_state(backend.state())
    return backend.state()


def _require_unchanged(before: Mapping[str, Any]) -> None:
    for name, (was, now) in changed_process_state(before).items():
        raise Disagreement(f"{name}, of the whole process,", was, now)


def _call_all(backend: Backend, problem: Problem, batch: Minibatch, index: int = 0) -> None:
    """Call every method that takes a minibatch."""
    backend.forward(batch.observations)
    backend.evaluate(batch, problem.objective)
    backend.gradients(batch, problem.objective)
    problem.step(backend, batch, index)


def _arrays(named: Mapping[str, Any]) -> dict[str, Array]:
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


def _catch(kind: type[Exception], action: Callable[[], object]) -> Exception | None:
    """Return the error of this kind that an action raises, or None."""
    try:
        with np.errstate(all="ignore"):
            action()
    except kind as error:
        return error
    return None


def _describe(error: Exception | None) -> str:
    return "no error" if error is None else f"{type(error).__name__}: {error}"
