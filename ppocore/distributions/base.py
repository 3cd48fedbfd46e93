"""What every policy distribution does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ppocore.typing import Array

Pullback = Callable[[Array, Array], Array]

MASKED = 1e30
"""Minus this is the logit of an action that is not allowed.

Its probability is then exactly 0, and so is all that flows back to it; being finite, it makes no NaN of
``0 * log 0``, in float32 neither.
"""


class Distribution(Protocol):
    """What every policy distribution does.  Shapes: parameters (B, P), actions (B, *A), the rest (B,)."""

    parameter_size: int
    action_shape: tuple[int, ...]
    action_dtype: np.dtype[Any]
    mask_size: int
    """Flags in the mask of one sample; 0 for continuous actions, which have none."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """All the random numbers for ``shape`` actions at once."""

    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Actions from parameters and their noise, written to ``out``."""

    def mode(self, parameters: Array) -> Array:
        """The action of each row that is taken when none is drawn: the most probable one, or as documented."""

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """Parameters under which what ``masks`` (B, mask_size; bool) forbids has probability exactly 0.

        Everything here takes them in place of the parameters, and no gradient reaches what is masked.
        """

    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """Log-probabilities of ``actions``, entropies, and their pullback.

        ``pullback(d_log_prob, d_entropy)`` is ``d_log_prob * d(log_prob)/d(parameters) + d_entropy *
        d(entropy)/d(parameters)``, (B, P): the chain rule for whatever is made of the two.
        """

    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The Kullback-Leibler divergences KL(old || new) of two sets of parameters, and their pullback.

        ``pullback(d)`` is ``d * d(KL)/d(new)``, (B, P).
        """


class Unmasked:
    """Of continuous distributions: there is nothing to mask."""

    mask_size = 0

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """The parameters as they are."""
        return parameters
