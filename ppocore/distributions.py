"""Policies as distributions over actions, in NumPy: what acting, storing and the NumPy backend need.

A distribution knows the layout of its parameters ``(B, P)`` and of its actions ``(B, *A)``.  It holds no
parameters itself: they come from a network, in any backend.  Each class also states the gradient of its
log-probability and entropy, which the NumPy backend uses and the tests hold against autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pullback = Callable[[Array, Array], Array]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Distribution(Protocol):
    """What every policy distribution does.  Shapes: parameters (B, P), actions (B, *A), the rest (B,)."""

    parameter_size: int
    action_shape: tuple[int, ...]
    action_dtype: np.dtype[Any]

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """All the random numbers for ``shape`` actions at once."""

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Actions from parameters and their noise, written to ``out``."""

    def mode(self, parameters: Array) -> Array:
        """The most probable action of each row."""

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """Log-probabilities of ``actions``, entropies, and their pullback.

        ``pullback(d_log_prob, d_entropy)`` is ``d_log_prob * d(log_prob)/d(parameters) + d_entropy *
        d(entropy)/d(parameters)``, (B, P): the chain rule for whatever is made of the two.
        """


class Categorical:
    """One of ``n`` choices; the parameters are unnormalised log-probabilities (logits).

    ::

        log_prob(a) = z_a - logsumexp(z)
        entropy     = -sum_j p_j log p_j
        d log_prob(a) / dz_j = [j = a] - p_j
        d entropy / dz_j     = -p_j (log p_j + entropy)
    """

    action_shape: tuple[int, ...] = ()
    action_dtype = np.dtype(np.int64)

    def __init__(self, n: int) -> None:
        self.n = n
        self.parameter_size = n

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Standard Gumbel numbers, (*shape, n)."""
        return rng.gumbel(size=(*shape, self.n))

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """The Gumbel-max trick: argmax(z + g) is distributed as softmax(z)."""
        (parameters + noise).argmax(axis=-1, out=out)
        return out

    def mode(self, parameters: Array) -> Array:
        """The largest logit; the first of equals."""
        modes: Array = parameters.argmax(axis=-1)
        return modes

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """See `Distribution.evaluate`."""
        log_p, p = log_softmax(parameters.T)  # (n, B): a sum over few choices then runs along the samples
        p_log_p = p * log_p
        entropy = -p_log_p.sum(axis=0)
        columns = np.arange(len(actions))

        def pullback(d_log_prob: Array, d_entropy: Array) -> Array:
            gradient: Array = p * (-d_log_prob - d_entropy * entropy) - p_log_p * d_entropy
            gradient[actions, columns] += d_log_prob
            return gradient.T

        return log_p[actions, columns], entropy, pullback


class DiagonalGaussian:
    """Independent normal numbers; the parameters are the means, then the log standard deviations.

    With ``z = (a - mean) / exp(log_std)``::

        log_prob(a) = sum_i  -z_i^2 / 2 - log_std_i - log(2 pi) / 2
        entropy     = sum_i  log_std_i + (1 + log(2 pi)) / 2
        d log_prob / d mean_i = z_i / exp(log_std_i)       d log_prob / d log_std_i = z_i^2 - 1
        d entropy / d log_std_i = 1
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.parameter_size = 2 * size
        self.action_shape: tuple[int, ...] = (size,)
        self.action_dtype: np.dtype[Any] = np.dtype(np.float32)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Standard normal numbers, (*shape, size)."""
        return rng.standard_normal((*shape, self.size))

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """``mean + exp(log_std) * noise``, rounded to float32: what is stored is what was done."""
        np.copyto(out, parameters[..., : self.size] + np.exp(parameters[..., self.size :]) * noise)
        return out

    def mode(self, parameters: Array) -> Array:
        """The mean."""
        return parameters[..., : self.size].astype(self.action_dtype)

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """See `Distribution.evaluate`."""
        mean, log_std = parameters[:, : self.size], parameters[:, self.size :]
        inverse_std = np.exp(-log_std)
        z = (actions - mean) * inverse_std
        total = log_std.sum(axis=-1)
        log_prob = -0.5 * (z * z).sum(axis=-1) - total - self.size * _HALF_LOG_2PI

        def pullback(d_log_prob: Array, d_entropy: Array) -> Array:
            gradient = np.empty_like(parameters)
            gradient[:, : self.size] = d_log_prob[:, None] * z * inverse_std
            gradient[:, self.size :] = d_log_prob[:, None] * (z * z - 1.0) + d_entropy[:, None]
            return gradient

        return log_prob, total + self.size * (0.5 + _HALF_LOG_2PI), pullback


def log_softmax(logits: Array) -> tuple[Array, Array]:
    """Log-probabilities ``z - logsumexp(z)`` and probabilities over the first axis, for logits of any size."""
    shifted = np.ascontiguousarray(logits)
    shifted = shifted - shifted.max(axis=0)
    p = np.exp(shifted)
    total = p.sum(axis=0)
    shifted -= np.log(total)
    p /= total
    return shifted, p
