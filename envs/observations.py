"""Write observations of single environments into the arrays of all of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Tuple

from ppocore.envs.spaces import observation_space
from ppocore.spaces import ArraySpace, ChoiceSpace, entry, fitted, part_name
from ppocore.typing import Array


class ObservationRows:
    """Hold the observations of N environments, structured as their space, with N in front of every shape.

    An observation is copied to its row at once, so that an environment may use its array again, or share it.

    Args:
        space: the space of one environment.
        batch: the arrays, structured as the space.
    """

    def __init__(self, space: gym.Space[Any], batch: Any) -> None:
        self.batch = batch
        self._leaves: list[tuple[tuple[Any, ...], ArraySpace, Array]] = []
        for path, leaf in observation_space(space).leaves():
            part = batch
            for key in path:
                part = part[key]
            self._leaves.append((path, leaf, part))

    def write(self, index: int, observation: Any) -> None:
        """Copy the observation of environment ``index`` to its row.

        Raises:
            ValueError: it is not in the space; the message completes a sentence that begins with "it".
        """
        for path, leaf, rows in self._leaves:
            part = observation
            for depth, key in enumerate(path):
                try:
                    part = entry(part, key, path[:depth])
                except ValueError as error:
                    raise ValueError(f"gave an observation that is not of its space: {error}") from None
            if type(part) is not np.ndarray or part.dtype is not rows.dtype or part.shape != leaf.shape:
                try:
                    part = fitted(part, rows.dtype, leaf.shape)
                except ValueError as error:
                    raise ValueError(f"gave an {part_name(path)} that {error}") from None
            if isinstance(leaf, ChoiceSpace) and not leaf.contains(part):
                raise ValueError(f"gave the {part_name(path)} {part.tolist()}, which is not in its space")
            rows[index] = part


class WithStorableSpace(gym.Wrapper[Any, Any, Any, Any]):
    """Replace the observation space by one whose dtypes can be shared with other processes and saved in files."""

    def __init__(self, environment: gym.Env[Any, Any], space: gym.Space[Any]) -> None:
        super().__init__(environment)
        self.observation_space = space


def with_storable_space(environment: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Wrap the environment if its observation space has a Box of a wider float than float64."""
    space = getattr(environment, "observation_space", None)
    storable = _storable(space)
    return environment if storable is space else WithStorableSpace(environment, storable)


def storable_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in which observations of another are kept."""
    return np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


def _storable(space: Any) -> Any:
    if isinstance(space, Box):
        dtype = storable_dtype(space.dtype)
        if dtype == space.dtype:
            return space
        return Box(space.low.astype(dtype), space.high.astype(dtype), space.shape, dtype.type)
    if isinstance(space, Dict):
        named = {key: _storable(part) for key, part in space.spaces.items()}
        return space if all(named[key] is space.spaces[key] for key in named) else Dict(named)
    if isinstance(space, Tuple):
        parts = [_storable(part) for part in space.spaces]
        return space if all(new is old for new, old in zip(parts, space.spaces, strict=True)) else Tuple(parts)
    return space
