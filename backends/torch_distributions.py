"""Policies' log-probabilities, entropies and divergences in PyTorch; the formulas are in `ppocore.distributions`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ppocore.distributions import MASKED
from ppocore.distributions.gaussian import QUADRATURE_NODES, QUADRATURE_WEIGHTS
from ppocore.distributions.special import TRIGAMMA
from ppocore.networks.spec import NetworkSpec


def apply_masks(spec: NetworkSpec, parameters: Tensor, masks: Tensor) -> Tensor:
    """Parameters under which what masks (B, mask_size) forbid has probability 0 and no gradient."""
    if spec.action_kind == "bernoulli":
        zero, one = masks.unflatten(1, (spec.action_size, 2)).unbind(2)
        return parameters.masked_fill(~zero, MASKED).masked_fill(~one, -MASKED)
    return parameters.masked_fill(~masks, -MASKED)


def log_prob_and_entropy(spec: NetworkSpec, parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of actions and entropies, (B,) each."""
    kind = spec.action_kind
    if kind == "categorical":
        return _categorical(parameters, actions)
    if kind == "multi_categorical":
        parts = zip(parameters.split(spec.choices, dim=1), actions.unbind(1), strict=True)
        log_probs, entropies = zip(*(_categorical(part, choice) for part, choice in parts), strict=True)
        return torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0)
    if kind == "bernoulli":
        zero, one = softplus(parameters), softplus(-parameters)  # minus the log-probabilities of 0 and of 1
        entropy = parameters.sigmoid() * one + (-parameters).sigmoid() * zero
        return -torch.where(actions == 1, one, zero).sum(1), entropy.sum(1)
    if kind == "beta":
        return _beta(parameters, actions)
    mean, log_std = parameters.chunk(2, dim=1)
    normal = torch.distributions.Normal(mean, log_std.exp(), validate_args=False)
    log_prob, entropy = normal.log_prob(actions).sum(1), normal.entropy().sum(1)
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
        pairs = zip(old.split(sizes, dim=1), new.split(sizes, dim=1), strict=True)
        logs = [(F.log_softmax(y, dim=1), F.log_softmax(z, dim=1)) for y, z in pairs]
        return torch.stack([(log_q.exp() * (log_q - log_p)).sum(1) for log_q, log_p in logs]).sum(0)
    if kind == "bernoulli":
        if_one, if_zero = softplus(-new) - softplus(-old), softplus(new) - softplus(old)
        return (old.sigmoid() * if_one + (-old).sigmoid() * if_zero).sum(1)
    if kind == "beta":
        (a_q, b_q), (a, b) = _shapes(old), _shapes(new)
        psi_a, psi_b, psi = digamma(a_q), digamma(b_q), digamma(a_q + b_q)
        terms = (a_q - a) * psi_a + (b_q - b) * psi_b + (a - a_q + b - b_q) * psi
        return (_log_beta(a, b) - _log_beta(a_q, b_q) + terms).sum(1)
    (old_mean, old_log_std), (mean, log_std) = old.chunk(2, dim=1), new.chunk(2, dim=1)
    moved = (mean - old_mean) / log_std.exp()
    spread = (2.0 * (old_log_std - log_std)).exp() + moved.square()
    return (log_std - old_log_std + 0.5 * (spread - 1.0)).sum(1)


def _categorical(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    log_p = F.log_softmax(logits, dim=1)
    return log_p.gather(1, actions.unsqueeze(1)).squeeze(1), -(log_p.exp() * log_p).sum(1)


def _beta(parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _shapes(parameters)
    log_beta = _log_beta(a, b)
    log_prob = (a - 1.0) * actions.log() + (b - 1.0) * torch.log1p(-actions) - log_beta
    entropy = log_beta - (a - 1.0) * digamma(a) - (b - 1.0) * digamma(b) + (a + b - 2.0) * digamma(a + b)
    return log_prob.sum(1), entropy.sum(1)


def _shapes(parameters: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (1.0 + softplus(parameters)).chunk(2, dim=1)
    return a, b


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _constant(array: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(array, dtype=like.dtype, device=like.device)


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``; `torch.nn.functional.softplus` is x itself from 20 on, which is off by 2e-9."""
    return -F.logsigmoid(-x)


def log_slope(x: Tensor) -> Tensor:
    """``log(1 - tanh(x)^2)``, for any x."""
    size = x.abs()
    return 2.0 * (math.log(2.0) - size - torch.log1p(torch.exp(-2.0 * size)))


class _Digamma(torch.autograd.Function):
    """`torch.digamma`, whose own derivative on the CPU is good to 5e-10 only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The digamma function."""
        ctx.save_for_backward(x)
        return torch.digamma(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Times the trigamma function, as in `ppocore.distributions.special`."""
        (x,) = ctx.saved_tensors
        return gradient * trigamma(x)


def digamma(x: Tensor) -> Tensor:
    """The digamma function, differentiable to the precision of its dtype."""
    return _Digamma.apply(x)


def trigamma(x: Tensor) -> Tensor:
    """Its derivative, for arguments of at least 1 (Abramowitz and Stegun 6.4.12, and the recurrence)."""
    total = torch.zeros_like(x)
    for _ in range(8):
        below = x < 8.0
        total = torch.where(below, total + 1.0 / (x * x), total)
        x = x + below
    inverse = 1.0 / x
    square = inverse * inverse
    series = torch.zeros_like(x)
    for coefficient in reversed(TRIGAMMA):
        series = series * square + coefficient
    return total + inverse + 0.5 * square + series * square * inverse
