"""From an environment's observations, of any structure, to the vectors that a network takes, without Gymnasium.

A mapping is described by plain data that a policy file can hold::

    {"kind": "box", "shape": [3, 2]}                           the numbers, in C order
    {"kind": "discrete", "n": 4, "start": -1}                  one-hot
    {"kind": "multi_discrete", "choices": [3, 2], "start": [0, 0], "shape": [2]}   one-hot, one after the other
    {"kind": "multi_binary", "shape": [5]}                     the bits
    {"kind": "dict", "spaces": [["position", ...], ["cards", ...]]}   its parts, in the order of the space
    {"kind": "tuple", "spaces": [...]}                                its parts

The parts of a dictionary are a list: their order decides where each number lies, and sorted JSON loses that of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from ppocore.typing import Array

Description = Mapping[str, Any]


class ObservationMapping:
    """Flattens observations as a description says.

    Args:
        description: as above.

    Raises:
        KeyError, TypeError, ValueError: not such a description.
    """

    def __init__(self, description: Description) -> None:
        self._description = dict(description)
        self.leaves = list(_leaves(self._description, ()))
        """The parts that are arrays: the keys that lead to each, and its description."""
        self.size = sum(_size(leaf) for _, leaf in self.leaves)
        """Numbers in one flattened observation."""
        if self.size < 1:
            raise ValueError("an observation without a number cannot be learned from")

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of one observation, where it is one array of numbers as it stands; otherwise None."""
        return tuple(self._description["shape"]) if self._description["kind"] == "box" else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObservationMapping) and self._description == other._description

    __hash__ = None  # type: ignore[assignment]  # equal descriptions may be different dicts

    def flatten(self, observations: Any) -> Array:
        """A batch of observations, structured as the space with B in front of every shape, to (B, size).

        A view, in its own dtype, where observations are one array of numbers; otherwise a new float64 array.

        Raises:
            ValueError: a part is missing or has another shape; the sentence names it.
        """
        parts = [_part(observations, path) for path, _ in self.leaves]
        batch = len(parts[0]) if parts[0].ndim else 0
        if self.shape is not None and parts[0].shape == (batch, *self.shape):
            return parts[0].reshape(batch, self.size)
        out = np.empty((batch, self.size))
        start = 0
        for (path, leaf), part in zip(self.leaves, parts, strict=True):
            if part.shape != (batch, *_shape(leaf)):
                raise ValueError(f"{_name(path)} has shape {part.shape}, expected {(batch, *_shape(leaf))}")
            _write(leaf, part, out[:, start : start + _size(leaf)], _name(path))
            start += _size(leaf)
        return out

    def flatten_one(self, observation: Any) -> Array:
        """One observation to (size,)."""
        flat: Array = self.flatten(_lifted(observation, self._description))[0]
        return flat

    def flatten_any(self, observation: Any) -> tuple[Array, bool]:
        """One observation or a batch, to (B, size), and whether it was one.

        Raises:
            ValueError: the shape of a part is neither that of one observation nor that of a batch.
        """
        path, leaf = self.leaves[0]
        found, shape = _part(observation, path).shape, _shape(leaf)
        single = found == shape
        if (not single and found[1:] != shape) or (not single and not found):
            batch = f"(B, {', '.join(map(str, shape))})" if shape else "(B,)"
            raise ValueError(f"{_name(path)} has shape {found}, expected {shape} or a batch {batch}")
        return self.flatten(_lifted(observation, self._description) if single else observation), single

    def to_dict(self) -> dict[str, Any]:
        """The description, as JSON can hold it."""
        return self._description


def _lifted(observation: Any, description: Description, path: tuple[Any, ...] = ()) -> Any:
    """An observation as a batch of one."""
    if description["kind"] == "dict":
        return {key: _lifted(_entry(observation, key, path), d, (*path, key)) for key, d in description["spaces"]}
    if description["kind"] == "tuple":
        parts = enumerate(description["spaces"])
        return tuple(_lifted(_entry(observation, i, path), d, (*path, i)) for i, d in parts)
    return np.asarray(observation)[None]


def _leaves(description: Description, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Description]]:
    """The parts that are arrays, each with the keys that lead to it."""
    kind = description["kind"]
    if kind == "dict":
        for key, part in description["spaces"]:
            yield from _leaves(part, (*path, key))
    elif kind == "tuple":
        for i, part in enumerate(description["spaces"]):
            yield from _leaves(part, (*path, i))
    elif kind in ("box", "discrete", "multi_discrete", "multi_binary"):
        yield path, description
    else:
        raise ValueError(f"there is no observation of kind {kind!r}")


def _shape(leaf: Description) -> tuple[int, ...]:
    return () if leaf["kind"] == "discrete" else tuple(leaf["shape"])


def _size(leaf: Description) -> int:
    if leaf["kind"] == "discrete":
        return int(leaf["n"])
    return sum(leaf["choices"]) if leaf["kind"] == "multi_discrete" else prod(leaf["shape"])


def _name(path: tuple[Any, ...]) -> str:
    return "observation" + "".join(f"[{key!r}]" for key in path)


def _entry(observation: Any, key: Any, path: tuple[Any, ...]) -> Any:
    if not isinstance(key, int) or isinstance(observation, tuple | list):  # an array would give a row of it
        with suppress(KeyError, IndexError, TypeError):
            return observation[key]
    raise ValueError(f"{_name(path)} has no entry {key!r}, which its space has")


def _part(observation: Any, path: tuple[Any, ...]) -> Array:
    for depth, key in enumerate(path):
        observation = _entry(observation, key, path[:depth])
    return np.asarray(observation)


def _write(leaf: Description, part: Array, out: Array, name: str) -> None:
    """One part of a batch, flattened into its columns."""
    if leaf["kind"] in ("box", "multi_binary"):
        out[...] = part.reshape(out.shape)
        return
    choices = np.array([leaf["n"]] if leaf["kind"] == "discrete" else leaf["choices"], np.int64)
    counted = part.reshape(len(part), len(choices)) - np.ravel(leaf["start"])
    outside = ~((counted >= 0) & (counted < choices) & (counted == np.floor(counted))).all(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"{name} is {part[row].tolist()} in row {row}, which is not in its space")
    out[...] = 0.0
    firsts = np.cumsum(choices) - choices
    np.put_along_axis(out, counted.astype(np.int64) + firsts, 1.0, axis=1)
