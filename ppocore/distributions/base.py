"""Define the interface of policy distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from ppocore.typing import Array

Pullback = Callable[[Array, Array], Array]

MASKED = 1e30
"""Minus this is the logit of an action that is not allowed.

Its probability is then exactly 0, and so is every gradient that reaches it. The logit is finite, so that
``0 * log 0`` is not NaN, also in float32.
"""


class Distribution(ABC):
    """Define what every policy distribution does.

    Shapes: parameters (B, P), actions (B, *A), everything else (B,). A further distribution is a subclass and an entry
    in `ppocore.distributions.KINDS`.
    """

    kind: ClassVar[str]
    """The name of the distribution in settings and files, `NetworkSpec.action_kind`."""
    is_continuous: ClassVar[bool] = False
    """Whether it acts in a Box."""
    has_log_std: ClassVar[bool] = False
    """Whether the last half of its parameters is a weight of its own, equal for all observations."""
    is_bounded: ClassVar[bool] = False
    """Whether its actions lie in an interval, which `to_unit_interval` maps to [0, 1]."""
    has_choices: ClassVar[bool] = False
    """Whether an action has several components, each with a number of choices of its own."""
    component: ClassVar[str] = ""
    """What one of several components is called in messages."""

    parameter_size: int
    action_shape: tuple[int, ...]
    action_dtype: np.dtype[Any]
    mask_size: int
    """Number of flags in the mask of one sample; 0 for continuous actions, which have none."""

    @classmethod
    @abstractmethod
    def for_actions(cls, size: int, choices: tuple[int, ...]) -> Self:
        """Make the distribution; see `ppocore.distributions.make_distribution`."""

    @property
    def mask_sections(self) -> tuple[int, ...]:
        """Return the number of flags that each component has in a mask."""
        return ()

    @property
    def mask_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes that the mask of one sample may have."""
        return ((self.mask_size,),)

    @abstractmethod
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw the random numbers for ``shape`` actions at once."""

    @abstractmethod
    def sample(self, parameters: Array, noise: Array, out: Array) -> Array:
        """Write to ``out`` the actions that parameters and noise give."""

    @abstractmethod
    def mode(self, parameters: Array) -> Array:
        """Return the most probable action of each row, unless documented otherwise."""

    @abstractmethod
    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """Return parameters under which what ``masks`` (B, mask_size; bool) forbids has probability exactly 0.

        Every method takes them in place of the parameters, and no gradient reaches what is masked.
        """

    @abstractmethod
    def evaluate(self, parameters: Array, actions: Array) -> tuple[Array, Array, Pullback]:
        """Return the log-probabilities of ``actions``, the entropies, and their pullback.

        ``pullback(d_log_prob, d_entropy)`` is ``d_log_prob * d(log_prob)/d(parameters) + d_entropy *
        d(entropy)/d(parameters)``, (B, P): the chain rule for any function of the two.
        """

    @abstractmethod
    def divergence(self, old: Array, new: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the Kullback-Leibler divergences KL(old || new) of two sets of parameters, and their pullback.

        ``pullback(d)`` is ``d * d(KL)/d(new)``, (B, P).
        """

    @classmethod
    def to_unit_interval(cls, actions: Array) -> Array:
        """Map float64 actions to [0, 1], for a bounded distribution."""
        return actions


class Discrete(Distribution):
    """Define what the discrete distributions share: actions are counted from 0, as int64."""

    action_dtype = np.dtype(np.int64)


class Continuous(Distribution):
    """Define what the continuous distributions share: independent float32 numbers, which have no mask."""

    is_continuous = True
    action_dtype = np.dtype(np.float32)
    mask_size = 0

    def __init__(self, size: int) -> None:
        self.size = size
        self.parameter_size = 2 * size
        self.action_shape = (size,)

    @classmethod
    def for_actions(cls, size: int, choices: tuple[int, ...]) -> Self:
        """See `Distribution.for_actions`."""
        return cls(size)

    def apply_masks(self, parameters: Array, masks: Array) -> Array:
        """Return the parameters unchanged."""
        return parameters
