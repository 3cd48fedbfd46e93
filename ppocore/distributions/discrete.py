"""Implement distributions over discrete actions: one choice, several choices, bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Self

import numpy as np

from ppocore.distributions.base import MASKED, Discrete, Pullback
from ppocore.errors import UsageError
from ppocore.typing import Array


class Categorical(Discrete):
    """Implement one choice of ``n``; the parameters are unnormalized log-probabilities (logits).

    ::

        log_prob(a) = z_a - logsumexp(z)
        entropy     = -sum_j p_j log p_j
        KL(q || p)  = sum_j q_j (log q_j - log p_j)
        d log_prob(a) / dz_j = [j = a] - p_j
        d entropy / dz_j     = -p_j (log p_j + entropy)
        d KL / dz_j          = p_j - q_j

    A mask has a flag for each choice.
    """

    kind = "categorical"
    action_shape: tuple[int, ...] = ()

    def __init__(self, n: int) -> None:
        self.n = n
        self.parameter_size = n
        self.mask_size = n

    @classmethod
    def for_actions(cls, size: int, choices: tuple[int, ...]) -> Self:
        """See `Distribution.for_actions`."""
        return cls(size)

    @property
    def mask_sections(self) -> tuple[int, ...]:
        """See `Distribution.mask_sections`."""
        return (self.n,)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw standard Gumbel variates, (*shape, n)."""
        return rng.gumbel(size=(*shape, self.n))

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Apply the Gumbel-max trick: argmax(z + g) is distributed as softmax(z)."""
        (parameters + noise).argmax(axis=-1, out=out)
        return out

    def mode(self, parameters: Array) -> Array:
        """Return the index of the largest logit, the first of equals."""
        modes: Array = parameters.argmax(axis=-1)
        return modes

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """See `Distribution.apply_masks`."""
        return np.where(masks, parameters, parameters.dtype.type(-MASKED))

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

    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """See `Distribution.divergence`."""
        log_q, q = log_softmax(old.T)
        log_p, p = log_softmax(new.T)
        return (q * (log_q - log_p)).sum(axis=0), lambda d: (d * (p - q)).T


class MultiCategorical(Discrete):
    """Implement several independent choices; the parameters are the logits of each, concatenated.

    Log-probabilities, entropies and divergences are the sums of the components' (37 details, MultiDiscrete).
    A mask has the flags of the components, concatenated.
    """

    kind = "multi_categorical"
    has_choices = True
    component = "component"

    def __init__(self, choices: Sequence[int]) -> None:
        self._parts = [Categorical(n) for n in choices]
        edges = np.cumsum([0, *choices]).tolist()
        self._slices = [slice(start, stop) for start, stop in pairwise(edges)]
        self.parameter_size = int(edges[-1])
        self.mask_size = self.parameter_size
        self.action_shape: tuple[int, ...] = (len(self._parts),)

    @classmethod
    def for_actions(cls, size: int, choices: tuple[int, ...]) -> Self:
        """See `Distribution.for_actions`."""
        if len(choices) != size:
            raise UsageError(f"choices={choices} must name the choices of {size} components")
        return cls(choices)

    @property
    def mask_sections(self) -> tuple[int, ...]:
        """See `Distribution.mask_sections`."""
        return tuple(part.n for part in self._parts)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw standard Gumbel variates, (*shape, number of logits)."""
        return rng.gumbel(size=(*shape, self.parameter_size))

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Apply the Gumbel-max trick in each component."""
        noisy = parameters + noise
        for i, part in enumerate(self._slices):
            out[..., i] = noisy[..., part].argmax(axis=-1)
        return out

    def mode(self, parameters: Array) -> Array:
        """Return the index of each component's largest logit, the first of equals."""
        return np.stack([parameters[..., part].argmax(axis=-1) for part in self._slices], axis=-1)

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """See `Distribution.apply_masks`."""
        return np.where(masks, parameters, parameters.dtype.type(-MASKED))

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """See `Distribution.evaluate`."""
        found = [
            part.evaluate(parameters[:, where], actions[:, i])
            for i, (part, where) in enumerate(zip(self._parts, self._slices, strict=True))
        ]

        def pullback(d_log_prob: Array, d_entropy: Array) -> Array:
            return np.concatenate([part(d_log_prob, d_entropy) for _, _, part in found], axis=1)

        log_probs, entropies, _ = zip(*found, strict=True)
        return np.sum(log_probs, axis=0), np.sum(entropies, axis=0), pullback

    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """See `Distribution.divergence`."""
        found = [
            part.divergence(old[:, where], new[:, where]) for part, where in zip(self._parts, self._slices, strict=True)
        ]
        total: Array = np.sum([kl for kl, _ in found], axis=0)
        return total, lambda d: np.concatenate([part(d) for _, part in found], axis=1)


