"""Compute log-probabilities, entropies and KL divergences of every distribution, with running error bounds.

The formulas are those of `ppocore.distributions`, written in another way: masked choices are left out of sums instead
of made improbable, and gradients go through the intermediate numbers. A new distribution needs an entry in `KINDS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ppocore.distributions import Bernoulli, Beta, Categorical, DiagonalGaussian, MultiCategorical, SquashedGaussian
from ppocore.networks import NetworkSpec
from ppocore.testing.backends.error_bounds.rounding import Rounded, as_rounded, concatenate
from ppocore.testing.backends.error_bounds.special import digamma, log_gamma, log_slope, sigmoid, softplus, trigamma
from ppocore.typing import Array

Pullback = Callable[[Rounded, Rounded], Rounded]
"""Map gradients by log-probability and entropy, (B,) each, to the gradient by the parameters (B, P)."""
Evaluated = tuple[Rounded, Rounded, Pullback]
"""Log-probability and entropy, (B,) each, and their pullback."""
Diverged = tuple[Rounded, Callable[[Rounded], Rounded]]
"""The KL divergence (B,), and the function that maps a gradient by it to the gradient by the new parameters (B, P)."""


class Kind(NamedTuple):
    """Hold the functions of one distribution.

    ``evaluate(spec, parameters, actions, allowed, underflow)`` and ``divergence(spec, old, new, allowed, underflow)``,
    where ``allowed`` are the minibatch's masks, all true if it has none.
    """

    evaluate: Callable[[NetworkSpec, Rounded, Array, Array, float], Evaluated]
    divergence: Callable[[NetworkSpec, Rounded, Rounded, Array, float], Diverged]


def _log_softmax(logits: Rounded, allowed: Array, underflow: float) -> tuple[Rounded, Rounded]:
    """Return log-probabilities and probabilities of the allowed choices, 0 for the rest."""
    # Subtracting any constant is right, so it has no error.
    top = np.where(allowed, logits.value, -np.inf).max(axis=1, keepdims=True)
    shifted = (logits - top).only(allowed)
    log_p = (shifted - shifted.exp(underflow).only(allowed).sum(1, keepdims=True).log()).only(allowed)
    return log_p, log_p.exp(underflow).only(allowed)


def _softmax_pullback(d_log_p: Rounded, p: Rounded) -> Rounded:
    return d_log_p - p * d_log_p.sum(1, keepdims=True)


def _choice(logits: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    log_p, p = _log_softmax(logits, allowed, underflow)
    rows = np.arange(len(actions))
    chosen = np.zeros(p.value.shape)
    chosen[rows, actions] = 1.0

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        return _softmax_pullback(d_log_prob[:, None] * chosen - p * (log_p + 1.0) * d_entropy[:, None], p)

    return log_p[rows, actions], -(p * log_p).sum(1), pullback


def _choice_divergence(old: Rounded, new: Rounded, allowed: Array, underflow: float) -> Diverged:
    log_q, q = _log_softmax(old, allowed, underflow)
    log_p, p = _log_softmax(new, allowed, underflow)
    return (q * (log_q - log_p)).sum(1), lambda d: _softmax_pullback(-q * d[:, None], p)


def _components(spec: NetworkSpec) -> list[slice]:
    """Return the slice of the logits of each choice."""
    edges = np.cumsum([0, *(spec.choices or (spec.action_size,))]).tolist()
    return [slice(*edge) for edge in pairwise(edges)]


def _sum(numbers: list[Rounded]) -> Rounded:
    return reduce(Rounded.__add__, numbers)


def _choices(spec: NetworkSpec, logits: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    columns = actions.reshape(len(actions), -1)
    found = [
        _choice(logits[:, part], columns[:, i], allowed[:, part], underflow) for i, part in enumerate(_components(spec))
    ]

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        return concatenate(*(part(d_log_prob, d_entropy) for _, _, part in found))

    return _sum([log_prob for log_prob, _, _ in found]), _sum([entropy for _, entropy, _ in found]), pullback


def _choices_divergence(spec: NetworkSpec, old: Rounded, new: Rounded, allowed: Array, underflow: float) -> Diverged:
    found = [_choice_divergence(old[:, c], new[:, c], allowed[:, c], underflow) for c in _components(spec)]
    return _sum([kl for kl, _ in found]), lambda d: concatenate(*(part(d) for _, part in found))


def _free(allowed: Array) -> Array:
    """Return which bits may be 0 or 1; the others have one value, whatever their log-odds."""
    return np.logical_and(allowed[:, ::2], allowed[:, 1::2])


def _bits(spec: NetworkSpec, z: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    free, one = _free(allowed), actions == 1
    z = z.only(free)
    p, q = sigmoid(z, underflow), sigmoid(-z, underflow)
    if_one, if_zero = softplus(-z, underflow), softplus(z, underflow)

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        score = q.only(one) - p.only(~one)
        uncertain = p * q * (if_one - if_zero) - p * q + q * p
        return (d_log_prob[:, None] * score + d_entropy[:, None] * uncertain).only(free)

    log_prob = -(if_one.only(one & free) + if_zero.only(~one & free)).sum(1)
    return log_prob, (p * if_one + q * if_zero).only(free).sum(1), pullback


def _bits_divergence(spec: NetworkSpec, old: Rounded, new: Rounded, allowed: Array, underflow: float) -> Diverged:
    free = _free(allowed)
    y, z = old.only(free), new.only(free)
    if_one = softplus(-z, underflow) - softplus(-y, underflow)
    if_zero = softplus(z, underflow) - softplus(y, underflow)
    q, p = sigmoid(y, underflow), sigmoid(z, underflow)
    kl = (q * if_one + sigmoid(-y, underflow) * if_zero).only(free).sum(1)
    return kl, lambda d: ((p - q) * d[:, None]).only(free)


def _gaussian(spec: NetworkSpec, parameters: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    size = actions.shape[1]
    mean, std = parameters[:, :size], parameters[:, size:].exp(underflow)
    inverse_std = (-parameters[:, size:]).exp(underflow)
    z = (actions - mean) * inverse_std
    total = std.log().sum(1)
    half_log_2pi = as_rounded(0.5 * math.log(2.0 * math.pi)) * size

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        d_mean = d_log_prob[:, None] * z * inverse_std
        d_log_std = d_log_prob[:, None] * (z * z - 1.0) + d_entropy[:, None]
        return concatenate(d_mean, d_log_std)

    return -0.5 * (z * z).sum(1) - total - half_log_2pi, total + half_log_2pi + 0.5 * size, pullback


def _gaussian_divergence(spec: NetworkSpec, old: Rounded, new: Rounded, allowed: Array, underflow: float) -> Diverged:
    size = spec.action_size
    apart = new[:, size:] - old[:, size:]
    inverse_std = (-new[:, size:]).exp(underflow)
    moved = (new[:, :size] - old[:, :size]) * inverse_std
    spread = (-2.0 * apart).exp(underflow) + moved * moved

    def pullback(d: Rounded) -> Rounded:
        return concatenate(moved * inverse_std * d[:, None], (1.0 - spread) * d[:, None])

    return (apart + 0.5 * (spread - 1.0)).sum(1), pullback


def _squashed(spec: NetworkSpec, parameters: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    log_prob, entropy, gaussian = _gaussian(spec, parameters, actions, allowed, underflow)
    size = actions.shape[1]
    nodes, weights = (Rounded(x, 4.0 * np.abs(x)) for x in np.polynomial.hermite_e.hermegauss(16))
    weights = weights * (1.0 / math.sqrt(2.0 * math.pi))
    std = parameters[:, size:].exp(underflow)
    x = parameters[:, :size, None] + std[:, :, None] * nodes

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        slope = -2.0 * x.tanh() * weights
        through_slopes = concatenate(slope.sum(2), (slope * nodes).sum(2) * std)
        return gaussian(d_log_prob, d_entropy) + through_slopes * d_entropy[:, None]

    log_prob = log_prob - log_slope(Rounded(actions), underflow).sum(1)
    return log_prob, entropy + (log_slope(x, underflow) * weights).sum(2).sum(1), pullback


class _Beta:
    """Compute the two shapes of a beta distribution, their sum, and functions of them."""

    def __init__(self, parameters: Rounded, size: int, underflow: float) -> None:
        excess = 1.0 + softplus(parameters, underflow)
        self.a, self.b = excess[:, :size], excess[:, size:]
        self.both = self.a + self.b
        self.d_shapes = sigmoid(parameters, underflow)
        self.log_beta = log_gamma(self.a) + log_gamma(self.b) - log_gamma(self.both)
        # The means of log u and log(1 - u), which are also the derivatives of log_beta.
        total = digamma(self.both)
        self.mean_log, self.mean_log_rest = digamma(self.a) - total, digamma(self.b) - total

    def pullback(self, d_a: Rounded, d_b: Rounded) -> Rounded:
        """Map the gradients by the shapes to the gradient by the parameters."""
        return concatenate(d_a, d_b) * self.d_shapes


def _beta(spec: NetworkSpec, parameters: Rounded, actions: Array, allowed: Array, underflow: float) -> Evaluated:
    beta = _Beta(parameters, actions.shape[1], underflow)
    log_u, log_rest = Rounded(actions).log(), as_rounded(np.log1p(-actions))
    log_rest = Rounded(log_rest.value, np.abs(log_rest.value))
    a_minus_1, b_minus_1 = beta.a - 1.0, beta.b - 1.0

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        d_log_prob, d_entropy = d_log_prob[:, None], d_entropy[:, None]
        both = (beta.both - 2.0) * trigamma(beta.both)
        # In some programs the entropy's digammas cancel those of the derivative of log_beta, and leave their errors.
        canceled_a, canceled_b = (
            Rounded(np.zeros(x.value.shape), 2.0 * x.error_bound) for x in (beta.mean_log, beta.mean_log_rest)
        )
        d_a = d_log_prob * (log_u - beta.mean_log) + d_entropy * (both - a_minus_1 * trigamma(beta.a) + canceled_a)
        d_b = d_log_prob * (log_rest - beta.mean_log_rest) + d_entropy * (
            both - b_minus_1 * trigamma(beta.b) + canceled_b
        )
        return beta.pullback(d_a, d_b)

    log_prob = a_minus_1 * log_u + b_minus_1 * log_rest - beta.log_beta
    # The middle term is made of digammas of a, b and a + b, each with its own factor.
    middle = a_minus_1 * digamma(beta.a) + b_minus_1 * digamma(beta.b) - (beta.both - 2.0) * digamma(beta.both)
    return log_prob.sum(1), (beta.log_beta - middle).sum(1), pullback


def _beta_divergence(spec: NetworkSpec, old: Rounded, new: Rounded, allowed: Array, underflow: float) -> Diverged:
    q, p = _Beta(old, spec.action_size, underflow), _Beta(new, spec.action_size, underflow)
    changes = (q.a - p.a) * digamma(q.a) + (q.b - p.b) * digamma(q.b) + (p.both - q.both) * digamma(q.both)

    def pullback(d: Rounded) -> Rounded:
        d_a, d_b = p.mean_log - q.mean_log, p.mean_log_rest - q.mean_log_rest
        return p.pullback(d_a * d[:, None], d_b * d[:, None])

    return (p.log_beta - q.log_beta + changes).sum(1), pullback


_CHOICES = Kind(_choices, _choices_divergence)

KINDS: dict[str, Kind] = {
    Categorical.kind: _CHOICES,
    DiagonalGaussian.kind: Kind(_gaussian, _gaussian_divergence),
    MultiCategorical.kind: _CHOICES,
    Bernoulli.kind: Kind(_bits, _bits_divergence),
    SquashedGaussian.kind: Kind(_squashed, _gaussian_divergence),
    Beta.kind: Kind(_beta, _beta_divergence),
}
