"""Check the results of optimizer steps, to the bit in exact mode, and continuing from a state."""

from __future__ import annotations

import numpy as np

from ppocore.backend import Backend, BackendFactory
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.testing.backends.comparison import Disagreement, Errors, differing, reference, require_same_bits
from ppocore.testing.backends.one_step import after_one_step
from ppocore.testing.backends.problems import Problem
from ppocore.typing import Array

_Target = tuple[BackendFactory, str]
"""A factory and the device of its backends."""

DRIFT_BOUND = 0.02
"""Largest difference of two float32 weights, in learning rates, for each of the first eight steps."""


def adam_step(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that one step gives the weights and both moments of Adam's formula.

    In exact mode each must be the one right float32 number, unless the rounding of sums decides between two.
    """
    problem = problem.with_one_optimizer()
    expected = reference(problem, precision)
    backend, oracle = (problem.backend(f, precision, d) for f, d in ((factory, device), (NumpyBackend, "cpu")))
    for each in (backend, oracle):
        problem.step(each, problem.batch(precision))
    state, oracle_state = backend.state(), oracle.state()
    if state["adam.step"] != 1:
        raise Disagreement("adam.step after one step", 1, state["adam.step"])
    for name, interval in after_one_step(problem, expected, precision).items():
        interval.require(f"{name} after one step", state[name])
    if precision == "exact":
        return {"numbers that differ after one step": differing(state, oracle_state)}
    return {"weights after one step / learning rate": _drift(problem, backend, oracle)}


def learning_rate(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that the learning rate is used in float64.

    With a tiny epsilon the first step has the size of the learning rate. Here it is so large that the weights are equal
    to it after the step, and it lies almost midway between two float32 numbers.
    """
    rate = 1000.0 + 0.49 * float(np.spacing(np.float32(1000.0)))
    large = problem.with_one_optimizer(learning_rate=rate, max_grad_norm=None, adam_epsilon=1e-30)
    weights = []
    for f, d in ((factory, device), (NumpyBackend, "cpu")):
        backend = large.backend(f, precision, d)
        large.step(backend, large.batch(precision))
        weights.append(backend.weights())
    require_same_bits(f"weights after a step of learning rate {rate!r}", *weights)
    return {"numbers that differ after a step of a rate between floats": differing(*weights)}


def bit_equality(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that weights and moments equal the oracle's to the bit after a step on each of the minibatches."""
    backend, oracle = (problem.backend(f, precision, d) for f, d in ((factory, device), (NumpyBackend, "cpu")))
    for step, (batch, again) in enumerate(zip(*[problem.minibatches(precision) for _ in range(2)], strict=True), 1):
        problem.step(backend, batch, step - 1)
        problem.step(oracle, again, step - 1)
        require_same_bits(f"state after step {step}", backend.state(), oracle.state())
    return {"numbers that differ after k steps": differing(backend.state(), oracle.state())}


def float32_drift(
    factory: BackendFactory, problem: Problem, *, precision: str = "float32", device: str = "cpu"
) -> Errors:
    """Require that float32 weights drift from the oracle's by at most `DRIFT_BOUND` learning rates a step."""
    backend, oracle = (problem.backend(f, precision, d) for f, d in ((factory, device), (NumpyBackend, "cpu")))
    worst = 0.0
    for step, (batch, again) in enumerate(zip(*[problem.minibatches(precision) for _ in range(2)], strict=True), 1):
        problem.step(backend, batch, step - 1)
        problem.step(oracle, again, step - 1)
        error = _drift(problem, backend, oracle) / step
        if not error <= DRIFT_BOUND:
            raise Disagreement(
                f"weights after {step} steps", "the oracle's", f"{error:.3g} learning rates a step from them", error
            )
        worst = max(worst, error)
    return {"weights / learning rate, for each step": worst}


def resume(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that a new backend with a loaded state continues the run to the bit."""
    whole = problem.backend(factory, precision, device)
    part = problem.backend(factory, precision, device)
    half = len(problem.batches) // 2
    for step, batch in enumerate(problem.minibatches(precision)):
        if step == half:
            state = part.state()
            part = factory(problem.spec, precision=precision, adam_epsilon=problem.adam_epsilon, device=device)
            part.load_state(state)
            require_same_bits("state after it was loaded", part.state(), state)
        problem.step(whole, batch, step)
        problem.step(part, batch, step)
    require_same_bits("state of the interrupted run", part.state(), whole.state())
    return {"numbers that differ after resuming": differing(part.state(), whole.state())}


def handover(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the backend continues the oracle's state, and the oracle the backend's, to the same bits."""
    half = len(problem.batches) // 2
    oracle: _Target = (NumpyBackend, "cpu")
    candidate: _Target = (factory, device)
    whole = _run(problem, [oracle], precision, half)
    worst = 0.0
    for order in ([oracle, candidate], [candidate, oracle]):
        final = _run(problem, order, precision, half)
        first = "the oracle" if order[0] is oracle else "the backend"
        require_same_bits(f"state of a run begun by {first}", final, whole)
        worst = max(worst, differing(final, whole))
    return {"numbers that differ after a handover": worst}


def _run(problem: Problem, targets: list[_Target], precision: str, half: int) -> dict[str, Array]:
    """Run the problem's steps, the second half on the second backend if there is one."""
    backend = _backend(problem, targets[0], precision)
    for step, batch in enumerate(problem.minibatches(precision)):
        if step == half and len(targets) > 1:
            state = backend.state()
            backend = _backend(problem, targets[1], precision)
            backend.load_state(state)
        problem.step(backend, batch, step)
    return backend.state()


def _backend(problem: Problem, target: _Target, precision: str) -> Backend:
    factory, device = target
    return problem.backend(factory, precision, device)


def _drift(problem: Problem, backend: Backend, oracle: Backend) -> float:
    """Return the largest difference of two weights, in learning rates."""
    ours, theirs = backend.weights(), oracle.weights()
    differences = [np.abs(ours[name].astype(np.float64) - theirs[name]).max() for name in theirs]
    return float(max(differences)) / max(problem.learning_rate, problem.critic_learning_rate or 0.0)
