"""Compute the loss and its statistics, differentiable, once for every framework; see `ppocore.backend.Objective`.

Written over what the arrays of all frameworks have in common (operators, ``sum``, ``mean``, slices) and some 25 small
operations, ``xp``, that each framework supplies under the same names: the class ``Operations`` beside its backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ppocore.backend import LOG_RATIO_LIMIT, Objective, is_critic
from ppocore.backends.autograd_distributions import apply_masks, divergence, log_prob_and_entropy
from ppocore.networks import NetworkSpec

Tensor = Any
"""A framework's array."""


def loss_terms(
    xp: Any,
    spec: NetworkSpec,
    network: Callable[[Tensor], tuple[Tensor, Tensor]],
    weights: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    form: Objective,
    objective: Objective,
) -> dict[str, Tensor]:
    """Compute the terms of the loss, by name; see `ppocore.backend.Objective`.

    Args:
        xp: the framework's operations.
        spec: the network, which determines the meaning of its outputs.
        network: observations to distribution parameters and values.
        weights: by canonical name; the L2 term is made of the critic's, biases apart.
        given: the minibatch; ``valid`` (B,) where some of its rows are not samples.
        form: an objective whose zeros and Nones determine which terms are left out.
        objective: the objective with its numbers, which may be traced by a compiler.
    """
    advantages, returns = given["advantages"], given["returns"]

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
    if objective.clip:
        clipped = xp.clip(ratio, 1.0 - objective.clip_range, 1.0 + objective.clip_range)
        surrogate = xp.minimum(surrogate, clipped * advantages)
    if objective.dual_clip is not None:
        least = objective.dual_clip * advantages
        surrogate = xp.where((advantages < 0.0) & (surrogate < least), least, surrogate)
    policy_loss = -mean(surrogate)
    squared_error = xp.square(values - returns)
    if objective.value_clip_range is not None:
        old_values, limit = given["values"], objective.value_clip_range
        bounded = old_values + xp.clip(values - old_values, -limit, limit)
        squared_error = xp.maximum(squared_error, xp.square(bounded - returns))
    value_loss = 0.5 * mean(squared_error)
    mean_entropy = mean(entropy)
    loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
    kl = xp.zeros_like(loss)
    if form.kl_coef:
        if "old_parameters" not in given:
            raise ValueError("an objective with a kl_coef needs the minibatch's old_parameters")
        kl = mean(divergence(xp, spec, masked(given["old_parameters"]), parameters))
        loss = loss + objective.kl_coef * kl
    if form.critic_l2_coef:
        matrices = [w for name, w in weights.items() if is_critic(name) and w.ndim == 2]
        loss = loss + objective.critic_l2_coef * sum(xp.square(w).sum() for w in matrices)
    return {
        "parameters": unmasked, "values": values, "log_prob": log_prob, "log_ratio": log_ratio, "ratio": ratio,
        "entropy": entropy, "mean_entropy": mean_entropy, "policy_loss": policy_loss, "value_loss": value_loss,
        "kl": kl, "loss": loss,
    }  # fmt: skip


def statistics(xp: Any, terms: Mapping[str, Tensor], gradient: Tensor, clip_range: float, valid: Tensor) -> Tensor:
    """Compute the fields of `ppocore.backend.UpdateStats` as one array (9,), so that they need a single transfer."""
    moved = terms["ratio"] - 1.0
    outside = xp.where(xp.abs(moved) > clip_range, xp.full_like(moved, 1.0), xp.zeros_like(moved))
    old_approx_kl = -_mean(xp, terms["log_ratio"], valid)
    approx_kl = _mean(xp, moved, valid) + old_approx_kl
    figures = [
        *(terms[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
        *(old_approx_kl, xp.maximum(approx_kl, xp.zeros_like(approx_kl)), _mean(xp, outside, valid)),
        *(xp.sqrt(gradient.dot(gradient)), terms["kl"]),
    ]
    return xp.stack(figures)


def _mean(xp: Any, x: Tensor, valid: Tensor | None) -> Tensor:
    return x.mean() if valid is None else xp.where(valid, x, 0.0).sum() / valid.sum()
