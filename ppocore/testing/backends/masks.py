"""Properties of masks: what is forbidden does not exist, to the last bit."""

from __future__ import annotations

import numpy as np

from ppocore.backend import BackendFactory, Minibatch
from ppocore.distributions import Bernoulli
from ppocore.networks import compute_dtype
from ppocore.testing.backends.judging import Disagreement, Errors, Inapplicable
from ppocore.testing.backends.problems import Problem
from ppocore.testing.backends.random_problems import component_sizes
from ppocore.typing import Array


def masked_actions(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """What a mask forbids has probability 0 and no gradient, exactly; with one action left, nothing is uncertain.

    Then the log-probability and the entropy are 0 but for what cannot be told from 0 (some exponentials end at the
    smallest normal number), and nothing flows back to the policy.
    """
    if not problem.spec.distribution().mask_size:
        raise Inapplicable("there are no masks for continuous actions")
    backend, objective = problem.backend(factory, precision, device), problem.objective
    batch = _one_action_for_all(problem.batch(precision))
    for masks in (_only(problem, batch), _some(problem, batch)):
        masked = batch._replace(masks=masks)
        evaluation = backend.evaluate(masked, objective)
        gradients = backend.gradients(masked, objective)
        for name, array in [*evaluation._asdict().items(), *gradients.items()]:
            if not np.isfinite(array).all():
                raise Disagreement(f"masked, {name}", "finite numbers", array)
        for name in ("actor.output.weight", "actor.output.bias"):
            _require_zero(f"gradient of {name} by what is masked", gradients[name][..., _decided(problem, masks[0])])
        for forbidden in _forbidden(problem, masks, batch.actions):
            found = backend.evaluate(masked._replace(actions=forbidden), objective).log_prob
            with np.errstate(under="ignore"):
                _require_zero("probability of a masked action", np.exp(found))
    only = batch._replace(masks=_only(problem, batch))
    evaluation = backend.evaluate(only, objective)
    least = 16.0 * float(np.finfo(compute_dtype(precision)).tiny)
    _require_zero("log-probability of the only action", evaluation.log_prob, least)
    _require_zero("entropy where there is one action", evaluation.entropy, least)
    for name, gradient in backend.gradients(only, objective).items():
        if name.startswith("actor."):
            _require_zero(f"gradient of {name} where there is one action", gradient)
    return {}


def _one_action_for_all(batch: Minibatch) -> Minibatch:
    """The minibatch with the first sample's action in every sample."""
    return batch._replace(actions=np.repeat(batch.actions[:1], len(batch.actions), axis=0))


def _components(problem: Problem, actions: Array) -> list[tuple[int, Array]]:
    """The number of choices of each thing that is chosen, and what was chosen, (B,)."""
    sizes = component_sizes(problem.spec)
    return list(zip(sizes, actions.reshape(len(actions), len(sizes)).T, strict=True))


def _only(problem: Problem, batch: Minibatch) -> Array:
    """Masks that leave the actions taken."""
    return np.concatenate([np.arange(n) == a[:, None] for n, a in _components(problem, batch.actions)], axis=1)


def _some(problem: Problem, batch: Minibatch) -> Array:
    """Masks that leave the actions taken and, of each component, about every second choice."""
    components = _components(problem, batch.actions)
    return np.concatenate([(np.arange(n) - a[:, None]) % 2 == 0 for n, a in components], axis=1)


def _decided(problem: Problem, mask: Array) -> Array:
    """Which of the policy's outputs a mask makes irrelevant: of bits, those that have one value left."""
    return ~np.logical_and(mask[::2], mask[1::2]) if problem.spec.action_kind == Bernoulli.kind else ~mask


def _forbidden(problem: Problem, masks: Array, actions: Array) -> list[Array]:
    """Actions that differ from those taken in one component, and are masked there."""
    found, start = [], 0
    columns = actions.reshape(len(actions), -1)
    for i, size in enumerate(component_sizes(problem.spec)):
        for choice in np.flatnonzero(~masks[0, start : start + size])[:2]:
            changed = columns.copy()
            changed[:, i] = choice
            found.append(changed.reshape(actions.shape))
        start += size
    return found


def _require_zero(quantity: str, array: Array, least: float = 0.0) -> None:
    """Refuse numbers that differ from 0 by more than ``least``."""
    wrong = np.abs(array) > least
    if np.any(wrong):
        raise Disagreement(quantity, "0, exactly", float(array.ravel()[np.flatnonzero(wrong)[0]]))
