"""Policies' log-probabilities, entropies and divergences in Paddle; the formulas are in `ppocore.distributions`.

Not by paddle's ``Categorical``: its ``log_prob`` takes logits for unnormalised probabilities.
"""

from __future__ import annotations

import math
from typing import Any

from ppocore.backends.paddle_network import F, Tensor, paddle
from ppocore.distributions import MASKED
from ppocore.distributions.gaussian import HALF_LOG_2PI, QUADRATURE_NODES, QUADRATURE_WEIGHTS
from ppocore.networks.spec import NetworkSpec

_LEAST = -700.0
"""Below, exponentials are taken to be 0."""


def apply_masks(spec: NetworkSpec, parameters: Tensor, masks: Tensor) -> Tensor:
    """Parameters under which what masks (B, mask_size) forbid has probability 0 and no gradient."""
    never = paddle.full_like(parameters, -MASKED)
    if spec.action_kind == "bernoulli":
        zero, one = masks.reshape([-1, spec.action_size, 2]).unbind(2)
        return paddle.where(one, paddle.where(zero, parameters, -never), never)
    return paddle.where(masks, parameters, never)


def log_prob_and_entropy(spec: NetworkSpec, parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of actions and entropies, (B,) each."""
    kind = spec.action_kind
    if kind == "categorical":
        return _categorical(parameters, actions)
    if kind == "multi_categorical":
        parts = zip(_split(parameters, spec.choices), actions.unbind(1), strict=True)
        log_probs, entropies = zip(*(_categorical(part, choice) for part, choice in parts), strict=True)
        return paddle.stack(log_probs).sum(0), paddle.stack(entropies).sum(0)
    if kind == "bernoulli":
        zero, one = softplus(parameters), softplus(-parameters)  # minus the log-probabilities of 0 and of 1
        entropy = F.sigmoid(parameters) * one + F.sigmoid(-parameters) * zero
        return -paddle.where(actions == 1, one, zero).sum(1), entropy.sum(1)
    if kind == "beta":
        return _beta(parameters, actions)
    mean, log_std = parameters.chunk(2, axis=1)
    z = (actions - mean) / log_std.exp()
    total, size = log_std.sum(1), mean.shape[1]
    log_prob, entropy = -0.5 * z.square().sum(1) - total - size * HALF_LOG_2PI, total + size * (0.5 + HALF_LOG_2PI)
    if kind == "gaussian":
        return log_prob, entropy
    nodes, weights = (_constant(array, mean) for array in (QUADRATURE_NODES, QUADRATURE_WEIGHTS))
    slopes = log_slope(mean.unsqueeze(2) + log_std.exp().unsqueeze(2) * nodes)
    return log_prob - log_slope(actions).sum(1), entropy + (slopes @ weights).sum(1)


def divergence(spec: NetworkSpec, old: Tensor, new: Tensor) -> Tensor:
    """KL(old || new) of two sets of parameters, (B,)."""
    kind = spec.action_kind
    if kind in ("categorical", "multi_categorical"):
        sizes = spec.choices or (spec.action_size,)
        logs = [(_log_softmax(y), _log_softmax(z)) for y, z in zip(_split(old, sizes), _split(new, sizes), strict=True)]
        return paddle.stack([(exp(log_q) * (log_q - log_p)).sum(1) for log_q, log_p in logs]).sum(0)
    if kind == "bernoulli":
        if_one, if_zero = softplus(-new) - softplus(-old), softplus(new) - softplus(old)
        return (F.sigmoid(old) * if_one + F.sigmoid(-old) * if_zero).sum(1)
    if kind == "beta":
        (a_q, b_q), (a, b) = _shapes(old), _shapes(new)
        psi_a, psi_b, psi = paddle.digamma(a_q), paddle.digamma(b_q), paddle.digamma(a_q + b_q)
        terms = (a_q - a) * psi_a + (b_q - b) * psi_b + (a - a_q + b - b_q) * psi
        return (_log_beta(a, b) - _log_beta(a_q, b_q) + terms).sum(1)
    (old_mean, old_log_std), (mean, log_std) = old.chunk(2, axis=1), new.chunk(2, axis=1)
    moved = (mean - old_mean) / log_std.exp()
    spread = (2.0 * (old_log_std - log_std)).exp() + moved.square()
    return (log_std - old_log_std + 0.5 * (spread - 1.0)).sum(1)


def _log_softmax(logits: Tensor) -> Tensor:
    """Not F.log_softmax: on the CPU it holds logits at 64 below the largest."""
    return logits - paddle.logsumexp(logits, axis=1, keepdim=True)


def _categorical(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    log_p = _log_softmax(logits)
    chosen = paddle.take_along_axis(log_p, actions.unsqueeze(1), axis=1).squeeze(1)
    return chosen, -(exp(log_p) * log_p).sum(1)


def _split(parameters: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    return [parameters] if len(sizes) == 1 else paddle.split(parameters, list(sizes), axis=1)


def _beta(parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _shapes(parameters)
    log_beta, psi = _log_beta(a, b), paddle.digamma
    log_prob = (a - 1.0) * actions.log() + (b - 1.0) * paddle.log1p(-actions) - log_beta
    entropy = log_beta - (a - 1.0) * psi(a) - (b - 1.0) * psi(b) + (a + b - 2.0) * psi(a + b)
    return log_prob.sum(1), entropy.sum(1)


def _shapes(parameters: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (1.0 + softplus(parameters)).chunk(2, axis=1)
    return a, b


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return paddle.lgamma(a) + paddle.lgamma(b) - paddle.lgamma(a + b)


def _constant(array: Any, like: Tensor) -> Tensor:
    return paddle.to_tensor(array, dtype=like.dtype, place=like.place)


def exp(x: Tensor) -> Tensor:
    """`paddle.exp`, which on the CPU holds what underflows at 6e-309 (float32: 3e-39): a masked action must have 0."""
    return paddle.where(x < _LEAST, paddle.zeros_like(x), x.exp())


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``: `F.softplus` is x itself from 20 on, and `F.log_sigmoid` is 0 from 37 on (float32: 17)."""
    return paddle.maximum(x, paddle.zeros_like(x)) + paddle.log1p(exp(-x.abs()))


def log_slope(x: Tensor) -> Tensor:
    """``log(1 - tanh(x)^2)``, for any x."""
    size = x.abs()
    return 2.0 * (math.log(2.0) - size - paddle.log1p(paddle.exp(-2.0 * size)))
