"""Check that masked actions have no probability and no gradient."""

from __future__ import annotations

import numpy as np

from ppocore.backend import BackendFactory, Minibatch
from ppocore.distributions import Bernoulli
from ppocore.networks import compute_dtype
from ppocore.testing.backends.comparison import Disagreement, Errors, Inapplicable
from ppocore.testing.backends.problems import Problem
from ppocore.testing.backends.random_problems import component_sizes
from ppocore.typing import Array


def masked_actions(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that masked actions have probability 0 and no gradient, exactly.

    Where one action is left, its log-probability and the entropy must be 0, up to a few of the smallest normal numbers
    (some exponentials do not go below it), and the policy must get no gradient.
    """
    if not problem.spec.distribution().mask_size:
        raise Inapplicable("there are no masks for continuous actions")
    backend, objective = problem.backend(factory, precision, device), problem.objective
    batch = _with_same_action(problem.batch(precision))
    for masks in (_mask_all_others(problem, batch), _mask_every_second(problem, batch)):
        masked = batch._replace(masks=masks)
        evaluation = backend.evaluate(masked, objective)
        gradients = backend.gradients(masked, objective)
        for name, array in [*evaluation._asdict().items(), *gradients.items()]:
            if not np.isfinite(array).all():
                raise Disagreement(f"masked, {name}", "finite numbers", array)
        for name in ("actor.output.weight", "actor.output.bias"):
            irrelevant = gradients[name][..., _irrelevant_outputs(problem, masks[0])]
            _require_zero(f"gradient of {name} for masked outputs", irrelevant)
        for forbidden in _forbidden_actions(problem, masks, batch.actions):
            found = backend.evaluate(masked._replace(actions=forbidden), objective).log_prob
            with np.errstate(under="ignore"):
                _require_zero("probability of a masked action", np.exp(found))
    only = batch._replace(masks=_mask_all_others(problem, batch))
    evaluation = backend.evaluate(only, objective)
    tolerance = 16.0 * float(np.finfo(compute_dtype(precision)).tiny)
    _require_zero("log-probability of the only action", evaluation.log_prob, tolerance)
    _require_zero("entropy where there is one action", evaluation.entropy, tolerance)
    for name, gradient in backend.gradients(only, objective).items():
        if name.startswith("actor."):
            _require_zero(f"gradient of {name} where there is one action", gradient)
    return {}


def _with_same_action(batch: Minibatch) -> Minibatch:
    """Copy the first sample's action to every sample."""
    return batch._replace(actions=np.repeat(batch.actions[:1], len(batch.actions), axis=0))


def _components(problem: Problem, actions: Array) -> list[tuple[int, Array]]:
    """Return each component's number of choices and the choices taken, (B,)."""
    sizes = component_sizes(problem.spec)
    return list(zip(sizes, actions.reshape(len(actions), len(sizes)).T, strict=True))


def _mask_all_others(problem: Problem, batch: Minibatch) -> Array:
    """Mask all actions but those taken."""
    return np.concatenate([np.arange(n) == a[:, None] for n, a in _components(problem, batch.actions)], axis=1)


def _mask_every_second(problem: Problem, batch: Minibatch) -> Array:
    """Mask about every second choice of each component, but not the actions taken."""
    components = _components(problem, batch.actions)
    return np.concatenate([(np.arange(n) - a[:, None]) % 2 == 0 for n, a in components], axis=1)


def _irrelevant_outputs(problem: Problem, mask: Array) -> Array:
    """Return which policy outputs a mask makes irrelevant: masked choices, or bits with one value left."""
    return ~np.logical_and(mask[::2], mask[1::2]) if problem.spec.action_kind == Bernoulli.kind else ~mask


def _forbidden_actions(problem: Problem, masks: Array, actions: Array) -> list[Array]:
    """Return actions that differ from those taken in one component, where they are masked."""
    found, start = [], 0
    columns = actions.reshape(len(actions), -1)
    for i, size in enumerate(component_sizes(problem.spec)):
        for choice in np.flatnonzero(~masks[0, start : start + size])[:2]:
            changed = columns.copy()
            changed[:, i] = choice
            found.append(changed.reshape(actions.shape))
        start += size
    return found


def _require_zero(quantity: str, array: Array, tolerance: float = 0.0) -> None:
    """Raise `Disagreement` for a number that differs from 0 by more than ``tolerance``."""
    wrong = np.abs(array) > tolerance
    if np.any(wrong):
        raise Disagreement(quantity, "0, exactly", float(array.ravel()[np.flatnonzero(wrong)[0]]))
