"""Implement the beta distribution over actions in an interval.

Chou et al. 2017, "Improving stochastic policy gradients in continuous control with deep reinforcement learning using
the beta distribution".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppocore.distributions.base import Continuous, Pullback
from ppocore.distributions.discrete import sigmoid, softplus
from ppocore.distributions.special import digamma, log_gamma, trigamma
from ppocore.typing import Array

CANDIDATES = 8
"""Candidates of the rejection method; at worst one in twenty is rejected, and all of them once in 10^10 draws."""

EDGE = 2.0**-24
"""Smallest distance of an action from 0 and 1: half a step of float32 below 1, where its logarithm is finite."""


class Beta(Continuous):
    """Implement independent beta distributions over (0, 1).

    The parameters are x, then y, with ``a = 1 + softplus(x)`` and ``b = 1 + softplus(y)``. Both are above 1, so that
    there is one mode and the density is bounded (Chou et al., section 3.1)::

        log_prob(u) = sum_i (a - 1) log u + (b - 1) log(1 - u) - log B(a, b)
        entropy     = sum_i log B(a, b) - (a - 1) psi(a) - (b - 1) psi(b) + (a + b - 2) psi(a + b)
        KL(q || p)  = sum_i log B(a_p, b_p) - log B(a_q, b_q) + (a_q - a_p) psi(a_q) + (b_q - b_p) psi(b_q)
                          + (a_p - a_q + b_p - b_q) psi(a_q + b_q)

    with ``psi`` the digamma function and ``log B(a, b) = lgamma(a) + lgamma(b) - lgamma(a + b)``. These are of the
    action in (0, 1); `ppocore.spaces.ActionAdapter` scales it to the bounds of the environment. `mode` is the mean
    ``a / (a + b)``, because the density is almost flat for a and b near 1.
    """

    kind = "beta"
    is_bounded = True

    def shapes(self, parameters: Array) -> Array:
        """Return the two shape parameters, (B, 2 size)."""
        return 1.0 + softplus(parameters)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw the candidates, normal and uniform, for the two gamma variates of each action."""
        size = (*shape, 2 * self.size, CANDIDATES)
        normal = rng.standard_normal(size, np.float32)
        return np.stack([normal, rng.random(size, np.float32)], axis=-1)

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Return ``g / (g + h)`` of two gamma variates, each drawn by the method of Marsaglia and Tsang (2000)."""
        shape = self.shapes(parameters.astype(np.float64))[..., None]
        d = shape - 1.0 / 3.0
        x, u = noise[..., 0].astype(np.float64), noise[..., 1].astype(np.float64)
        v = 1.0 + x / np.sqrt(9.0 * d)
        inside = v > 0.0
        v = np.where(inside, v, 1.0) ** 3
        # The first candidate that is accepted; the first of all if none is.
        accepted = inside & (np.log1p(-u) < 0.5 * x * x + d * (1.0 - v + np.log(v)))
        chosen = accepted.argmax(axis=-1)[..., None]
        gamma = (d * np.take_along_axis(v, chosen, axis=-1))[..., 0]
        g, h = gamma[..., : self.size], gamma[..., self.size :]
        np.copyto(out, np.clip((g / (g + h)).astype(np.float32), EDGE, 1.0 - EDGE))
        return out

    def mode(self, parameters: Array) -> Array:
        """Return the mean."""
        a, b = np.split(self.shapes(parameters), 2, axis=-1)
        means: Array = (a / (a + b)).astype(self.action_dtype)
        return means

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """See `Distribution.evaluate`."""
        shape = self.shapes(parameters)
        a, b = shape[:, : self.size], shape[:, self.size :]
        log_u, log_v = np.log(actions), np.log1p(-actions)
        log_beta = log_gamma(a) + log_gamma(b) - log_gamma(a + b)
        psi_a, psi_b, psi = digamma(a), digamma(b), digamma(a + b)
        log_prob = ((a - 1.0) * log_u + (b - 1.0) * log_v - log_beta).sum(axis=-1)
        entropy = (log_beta - (a - 1.0) * psi_a - (b - 1.0) * psi_b + (a + b - 2.0) * psi).sum(axis=-1)

        def pullback(d_log_prob: Array, d_entropy: Array) -> Array:
            d_log_prob, d_entropy = d_log_prob[:, None], d_entropy[:, None]
            both = (a + b - 2.0) * trigamma(a + b)
            d_a = d_log_prob * (log_u - psi_a + psi) + d_entropy * (both - (a - 1.0) * trigamma(a))
            d_b = d_log_prob * (log_v - psi_b + psi) + d_entropy * (both - (b - 1.0) * trigamma(b))
            return np.concatenate([d_a, d_b], axis=1) * sigmoid(parameters)

        return log_prob, entropy, pullback

    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """See `Distribution.divergence`."""
        (a_q, b_q), (a, b) = (np.split(self.shapes(x), 2, axis=1) for x in (old, new))
        psi_a, psi_b, psi = digamma(a_q), digamma(b_q), digamma(a_q + b_q)
        log_beta = [log_gamma(x) + log_gamma(y) - log_gamma(x + y) for x, y in ((a, b), (a_q, b_q))]
        terms = (a_q - a) * psi_a + (b_q - b) * psi_b + (a - a_q + b - b_q) * psi
        kl: Array = (log_beta[0] - log_beta[1] + terms).sum(axis=-1)

        def pullback(d: Array) -> Array:
            total = digamma(a + b)
            d_a, d_b = digamma(a) - total - psi_a + psi, digamma(b) - total - psi_b + psi
            gradient: Array = d[:, None] * np.concatenate([d_a, d_b], axis=1) * sigmoid(new)
            return gradient

        return kl, pullback
