"""Compare an ONNX model with its policy on random observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.distributions import Bernoulli
from ppocore.errors import RunError
from ppocore.export.inputs import input_name, input_of
from ppocore.policy import Policy
from ppocore.spaces import BoxAction
from ppocore.typing import Array

TOLERANCE = 1e-5
"""Largest relative error of parameters (of numbers below 1, absolute error) and of actions (see `_numbers_differ`)."""


def check(policy: Policy, session: Any, rng: np.random.Generator, count: int, with_mask: bool) -> None:
    """Compare the model with the policy on random observations.

    Raises:
        RunError: the model differs from the policy.
    """
    inputs, structured = _random_observations(policy, rng, count)
    masks = None
    if with_mask:
        masks = _random_masks(policy, rng, count)
        masks[: count // 2] = True
        inputs["action_mask"] = masks
    action, parameters = session.run(["action", "parameters"], inputs)
    flat, _ = policy.mapping.flatten_any(structured)
    expected = policy.parameters(flat)
    worst = float(np.max(np.abs(parameters - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0))
    if not worst <= TOLERANCE:
        raise RunError(f"the model's parameters differ from the policy's by {worst:.1e}: it was not written")
    taken = policy.act(structured, mask=masks)
    if action.shape != taken.shape or action.dtype != taken.dtype:
        raise RunError(
            f"the model's actions are {action.dtype} {action.shape}, the policy's {taken.dtype} {taken.shape}: it was "
            "not written"
        )
    differ = _numbers_differ if policy.spec.distribution().mask_size == 0 else _choices_differ
    rows = np.flatnonzero(differ(policy, expected, masks, action, taken).reshape(count, -1).any(axis=1)).tolist()
    if rows:
        raise RunError(
            f"the model's action {action[rows[0]].tolist()} is not the policy's {taken[rows[0]].tolist()} for one of "
            "the random observations: it was not written"
        )


def _numbers_differ(policy: Policy, parameters: Array, masks: Array | None, action: Array, taken: Array) -> Array:
    """Return where continuous actions differ, (B, *shape), by more than the tolerance times the width of the bounds.

    A Gaussian policy's mean is not scaled to the bounds: there the tolerance is relative to the width or to the larger
    of the action and 1, whichever is smaller. One step of the action's dtype is never a difference.
    """
    space = policy.adapter.space
    assert isinstance(space, BoxAction)
    low, high = (np.array(bound).reshape(space.shape) for bound in (space.low, space.high))
    scale = high - low
    if not policy.adapter.distribution.is_bounded:
        scale = np.minimum(scale, np.maximum(1.0, np.abs(taken)))
    step = np.spacing(np.abs(taken)).astype(np.float64)
    differ: Array = ~(np.abs(action.astype(np.float64) - taken) <= TOLERANCE * scale + step)
    return differ


def _choices_differ(policy: Policy, parameters: Array, masks: Array | None, action: Array, taken: Array) -> Array:
    """Return which components of discrete actions differ, (B, components), unless their choices are tied."""
    if masks is not None:
        parameters = policy.spec.distribution().apply_masks(parameters, masks)
    if policy.spec.action_kind == Bernoulli.kind:  # the log-odds of 1 against 0
        parameters = np.stack([np.zeros_like(parameters), parameters], axis=2).reshape(len(parameters), -1)
    sizes = policy.adapter.distribution.mask_sections
    start = np.ravel(getattr(policy.adapter.space, "start", 0))
    chosen, best = ((x.reshape(len(x), -1).astype(np.int64) - start) for x in (action, taken))
    differ: Array = chosen != best
    for i, part in enumerate(np.split(parameters, np.cumsum(sizes)[:-1], axis=1)):
        inside = (chosen[:, i] >= 0) & (chosen[:, i] < sizes[i])
        index = np.where(inside, chosen[:, i], 0)[:, None]
        largest = part.max(axis=1)
        gap = largest - np.take_along_axis(part, index, axis=1)[:, 0]
        differ[:, i] &= ~(inside & (gap <= TOLERANCE * np.maximum(1.0, np.abs(largest))))
    return differ


def _random_observations(policy: Policy, rng: np.random.Generator, count: int) -> tuple[dict[str, Array], Any]:
    """Draw observations with the normalizer's statistics, as the model's inputs and as `Policy.act` takes them."""
    normalizer = policy.normalizer
    mean, deviation = np.zeros(policy.mapping.size), np.ones(policy.mapping.size)
    if normalizer is not None:
        mean, deviation = normalizer.moments.mean, np.sqrt(normalizer.moments.var)
    inputs: dict[str, Array] = {}
    structured: Any = None
    start = 0
    for path, leaf in policy.mapping.leaves:
        part = slice(start, start + leaf.size)
        array = input_of(leaf).draw(rng, count, leaf, mean[part], deviation[part])
        start += leaf.size
        inputs[input_name(path)] = array
        structured = _put(structured, path, array)
    return inputs, structured


def _random_masks(policy: Policy, rng: np.random.Generator, count: int) -> Array:
    """Draw masks that allow a choice in every component."""
    allowed = [
        (rng.random((count, size)) < 0.5) | (np.arange(size) == rng.integers(0, size, (count, 1)))
        for size in policy.adapter.distribution.mask_sections
    ]
    return np.concatenate(allowed, axis=1)


def _put(structured: Any, path: tuple[Any, ...], array: Array) -> Any:
    """Return a nested observation with one more part; the parts of a tuple come in order."""
    if not path:
        return array
    key, *rest = path
    if isinstance(key, int):
        parts = list(structured or ())
        inner = parts.pop(key) if key < len(parts) else None
        return (*parts[:key], _put(inner, tuple(rest), array))
    known: Mapping[Any, Any] = structured or {}
    return {**known, key: _put(known.get(key), tuple(rest), array)}
