"""Describe action spaces as plain data, without Gymnasium.

A further kind of space is a subclass of `ActionSpace` and an entry in `KINDS`; `ppocore.envs.spaces` makes it from
Gymnasium's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isfinite, prod
from typing import Any, ClassVar, Self

import numpy as np

from ppocore.distributions import Bernoulli, Categorical, Distribution, MultiCategorical
from ppocore.spaces.observation_spaces import integers
from ppocore.typing import Array


class ActionSpace(ABC):
    """Define what every action space does.

    Attributes:
        shape: the shape of one action.
        dtype: the dtype that the environment takes.
    """

    kind: ClassVar[str]
    """The name of the kind in files."""
    distribution_kind: ClassVar[str | None] = None
    """The kind of distribution over its actions; None where a setting decides, in a Box."""

    shape: tuple[int, ...]
    dtype: str

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @property
    def size(self) -> int:
        """Return the number of choices, components, bits or continuous dimensions."""
        return prod(self.shape)

    @property
    def component_choices(self) -> tuple[int, ...]:
        """Return the number of choices of each component, where there are several; otherwise nothing."""
        return ()

    @abstractmethod
    def from_samples(self, samples: Array, distribution: Distribution) -> Array:
        """Convert samples (B, *A) of the distribution to actions (B, *shape) of the environment."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON can hold it; infinite bounds are strings."""

    @classmethod
    @abstractmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Invert `to_dict`, for a class whose kind is known; see `from_dict`."""

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> ActionSpace:
        """Invert `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: ``fields`` do not describe an action space.
        """
        kind = fields["kind"]
        if kind not in KINDS:
            raise ValueError(f"there is no action space of kind {kind!r}")
        return KINDS[kind].from_fields(fields)


@dataclass(frozen=True)
class DiscreteAction(ActionSpace):
    """Describe one choice of ``n``, counted from ``start``."""

    kind: ClassVar[str] = "discrete"
    distribution_kind: ClassVar[str | None] = Categorical.kind
    n: int
    start: int = 0
    shape: tuple[int, ...] = field(default=(), init=False, repr=False)
    dtype: str = field(default="int64", init=False, repr=False)

    @property
    def size(self) -> int:
        """See `ActionSpace.size`."""
        return self.n

    def from_samples(self, samples: Array, distribution: Distribution) -> Array:
        """See `ActionSpace.from_samples`."""
        return samples + self.start if self.start else samples

    def to_dict(self) -> dict[str, Any]:
        """See `ActionSpace.to_dict`."""
        return {"kind": self.kind, "n": self.n, "start": self.start}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ActionSpace.from_fields`."""
        return cls(int(fields["n"]), int(fields["start"]))

    def __str__(self) -> str:
        return f"Discrete({self.n}, start={self.start})" if self.start else f"Discrete({self.n})"


@dataclass(frozen=True)
class MultiDiscreteAction(ActionSpace):
    """Describe an array of choices.

    Attributes:
        shape: of the array.
        dtype: of the array.
        choices: number of choices of each component, in C order.
        start: the number that each component is counted from, in C order.
    """

    kind: ClassVar[str] = "multi_discrete"
    distribution_kind: ClassVar[str | None] = MultiCategorical.kind
    shape: tuple[int, ...]
    dtype: str
    choices: tuple[int, ...]
    start: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the components fit the shape, and that the dtype exists."""
        np.dtype(self.dtype)
        if not len(self.choices) == len(self.start) == self.size:
            raise ValueError(f"choices={self.choices} and start={self.start} do not have shape {self.shape}")

    @property
    def component_choices(self) -> tuple[int, ...]:
        """See `ActionSpace.component_choices`."""
        return self.choices

    @cached_property
    def _start(self) -> Array | None:
        return np.array(self.start, np.int64) if any(self.start) else None

    def from_samples(self, samples: Array, distribution: Distribution) -> Array:
        """See `ActionSpace.from_samples`."""
        counted = samples if self._start is None else samples + self._start
        return counted.astype(self._dtype).reshape(len(samples), *self.shape)

    def to_dict(self) -> dict[str, Any]:
        """See `ActionSpace.to_dict`."""
        counts = {"choices": list(self.choices), "start": list(self.start)}
        return {"kind": self.kind, "shape": list(self.shape), "dtype": self.dtype, **counts}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ActionSpace.from_fields`."""
        counts = integers(fields["choices"]), integers(fields["start"])
        return cls(integers(fields["shape"]), str(fields["dtype"]), *counts)

    def __str__(self) -> str:
        start = f", start={_rows(self.start, self.shape)}" if any(self.start) else ""
        return f"MultiDiscrete({_rows(self.choices, self.shape)}{start})"


@dataclass(frozen=True)
class MultiBinaryAction(ActionSpace):
    """Describe an array of bits."""

    kind: ClassVar[str] = "multi_binary"
    distribution_kind: ClassVar[str | None] = Bernoulli.kind
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        """Check that the dtype exists."""
        np.dtype(self.dtype)

    def from_samples(self, samples: Array, distribution: Distribution) -> Array:
        """See `ActionSpace.from_samples`."""
        return samples.astype(self._dtype).reshape(len(samples), *self.shape)

    def to_dict(self) -> dict[str, Any]:
        """See `ActionSpace.to_dict`."""
        return {"kind": self.kind, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ActionSpace.from_fields`."""
        return cls(integers(fields["shape"]), str(fields["dtype"]))

    def __str__(self) -> str:
        return f"MultiBinary({self.shape[0] if len(self.shape) == 1 else self.shape})"


@dataclass(frozen=True)
class BoxAction(ActionSpace):
    """Describe an array of numbers within bounds.

    Attributes:
        shape: of the array.
        dtype: of the array.
        low: lower bound of each element, in C order; may be infinite.
        high: upper bound of each element, in C order; may be infinite.
    """

    kind: ClassVar[str] = "box"
    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the bounds fit the shape, and that the dtype exists."""
        np.dtype(self.dtype)
        if not len(self.low) == len(self.high) == self.size:
            raise ValueError(f"bounds of {len(self.low)} and {len(self.high)} elements do not have shape {self.shape}")
        if not all(low <= high and low < inf and high > -inf for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a lower bound is above its upper bound")

    @property
    def has_bounds(self) -> bool:
        """Tell whether every element has both bounds."""
        return all(isfinite(bound) for bound in (*self.low, *self.high))

    @cached_property
    def _bounds(self) -> tuple[Array, Array]:
        return np.array(self.low, self.dtype), np.array(self.high, self.dtype)

    def from_samples(self, samples: Array, distribution: Distribution) -> Array:
        """See `ActionSpace.from_samples`; what a bounded distribution gives is scaled, and everything is clipped."""
        low, high = self._bounds
        actions = samples
        if distribution.is_bounded:
            least, greatest = low.astype(np.float64), high.astype(np.float64)
            actions = least + distribution.to_unit_interval(samples.astype(np.float64)) * (greatest - least)
        clipped: Array = np.minimum(np.maximum(actions.astype(low.dtype), low), high)
        return clipped.reshape(len(samples), *self.shape)

    def to_dict(self) -> dict[str, Any]:
        """See `ActionSpace.to_dict`."""
        low, high = ([x if isfinite(x) else str(x) for x in bounds] for bounds in (self.low, self.high))
        return {"kind": self.kind, "shape": list(self.shape), "dtype": self.dtype, "low": low, "high": high}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ActionSpace.from_fields`."""
        low, high = (tuple(float(x) for x in fields[name]) for name in ("low", "high"))
        return cls(integers(fields["shape"]), str(fields["dtype"]), low, high)

    def __str__(self) -> str:
        bounds = (_rows(bound.tolist(), self.shape, self.dtype) for bound in self._bounds)
        return f"Box({', '.join(bounds)}, {self.shape}, {self.dtype})"


KINDS: dict[str, type[ActionSpace]] = {
    space.kind: space for space in (DiscreteAction, MultiDiscreteAction, MultiBinaryAction, BoxAction)
}
"""The class of each kind in a file."""


def _rows(values: Any, shape: tuple[int, ...], dtype: str = "int64") -> str:
    """Print numbers in a shape on one line, and equal bounds as one number."""
    array = np.array(values, dtype).reshape(shape)
    if array.dtype.kind == "f" and array.min() == array.max():
        return str(array.min())
    return " ".join(str(array).split())
