"""Describe observation spaces as plain data, without Gymnasium.

A further kind of space is a subclass of `ObservationSpace` and an entry in `KINDS`; `ppocore.envs.spaces` makes it from
Gymnasium's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from ppocore.typing import Array

Path = tuple[Any, ...]
"""The keys that lead to a part of an observation."""


class RowError(ValueError):
    """Report the row of a batch that is not in its space."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


class ObservationSpace(ABC):
    """Define what every observation space does."""

    kind: ClassVar[str]
    """The name of the kind in files."""

    @abstractmethod
    def leaves(self, path: Path = ()) -> Iterator[tuple[Path, ArraySpace]]:
        """Yield the parts that are arrays, each with its path."""

    @abstractmethod
    def batch_of_one(self, observation: Any, path: Path = ()) -> Any:
        """Return an observation with an axis of length 1 in front of every array.

        Raises:
            ValueError: a part is missing; the message names it.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON can hold it."""

    @classmethod
    @abstractmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Invert `to_dict`, for a class whose kind is known; see `from_dict`."""

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> ObservationSpace:
        """Invert `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: ``fields`` do not describe an observation space.
        """
        kind = fields["kind"]
        if kind not in KINDS:
            raise ValueError(f"there is no observation of kind {kind!r}")
        return KINDS[kind].from_fields(fields)


class ArraySpace(ObservationSpace):
    """Define what a space of arrays does: it flattens a batch of them."""

    shape: tuple[int, ...]
    """The shape of one observation."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Return the number of columns of a flattened observation."""

    @abstractmethod
    def write(self, batch: Array, out: Array, name: str) -> None:
        """Flatten a batch (B, *shape) into ``out`` (B, size).

        Raises:
            ValueError: an observation is not in the space; the message begins with ``name``.
        """

    def leaves(self, path: Path = ()) -> Iterator[tuple[Path, ArraySpace]]:
        """See `ObservationSpace.leaves`."""
        yield path, self

    def batch_of_one(self, observation: Any, path: Path = ()) -> Any:
        """See `ObservationSpace.batch_of_one`."""
        return np.asarray(observation)[None]


@dataclass(frozen=True)
class NumberSpace(ArraySpace):
    """Define what spaces of numbers share: they are flattened in C order."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """See `ArraySpace.size`."""
        return prod(self.shape)

    def write(self, batch: Array, out: Array, name: str) -> None:
        """See `ArraySpace.write`."""
        out[...] = batch.reshape(out.shape)

    def to_dict(self) -> dict[str, Any]:
        """See `ObservationSpace.to_dict`."""
        return {"kind": self.kind, "shape": list(self.shape)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ObservationSpace.from_fields`."""
        return cls(integers(fields["shape"]))


@dataclass(frozen=True)
class BoxObservation(NumberSpace):
    """Describe an array of numbers."""

    kind: ClassVar[str] = "box"


@dataclass(frozen=True)
class MultiBinaryObservation(NumberSpace):
    """Describe an array of bits."""

    kind: ClassVar[str] = "multi_binary"


class ChoiceSpace(ArraySpace):
    """Define what spaces of one or several choices share: each component is flattened to a one-hot vector."""

    @property
    @abstractmethod
    def components(self) -> tuple[tuple[int, int], ...]:
        """Return of each component the number of choices and the number that they are counted from."""

    @property
    def size(self) -> int:
        """See `ArraySpace.size`."""
        return sum(n for n, _ in self.components)

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array]:
        """Return of each component the choices, the start, and the first column."""
        choices, start = np.array(self.components, np.int64).T
        return choices, start, np.cumsum(choices) - choices

    def contains(self, observation: Array) -> bool:
        """Tell whether one observation, an array of integers, is in the space."""
        choices, start, _ = self._columns
        counted = observation.ravel() - start
        return bool(((counted >= 0) & (counted < choices)).all())

    def write(self, batch: Array, out: Array, name: str) -> None:
        """See `ArraySpace.write`."""
        choices, start, first = self._columns
        counted = batch.reshape(len(batch), len(choices)) - start
        outside = ~((counted >= 0) & (counted < choices) & (counted == np.floor(counted))).all(axis=1)
        if outside.any():
            row = int(outside.argmax())
            raise RowError(row, f"{name} is {batch[row].tolist()} in row {row}, which is not in its space")
        out[...] = 0.0
        np.put_along_axis(out, counted.astype(np.int64) + first, 1.0, axis=1)


@dataclass(frozen=True)
class DiscreteObservation(ChoiceSpace):
    """Describe one choice of ``n``, counted from ``start``; flattened to a one-hot vector."""

    kind: ClassVar[str] = "discrete"
    n: int
    start: int = 0
    shape: tuple[int, ...] = field(default=(), init=False, repr=False)

    @property
    def components(self) -> tuple[tuple[int, int], ...]:
        """See `ChoiceSpace.components`."""
        return ((self.n, self.start),)

    def contains(self, observation: Array) -> bool:
        """See `ChoiceSpace.contains`."""
        return self.start <= int(observation) < self.start + self.n

    def to_dict(self) -> dict[str, Any]:
        """See `ObservationSpace.to_dict`."""
        return {"kind": self.kind, "n": self.n, "start": self.start}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ObservationSpace.from_fields`."""
        return cls(int(fields["n"]), int(fields["start"]))


