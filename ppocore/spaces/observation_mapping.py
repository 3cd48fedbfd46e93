"""Flatten observations of any structure into the vectors that a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.spaces.observation_spaces import BoxObservation, ObservationSpace, Path, entry, part_name
from ppocore.typing import Array


class ObservationMapping:
    """Flatten the observations of a space.

    Attributes:
        space: the space.
        leaves: the parts of an observation that are arrays, each as its path and its space.
        size: number of elements of one flattened observation.

    Raises:
        ValueError: the space has no numbers.
    """

    def __init__(self, space: ObservationSpace) -> None:
        self.space = space
        self.leaves = list(space.leaves())
        self.size = sum(leaf.size for _, leaf in self.leaves)
        if self.size < 1:
            raise ValueError("an observation without a number cannot be learned from")

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Return the shape of one observation if the space is a Box, so that a batch is flattened by a view."""
        return self.space.shape if isinstance(self.space, BoxObservation) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObservationMapping) and self.space == other.space

    def __hash__(self) -> int:
        return hash(self.space)

    def flatten(self, observations: Any) -> Array:
        """Flatten a batch of observations, structured as the space with B in front of every shape, to (B, size).

        The result is a view, in its own dtype, if the space is a Box; otherwise a new float64 array.

        Raises:
            ValueError: a part is missing or has another shape; the message names it.
        """
        parts = [_part(observations, path) for path, _ in self.leaves]
        batch = len(parts[0]) if parts[0].ndim else 0
        if self.shape is not None and parts[0].shape == (batch, *self.shape):
            return parts[0].reshape(batch, self.size)
        out = np.empty((batch, self.size))
        start = 0
        for (path, leaf), part in zip(self.leaves, parts, strict=True):
            if part.shape != (batch, *leaf.shape):
                raise ValueError(f"{part_name(path)} has shape {part.shape}, expected {(batch, *leaf.shape)}")
            leaf.write(part, out[:, start : start + leaf.size], part_name(path))
            start += leaf.size
        return out

    def flatten_one(self, observation: Any) -> Array:
        """Flatten one observation to (size,); see `flatten`."""
        flat: Array = self.flatten(self.space.batch_of_one(observation))[0]
        return flat

    def flatten_any(self, observation: Any) -> tuple[Array, bool]:
        """Flatten one observation or a batch to (B, size), and tell whether it was one.

        Raises:
            ValueError: the shape of a part is neither that of one observation nor that of a batch.
        """
        path, leaf = self.leaves[0]
        found, shape = _part(observation, path).shape, leaf.shape
        single = found == shape
        if (not single and found[1:] != shape) or (not single and not found):
            batch = f"(B, {', '.join(map(str, shape))})" if shape else "(B,)"
            raise ValueError(f"{part_name(path)} has shape {found}, expected {shape} or a batch {batch}")
        return self.flatten(self.space.batch_of_one(observation) if single else observation), single

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON can hold it."""
        return self.space.to_dict()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ObservationMapping:
        """Invert `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: ``fields`` do not describe an observation space.
        """
        return cls(ObservationSpace.from_dict(fields))


def _part(observation: Any, path: Path) -> Array:
    for depth, key in enumerate(path):
        observation = entry(observation, key, path[:depth])
    return np.asarray(observation)