class Bernoulli(Discrete):
    """Implement independent bits; the parameters are their log-odds z, with ``p = sigmoid(z)`` the probability of 1.

    ::

        log_prob(1) = -softplus(-z)        log_prob(0) = -softplus(z)
        entropy     = p softplus(-z) + (1 - p) softplus(z)
        KL(q || p)  = q (softplus(-z) - softplus(-y)) + (1 - q) (softplus(z) - softplus(y)),   q = sigmoid(y)
        d log_prob(a) / dz = a - p        d entropy / dz = -z p (1 - p)        d KL / dz = p - q

    summed over the bits. A mask has two flags for each bit: whether it may be 0, and whether it may be 1.
    """

    kind = "bernoulli"
    component = "bit"

    def __init__(self, size: int) -> None:
        self.size = size
        self.parameter_size = size
        self.mask_size = 2 * size
        self.action_shape: tuple[int, ...] = (size,)

    @classmethod
    def for_actions(cls, size: int, choices: tuple[int, ...]) -> Self:
        """See `Distribution.for_actions`."""
        return cls(size)

    @property
    def mask_sections(self) -> tuple[int, ...]:
        """See `Distribution.mask_sections`."""
        return (2,) * self.size

    @property
    def mask_shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Distribution.mask_shapes`."""
        return (self.mask_size,), (self.size, 2)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw standard logistic variates, (*shape, size)."""
        return rng.logistic(size=(*shape, self.size))

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Set a bit where z plus a logistic variate is above 0, which has probability sigmoid(z)."""
        np.copyto(out, parameters + noise > 0.0)
        return out

    def mode(self, parameters: Array) -> Array:
        """Return the more probable value of each bit, 0 of equals."""
        return (parameters > 0.0).astype(self.action_dtype)

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """See `Distribution.apply_masks`; the log-odds become minus or plus `MASKED`."""
        limit = parameters.dtype.type(MASKED)
        pairs = masks.reshape(*masks.shape[:-1], self.size, 2)
        return np.where(pairs[..., 1], np.where(pairs[..., 0], parameters, limit), -limit)

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """See `Distribution.evaluate`."""
        z, p = parameters, sigmoid(parameters)
        zero, one = softplus(z), softplus(-z)  # minus the log-probabilities of 0 and of 1
        log_prob = -np.where(actions == 1, one, zero).sum(axis=1)
        entropy = (p * one + sigmoid(-z) * zero).sum(axis=1)

        def pullback(d_log_prob: Array, d_entropy: Array) -> Array:
            score = np.where(actions == 1, sigmoid(-z), -p)
            gradient: Array = d_log_prob[:, None] * score - d_entropy[:, None] * (z * p * sigmoid(-z))
            return gradient

        return log_prob, entropy, pullback

    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """See `Distribution.divergence`."""
        q, p = sigmoid(old), sigmoid(new)
        if_one, if_zero = softplus(-new) - softplus(-old), softplus(new) - softplus(old)
        kl: Array = (q * if_one + sigmoid(-old) * if_zero).sum(axis=1)
        return kl, lambda d: d[:, None] * (p - q)


def log_softmax(logits: Array) -> tuple[Array, Array]:
    """Return log-probabilities ``z - logsumexp(z)`` and probabilities over the first axis, for logits of any size."""
    shifted = np.ascontiguousarray(logits)
    shifted = shifted - shifted.max(axis=0)
    p = np.exp(shifted)
    total = p.sum(axis=0)
    shifted -= np.log(total)
    p /= total
    return shifted, p


def softplus(x: Array) -> Array:
    """Return ``log(1 + exp(x))`` for any x."""
    result: Array = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return result


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))`` for any x, with full relative precision where it is small."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0.0, 1.0, small) / (1.0 + small)
    return result
