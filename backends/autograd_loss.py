"""Compute the differentiable loss and its statistics for all frameworks; see `ppocore.backend.Objective`.

The code uses only what the arrays of all frameworks have in common (operators, ``sum``, ``mean``, slices) and about
25 small operations, ``xp``: the class ``Operations`` of each framework's backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ppocore.backend import LOG_RATIO_LIMIT, Objective, is_critic
from ppocore.backends.autograd_distributions import apply_masks, divergence, log_prob_and_entropy
from ppocore.networks import NetworkSpec

Tensor = Any
"""A framework's array."""


class Coefficients(NamedTuple):
    """Hold the numbers of an objective; None for a term that is omitted, so that a compiled loss omits it too."""

    clip_range: float
    entropy_coef: float
    value_coef: float
    surrogate_clip: float | None
    dual_clip: float | None
    value_clip_range: float | None
    kl_coef: float | None
    critic_l2_coef: float | None

    @classmethod
    def of(cls, objective: Objective) -> Coefficients:
        """Return the coefficients of an objective."""
        return cls(
            objective.clip_range,
            objective.entropy_coef,
            objective.value_coef,
            objective.clip_range if objective.clip else None,
            objective.dual_clip,
            objective.value_clip_range,
            objective.kl_coef or None,
            objective.critic_l2_coef or None,
        )


def loss_terms(
    xp: Any,
    spec: NetworkSpec,
    network: Callable[[Tensor], tuple[Tensor, Tensor]],
    weights: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    coefficients: Coefficients,
) -> dict[str, Tensor]:
    """Compute the terms of the loss, by name; see `ppocore.backend.Objective`.

    Args:
        xp: the framework's operations.
        spec: the network.
        network: maps observations to distribution parameters and values.
        weights: the weights by canonical name, for the L2 term of the critic.
        given: the arrays of the minibatch, with ``valid`` (B,) if some rows are padding.
        coefficients: those of the objective.
    """
    c, advantages, returns = coefficients, given["advantages"], given["returns"]

    def mean(x: Tensor) -> Tensor:
        return _mean(xp, x, given.get("valid"))

    def masked(parameters: Tensor) -> Tensor:
        return apply_masks(xp, spec, parameters, given["masks"]) if "masks" in given else parameters

    unmasked, values = network(given["observations"])
    parameters = masked(unmasked)
    log_prob, entropy = log_prob_and_entropy(xp, spec, parameters, given["actions"])
    log_ratio = xp.clip(log_prob - given["log_probs"], -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = xp.exp(log_ratio)
    surrogate = ratio * advantages
    if c.surrogate_clip is not None:
        clipped = xp.clip(ratio, 1.0 - c.surrogate_clip, 1.0 + c.surrogate_clip)
        surrogate = xp.minimum(surrogate, clipped * advantages)
    if c.dual_clip is not None:
        least = c.dual_clip * advantages
        surrogate = xp.where((advantages < 0.0) & (surrogate < least), least, surrogate)
    policy_loss = -mean(surrogate)
    error = values - returns
    squared_error = xp.square(error)
    if c.value_clip_range is not None:
        old_values = given["values"]
        error = old_values + xp.clip(values - old_values, -c.value_clip_range, c.value_clip_range) - returns
        squared_error = xp.maximum(squared_error, xp.square(error))
    value_loss = 0.5 * mean(squared_error)
    mean_entropy = mean(entropy)
    loss = policy_loss - c.entropy_coef * mean_entropy + c.value_coef * value_loss
    kl = xp.zeros_like(loss)
    if c.kl_coef is not None:
        if "old_parameters" not in given:
            raise ValueError("an objective with a kl_coef needs the minibatch's old_parameters")
        kl = mean(divergence(xp, spec, masked(given["old_parameters"]), parameters))
        loss = loss + c.kl_coef * kl
    if c.critic_l2_coef is not None:
        matrices = [w for name, w in weights.items() if is_critic(name) and w.ndim == 2]
        loss = loss + c.critic_l2_coef * sum(xp.square(w).sum() for w in matrices)
    return {
        "parameters": unmasked, "values": values, "log_prob": log_prob, "log_ratio": log_ratio, "ratio": ratio,
        "entropy": entropy, "mean_entropy": mean_entropy, "policy_loss": policy_loss, "value_loss": value_loss,
        "kl": kl, "loss": loss,
    }  # fmt: skip


def statistics(xp: Any, terms: Mapping[str, Tensor], gradient: Tensor, clip_range: float, valid: Tensor) -> Tensor:
    """Compute the numbers of `ppocore.backend.UpdateStats`, (9,), in one array that needs a single device transfer."""
    moved = terms["ratio"] - 1.0
    outside = xp.as_numbers(xp.abs(moved) > clip_range, moved)
    old_approx_kl = -_mean(xp, terms["log_ratio"], valid)
    figures = [
        *(terms[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
        *(old_approx_kl, _mean(xp, moved, valid) + old_approx_kl, _mean(xp, outside, valid)),
        *(xp.sqrt(xp.square(gradient).sum()), terms["kl"]),
    ]
    return xp.stack(figures)


def _mean(xp: Any, x: Tensor, valid: Tensor | None) -> Tensor:
    return x.mean() if valid is None else xp.where(valid, x, 0.0).sum() / valid.sum()
