"""Compute the loss and its gradient with running error bounds, the unit of every comparison.

The formulas are those of `ppocore.backend.Objective`; ``network`` has the network's, ``distributions`` the policy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.backend import LOG_RATIO_LIMIT, Minibatch, Objective
from ppocore.networks import NetworkSpec
from ppocore.testing.backends.error_bounds.distributions import KINDS
from ppocore.testing.backends.error_bounds.network import Network
from ppocore.testing.backends.error_bounds.rounding import Rounded, maximum, minimum
from ppocore.typing import Array


class RoundedLoss(NamedTuple):
    """Hold every result of a backend with its error bound: (B,) arrays, scalars, and gradients by weight name."""

    parameters: Rounded
    value: Rounded
    log_prob: Rounded
    log_ratio: Rounded
    ratio: Rounded
    entropy: Rounded
    policy_loss: Rounded
    value_loss: Rounded
    loss: Rounded
    kl: Rounded
    gradients: dict[str, Rounded]
    stats: dict[str, Rounded]


def rounded_loss(
    spec: NetworkSpec, weights: Mapping[str, Array], batch: Minibatch, objective: Objective, arithmetic: np.finfo[Any]
) -> RoundedLoss:
    """Compute the loss, with the error bound of every part of it.

    Args:
        spec: the network.
        weights: weights by canonical name.
        batch: B samples.
        objective: the loss.
        arithmetic: the floating-point format that is compared; it decides what is near a kink and what underflows.
    """
    epsilon = float(arithmetic.eps)
    underflow = float(arithmetic.tiny) / epsilon
    count = len(batch.advantages)
    network, kind = Network(spec, weights, epsilon), KINDS[spec.action_kind]
    parameters, value = network.forward(Rounded(batch.observations))
    allowed = np.ones((count, spec.distribution().mask_size), np.bool_) if batch.masks is None else batch.masks
    log_prob, entropy, pullback = kind.evaluate(spec, parameters, batch.actions, allowed, underflow)

    moved = log_prob - batch.log_probs
    log_ratio = moved.clip(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, epsilon)
    ratio = log_ratio.exp()
    surrogate, d_ratio = _surrogate(ratio, batch.advantages, objective, epsilon)
    policy_loss = -surrogate.mean()
    near_clamp = moved.near(LOG_RATIO_LIMIT, epsilon) | moved.near(-LOG_RATIO_LIMIT, epsilon)
    d_log_ratio = d_ratio * ratio * (-1.0 / count)
    d_log_prob = d_log_ratio.where(log_ratio.value == moved.value, epsilon, undecided=near_clamp)

    squared_error, error = _value_error(value, batch, objective.value_clip_range, epsilon)
    value_loss = 0.5 * squared_error.mean()
    d_value = error * (objective.value_coef / count)

    mean_entropy = entropy.mean()
    loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
    d_entropy = Rounded(np.full(count, -objective.entropy_coef / count))
    d_parameters = pullback(d_log_prob, d_entropy)
    kl = Rounded(0.0)
    if objective.kl_coef:
        old = Rounded(batch.old_parameters)
        divergence, kl_pullback = kind.divergence(spec, old, parameters, allowed, underflow)
        kl = divergence.mean()
        loss = loss + objective.kl_coef * kl
        d_parameters = d_parameters + kl_pullback(Rounded(np.full(count, objective.kl_coef / count)))
    gradients = network.backward(d_parameters, d_value)
    if objective.critic_l2_coef:
        for name, weight in network.critic_weights().items():
            loss = loss + objective.critic_l2_coef * (Rounded(weight) * weight).sum()
            gradients[name] = gradients[name] + Rounded(weight) * (2.0 * objective.critic_l2_coef)

    old_approx_kl = -log_ratio.mean()
    clip = objective.clip_range
    near_clip = ratio.near(1.0 - clip, epsilon) | ratio.near(1.0 + clip, epsilon)
    outside = np.abs(ratio.value - 1.0) > clip
    stats = {
        "loss": loss,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": mean_entropy,
        "old_approx_kl": old_approx_kl,
        "approx_kl": (ratio - 1.0).mean() + old_approx_kl,
        "clip_fraction": Rounded(np.ones(count)).where(outside, epsilon, undecided=near_clip).mean(),
        "grad_norm": norm(gradients, float(np.sqrt(arithmetic.tiny)) / epsilon),
        "kl": kl,
    }
    return RoundedLoss(
        parameters, value, log_prob, log_ratio, ratio, entropy, policy_loss, value_loss, loss, kl, gradients, stats
    )


def norm(gradients: Mapping[str, Rounded], underflow: float) -> Rounded:
    """Compute the global norm of gradients, whose error is at most the norm of theirs; squares may underflow."""
    length, error_bound = (
        float(np.sqrt(sum(float((part * part).sum()) for part in parts)))
        for parts in ([g.value for g in gradients.values()], [g.error_bound for g in gradients.values()])
    )
    return Rounded(length, error_bound + 2.0 * length + underflow)


def _surrogate(ratio: Rounded, advantages: Array, objective: Objective, epsilon: float) -> tuple[Rounded, Rounded]:
    """Return each sample's surrogate and its derivative by the ratio: the advantage, or 0 where it is clipped."""
    surrogate = ratio * advantages
    flows = np.ones(advantages.shape, np.bool_)
    undecided = np.zeros(advantages.shape, np.bool_)
    if objective.clip:
        low, high = 1.0 - objective.clip_range, 1.0 + objective.clip_range
        # The clip bounds the improvement alone: the minimum keeps the gradient where the ratio made things worse.
        flows = np.where(advantages > 0.0, ratio.value <= high, ratio.value >= low)
        surrogate = minimum(surrogate, ratio.clip(low, high, epsilon) * advantages)
        undecided = ratio.near(low, epsilon) | ratio.near(high, epsilon)
    if objective.dual_clip is not None:
        least = np.where(advantages < 0.0, objective.dual_clip * advantages, -np.inf)
        flows = flows & (surrogate.value >= least)
        undecided = undecided | surrogate.near(least, epsilon)
        surrogate = maximum(surrogate, Rounded(least, np.where(advantages < 0.0, np.abs(advantages), 0.0)))
    return surrogate, Rounded(advantages).where(flows, epsilon, undecided=undecided)


def _value_error(value: Rounded, batch: Minibatch, limit: float | None, epsilon: float) -> tuple[Rounded, Rounded]:
    """Return each sample's squared error, and the error whose gradient flows back."""
    error = value - batch.returns
    if limit is None:
        return error * error, error
    moved = value - batch.values
    clipped_error = batch.values + moved.clip(-limit, limit, epsilon) - batch.returns
    outside = np.abs(moved.value) > limit
    excess = clipped_error * clipped_error - error * error
    edge = moved.near(limit, epsilon) | moved.near(-limit, epsilon)
    flows = ~(outside & (excess.value > 0.0))
    # Inside the range the clipped error equals the error, computed in more steps: either may flow back.
    either = Rounded(
        error.value, np.where(outside, error.error_bound, np.maximum(error.error_bound, clipped_error.error_bound))
    )
    flowing = either.where(flows, epsilon, undecided=edge | (outside & excess.near(0.0, epsilon)))
    return maximum(error * error, clipped_error * clipped_error), flowing
