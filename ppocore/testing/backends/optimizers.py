"""Check the critic's own optimizer settings: compare each step with Adam's formula, weight by weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

import numpy as np

from ppocore.backend import BackendFactory
from ppocore.networks import compute_dtype
from ppocore.optimizers import ADAM_BETAS, gradient_grid
from ppocore.testing.backends.comparison import Disagreement, Errors, Inapplicable
from ppocore.testing.backends.problems import Problem
from ppocore.typing import Array


def critic_learning_rate(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that the critic's weights, and no others, are updated with the critic's learning rate."""
    changed = problem.with_one_optimizer(critic_learning_rate=7.0 * problem.learning_rate)
    return _steps(factory, changed, precision, device)


def separate_norms(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that separate optimizers clip the actor's and the critic's gradient by their own norms."""
    changed = replace(problem, separate=True, freeze_actor=(), max_grad_norm=0.05)
    return _steps(factory, changed, precision, device)


def held_actor(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that a held actor keeps its weights and moments to the bit, and that bias correction skips those steps.

    The actor is held in every second step: from the first step in one run, from the second step in another.
    """
    if problem.spec.shared_trunk:
        raise Inapplicable("an actor that shares layers with the critic cannot be held")
    for first in (True, False):
        held = tuple((index % 2 == 0) == first for index in range(len(problem.batches)))
        _steps(factory, replace(problem, freeze_actor=held), precision, device)
    return {}


def _steps(factory: BackendFactory, problem: Problem, precision: str, device: str) -> Errors:
    """Compare every step of the problem with Adam's formula, starting from the backend's own state before the step."""
    backend = problem.backend(factory, precision, device)
    for index, batch in enumerate(problem.minibatches(precision)):
        before = {name: array.copy() for name, array in backend.state().items()}
        gradients = backend.gradients(batch, problem.objective)
        problem.step(backend, batch, index)
        after = backend.state()
        for name, (low, high) in _expected_step(problem, index, before, gradients, precision).items():
            outside = ~((after[name] >= low) & (after[name] <= high))
            if outside.any():
                place = np.unravel_index(int(outside.argmax()), outside.shape)
                expected = f"between {float(low[place])!r} and {float(high[place])!r}"
                quantity = (
                    f"{name}{[int(i) for i in place]} after {index + 1} steps, freeze_actor={problem.freeze_actor},"
                )
                raise Disagreement(quantity, expected, repr(float(after[name][place])))
    return {}


def _expected_step(
    problem: Problem, index: int, before: Mapping[str, Array], gradients: Mapping[str, Array], precision: str
) -> dict[str, tuple[Array, Array]]:
    """Bound each tensor after a step, by the rounding of the norm and of the step."""
    critic = [name for name in gradients if name.startswith("critic.")]
    actor = [name for name in gradients if name not in critic]
    limit, epsilon = problem.max_grad_norm, float(np.finfo(compute_dtype(precision)).eps)
    # The norm, and so the clipping factor, has float32 precision; exact mode also rounds to its grid.
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
                margin = relative * np.abs(g) + absolute
                moved = _adam(tensors, g, margin, rate, steps, problem.adam_epsilon, epsilon)
            found |= zip([name, f"adam.m.{name}", f"adam.v.{name}"], moved, strict=True)
    return found


def _adam(
    tensors: list[Array], g: Array, margin: Array, rate: float, steps: int, adam_epsilon: float, epsilon: float
) -> list[tuple[Array, Array]]:
    """Bound the weight and both moments after Adam's step with a gradient of ``g`` +- ``margin``."""
    weight, m, v = tensors
    (beta1, beta2), tiny = ADAM_BETAS, float(np.finfo(np.float32).tiny)
    far, near = np.abs(g) + margin, np.maximum(np.abs(g) - margin, 0.0)
    stored = 2.0**-23 + 8.0 * epsilon
    first = beta1 * m + (1.0 - beta1) * g
    slack = (1.0 - beta1) * margin + stored * (np.abs(beta1 * m) + (1.0 - beta1) * np.abs(g)) + tiny
    second = [beta2 * v + (1.0 - beta2) * x * x for x in (near, far)]
    v_low, v_high = second[0] * (1.0 - stored) - tiny, second[1] * (1.0 + stored) + tiny
    # The step uses the moments before they are stored, where they are not flushed to zero.
    root_low, root_high = (np.sqrt(np.maximum(x, 0.0) / (1.0 - beta2**steps)) + adam_epsilon for x in second)
    size = np.stack([(first + side * slack) / root for side in (-1.0, 1.0) for root in (root_low, root_high)])
    size *= rate / (1.0 - beta1**steps)
    pad = stored * (np.abs(weight) + np.abs(size).max(axis=0)) + tiny
    low, high = weight - size.max(axis=0) - pad, weight - size.min(axis=0) + pad
    return [(low, high), (first - slack, first + slack), (v_low, v_high)]


def _norm(gradients: Mapping[str, Array], names: list[str]) -> float:
    return sqrt(sum(float((gradients[name].astype(np.float64) ** 2).sum()) for name in names))
