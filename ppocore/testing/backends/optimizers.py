"""Properties of the critic's own optimizer: each holds steps against Adam as it is written, one weight at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

import numpy as np

from ppocore.backend import BackendFactory
from ppocore.networks import compute_dtype
from ppocore.optimizers import ADAM_BETAS, gradient_grid
from ppocore.testing.backends.judging import Disagreement, Errors, Inapplicable
from ppocore.testing.backends.problems import Problem
from ppocore.typing import Array


def critic_learning_rate(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """The critic's weights move by the critic's learning rate, all others by the learning rate."""
    changed = problem.with_one_optimizer(critic_learning_rate=7.0 * problem.learning_rate)
    return _steps(factory, changed, precision, device)


def separate_norms(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """The actor's gradient is clipped by its own norm and the critic's by its own, where they are separate."""
    changed = replace(problem, separate=True, freeze_actor=(), max_grad_norm=0.05)
    return _steps(factory, changed, precision, device)


def held_actor(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Where the actor is held, its weights and moments stay to the bit, and its bias correction counts its own steps.

    Every second step is one at which it is held, the first of all in one of two runs.
    """
    if problem.spec.shared_trunk:
        raise Inapplicable("an actor that shares its layers is not held")
    for first in (True, False):
        held = tuple((index % 2 == 0) == first for index in range(len(problem.batches)))
        _steps(factory, replace(problem, freeze_actor=held), precision, device)
    return {}


def _steps(factory: BackendFactory, problem: Problem, precision: str, device: str) -> Errors:
    """Every step of the problem, each from the state that the backend was in before."""
    backend = problem.backend(factory, precision, device)
    for index, batch in enumerate(problem.minibatches(precision)):
        before = {name: array.copy() for name, array in backend.state().items()}
        gradients = backend.gradients(batch, problem.objective)
        problem.step(backend, batch, index)
        after = backend.state()
        for name, (low, high) in _plain_step(problem, index, before, gradients, precision).items():
            outside = ~((after[name] >= low) & (after[name] <= high))
            if outside.any():
                at = np.unravel_index(int(outside.argmax()), outside.shape)
                expected = f"between {float(low[at])!r} and {float(high[at])!r}"
                place = f"{name}{[int(i) for i in at]} after {index + 1} steps, held at {problem.freeze_actor},"
                raise Disagreement(place, expected, repr(float(after[name][at])))
    return {}


def _plain_step(
    problem: Problem, index: int, before: Mapping[str, Array], gradients: Mapping[str, Array], precision: str
) -> dict[str, tuple[Array, Array]]:
    """What each tensor may be after a step: an interval as wide as the rounding of the norm and of the step."""
    critic = [name for name in gradients if name.startswith("critic.")]
    actor = [name for name in gradients if name not in critic]
    limit, epsilon = problem.max_grad_norm, float(np.finfo(compute_dtype(precision)).eps)
    # The norm is kept as float32, and so is the factor good to no more; exact mode's grid has its spacing.
    relative = 2.0**-22 + 32.0 * epsilon
    absolute = 2.0 * np.spacing(gradient_grid(problem.adam_epsilon)) if precision == "exact" else 0.0
    found: dict[str, tuple[Array, Array]] = {}
    for part, rate in ((critic, problem.critic_learning_rate or problem.learning_rate), (actor, problem.learning_rate)):
        held = problem.holds(index) and part is actor
        steps = index + 1
        if part is actor:
            steps -= sum(map(problem.holds, range(index + 1)))
        norm = _norm(gradients, part if problem.separate else [*critic, *actor])
        factor = 1.0 if limit is None or norm <= limit else limit / norm
        for name in part:
            tensors = [before[prefix + name].astype(np.float64) for prefix in ("", "adam.m.", "adam.v.")]
            if held:
                moved = [(tensor, tensor) for tensor in tensors]
            else:
                g = gradients[name].astype(np.float64) * factor
                doubt = relative * np.abs(g) + absolute
                moved = _moved(tensors, g, doubt, rate, steps, problem.adam_epsilon, epsilon)
            found |= zip([name, f"adam.m.{name}", f"adam.v.{name}"], moved, strict=True)
    return found


def _moved(
    tensors: list[Array], g: Array, doubt: Array, rate: float, steps: int, adam_epsilon: float, epsilon: float
) -> list[tuple[Array, Array]]:
    """Adam's step with a gradient of ``g`` +- ``doubt``: bounds of the weight and of both moments."""
    weight, m, v = tensors
    (beta1, beta2), tiny = ADAM_BETAS, float(np.finfo(np.float32).tiny)
    far, near = np.abs(g) + doubt, np.maximum(np.abs(g) - doubt, 0.0)
    stored = 2.0**-23 + 8.0 * epsilon
    first = beta1 * m + (1.0 - beta1) * g
    slack = (1.0 - beta1) * doubt + stored * (np.abs(beta1 * m) + (1.0 - beta1) * np.abs(g)) + tiny
    second = [beta2 * v + (1.0 - beta2) * x * x for x in (near, far)]
    v_low, v_high = second[0] * (1.0 - stored) - tiny, second[1] * (1.0 + stored) + tiny
    # The step is taken before the moments are stored, so that they are not flushed to zero in it.
    root_low, root_high = (np.sqrt(np.maximum(x, 0.0) / (1.0 - beta2**steps)) + adam_epsilon for x in second)
    size = np.stack([(first + side * slack) / root for side in (-1.0, 1.0) for root in (root_low, root_high)])
    size *= rate / (1.0 - beta1**steps)
    pad = stored * (np.abs(weight) + np.abs(size).max(axis=0)) + tiny
    low, high = weight - size.max(axis=0) - pad, weight - size.min(axis=0) + pad
    return [(low, high), (first - slack, first + slack), (v_low, v_high)]


def _norm(gradients: Mapping[str, Array], names: list[str]) -> float:
    return sqrt(sum(float((gradients[name].astype(np.float64) ** 2).sum()) for name in names))