@dataclass(frozen=True)
class MultiDiscreteObservation(ChoiceSpace):
    """Describe an array of choices; flattened to concatenated one-hot vectors.

    Attributes:
        shape: of the array.
        choices: number of choices of each component, in C order.
        start: the number that each component is counted from, in C order.
    """

    kind: ClassVar[str] = "multi_discrete"
    shape: tuple[int, ...]
    choices: tuple[int, ...]
    start: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the components fit the shape."""
        if not len(self.choices) == len(self.start) == prod(self.shape):
            raise ValueError(f"choices={self.choices} and start={self.start} do not have shape {self.shape}")

    @property
    def components(self) -> tuple[tuple[int, int], ...]:
        """See `ChoiceSpace.components`."""
        return tuple(zip(self.choices, self.start, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """See `ObservationSpace.to_dict`."""
        counts = {"choices": list(self.choices), "start": list(self.start)}
        return {"kind": self.kind, "shape": list(self.shape), **counts}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ObservationSpace.from_fields`."""
        return cls(integers(fields["shape"]), integers(fields["choices"]), integers(fields["start"]))


@dataclass(frozen=True)
class DictObservation(ObservationSpace):
    """Describe observations with named parts; flattened in the order of ``spaces``.

    In a file the parts are a list: their order decides where each number lies, and JSON with sorted keys would lose it.
    """

    kind: ClassVar[str] = "dict"
    spaces: tuple[tuple[str, ObservationSpace], ...]

    def leaves(self, path: Path = ()) -> Iterator[tuple[Path, ArraySpace]]:
        """See `ObservationSpace.leaves`."""
        for key, space in self.spaces:
            yield from space.leaves((*path, key))

    def batch_of_one(self, observation: Any, path: Path = ()) -> Any:
        """See `ObservationSpace.batch_of_one`."""
        return {key: space.batch_of_one(entry(observation, key, path), (*path, key)) for key, space in self.spaces}

    def to_dict(self) -> dict[str, Any]:
        """See `ObservationSpace.to_dict`."""
        return {"kind": self.kind, "spaces": [[key, space.to_dict()] for key, space in self.spaces]}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ObservationSpace.from_fields`."""
        return cls(tuple((key, ObservationSpace.from_dict(part)) for key, part in fields["spaces"]))


@dataclass(frozen=True)
class TupleObservation(ObservationSpace):
    """Describe observations with numbered parts; flattened in their order."""

    kind: ClassVar[str] = "tuple"
    spaces: tuple[ObservationSpace, ...]

    def leaves(self, path: Path = ()) -> Iterator[tuple[Path, ArraySpace]]:
        """See `ObservationSpace.leaves`."""
        for i, space in enumerate(self.spaces):
            yield from space.leaves((*path, i))

    def batch_of_one(self, observation: Any, path: Path = ()) -> Any:
        """See `ObservationSpace.batch_of_one`."""
        spaces = enumerate(self.spaces)
        return tuple(space.batch_of_one(entry(observation, i, path), (*path, i)) for i, space in spaces)

    def to_dict(self) -> dict[str, Any]:
        """See `ObservationSpace.to_dict`."""
        return {"kind": self.kind, "spaces": [space.to_dict() for space in self.spaces]}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """See `ObservationSpace.from_fields`."""
        return cls(tuple(ObservationSpace.from_dict(part) for part in fields["spaces"]))


KINDS: dict[str, type[ObservationSpace]] = {
    space.kind: space
    for space in (
        BoxObservation,
        DiscreteObservation,
        MultiDiscreteObservation,
        MultiBinaryObservation,
        DictObservation,
        TupleObservation,
    )
}
"""The class of each kind in a file."""


def entry(observation: Any, key: Any, path: Path) -> Any:
    """Return one part of the observation at ``path``.

    Raises:
        ValueError: there is no such part; the message names it.
    """
    if not isinstance(key, int) or isinstance(observation, tuple | list):  # an array would give one of its rows
        with suppress(KeyError, IndexError, TypeError):
            return observation[key]
    raise ValueError(f"{part_name(path)} has no entry {key!r}, which its space has")


def part_name(path: Path) -> str:
    """Return what the part at ``path`` is called in messages."""
    return "observation" + "".join(f"[{key!r}]" for key in path)


def integers(values: Any) -> tuple[int, ...]:
    """Read a list of integers from JSON."""
    return tuple(int(value) for value in values)
