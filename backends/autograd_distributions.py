"""Compute log-probabilities, entropies and divergences, differentiable, by the formulas of `ppocore.distributions`.

``xp`` is a framework's `ppocore.backends.autograd.Operations`.
"""

from __future__ import annotations

import math
from typing import Any

from ppocore.distributions import MASKED
from ppocore.distributions.gaussian import HALF_LOG_2PI, QUADRATURE_NODES, QUADRATURE_WEIGHTS
from ppocore.networks import NetworkSpec

Tensor = Any


def apply_masks(xp: Any, spec: NetworkSpec, parameters: Tensor, masks: Tensor) -> Tensor:
    """Return parameters with which actions that ``masks`` (B, mask_size) forbid have probability 0 and no gradient."""
    never = xp.full_like(parameters, -MASKED)
    if spec.action_kind == "bernoulli":
        flags = masks.reshape((-1, spec.action_size, 2))
        return xp.where(flags[:, :, 1], xp.where(flags[:, :, 0], parameters, -never), never)
    return xp.where(masks, parameters, never)


def log_prob_and_entropy(xp: Any, spec: NetworkSpec, parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the log-probabilities of actions and the entropies, (B,) each."""
    kind = spec.action_kind
    if kind == "categorical":
        return _categorical(xp, parameters, actions)
    if kind == "multi_categorical":
        parts = [_categorical(xp, part, actions[:, i]) for i, part in enumerate(xp.split(parameters, spec.choices, 1))]
        return sum(log_prob for log_prob, _ in parts), sum(entropy for _, entropy in parts)
    if kind == "bernoulli":
        zero, one = _softplus(xp, parameters), _softplus(xp, -parameters)  # minus the log-probabilities of 0 and of 1
        entropy = xp.sigmoid(parameters) * one + xp.sigmoid(-parameters) * zero
        return -xp.where(actions == 1, one, zero).sum(1), entropy.sum(1)
    first, second = xp.split(parameters, (spec.action_size,) * 2, 1)
    if kind == "beta":
        a, b = _shapes(xp, first), _shapes(xp, second)
        log_beta, psi = _log_beta(xp, a, b), xp.digamma
        log_prob = (a - 1.0) * xp.log(actions) + (b - 1.0) * xp.log1p(-actions) - log_beta
        entropy = log_beta - (a - 1.0) * psi(a) - (b - 1.0) * psi(b) + (a + b - 2.0) * psi(a + b)
        return log_prob.sum(1), entropy.sum(1)
    std = xp.exp(second)
    z = (actions - first) / std
    total, size = second.sum(1), spec.action_size
    log_prob, entropy = -0.5 * xp.square(z).sum(1) - total - size * HALF_LOG_2PI, total + size * (0.5 + HALF_LOG_2PI)
    if kind == "gaussian":
        return log_prob, entropy
    nodes, weights = (xp.constant(array, parameters) for array in (QUADRATURE_NODES, QUADRATURE_WEIGHTS))
    slopes = _log_slope(xp, first[:, :, None] + std[:, :, None] * nodes)
    return log_prob - _log_slope(xp, actions).sum(1), entropy + (slopes @ weights).sum(1)


def divergence(xp: Any, spec: NetworkSpec, old: Tensor, new: Tensor) -> Tensor:
    """Compute KL(old || new) of two sets of parameters, (B,)."""
    kind = spec.action_kind
    if kind in ("categorical", "multi_categorical"):
        sizes = spec.choices or (spec.action_size,)
        pairs = zip(xp.split(old, sizes, 1), xp.split(new, sizes, 1), strict=True)
        logs = [(xp.log_softmax(y, 1), xp.log_softmax(z, 1)) for y, z in pairs]
        return sum((xp.probability(log_q) * (log_q - log_p)).sum(1) for log_q, log_p in logs)
    if kind == "bernoulli":
        if_one = _softplus(xp, -new) - _softplus(xp, -old)
        if_zero = _softplus(xp, new) - _softplus(xp, old)
        return (xp.sigmoid(old) * if_one + xp.sigmoid(-old) * if_zero).sum(1)
    (old_first, old_second), (first, second) = (xp.split(x, (spec.action_size,) * 2, 1) for x in (old, new))
    if kind == "beta":
        a_q, b_q, a, b = (_shapes(xp, x) for x in (old_first, old_second, first, second))
        psi_a, psi_b, psi = xp.digamma(a_q), xp.digamma(b_q), xp.digamma(a_q + b_q)
        terms = (a_q - a) * psi_a + (b_q - b) * psi_b + (a - a_q + b - b_q) * psi
        return (_log_beta(xp, a, b) - _log_beta(xp, a_q, b_q) + terms).sum(1)
    moved = (first - old_first) / xp.exp(second)
    spread = xp.exp(2.0 * (old_second - second)) + xp.square(moved)
    return (second - old_second + 0.5 * (spread - 1.0)).sum(1)


def _categorical(xp: Any, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    log_p = xp.log_softmax(logits, 1)
    chosen = xp.take_along_axis(log_p, actions.reshape((-1, 1)), 1).squeeze(1)
    return chosen, -(xp.probability(log_p) * log_p).sum(1)


def _softplus(xp: Any, x: Tensor) -> Tensor:
    """Compute ``log(1 + exp(x))``; a framework's own may return x from 20 on, or 0 below -37."""
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.probability(-xp.abs(x)))


def _shapes(xp: Any, parameters: Tensor) -> Tensor:
    return 1.0 + _softplus(xp, parameters)


def _log_beta(xp: Any, a: Tensor, b: Tensor) -> Tensor:
    return xp.lgamma(a) + xp.lgamma(b) - xp.lgamma(a + b)


def _log_slope(xp: Any, x: Tensor) -> Tensor:
    """Compute ``log(1 - tanh(x)^2)``, for any x."""
    size = xp.abs(x)
    return 2.0 * (math.log(2.0) - size - xp.log1p(xp.exp(-2.0 * size)))
