"""Which observation and action spaces are understood, and how an observation becomes a vector.

A further kind of space is added here: in `check_spaces`, which decides what is accepted, and in
`observation_size` and `flatten_observations`, which must agree.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from ..errors import UsageError


def check_spaces(observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Accepts the spaces of one environment, or says which of them is not supported.

    Observations: `Box` of any shape with at least one element, and any integer, bool or floating dtype.
    Actions: `Discrete`, whatever its `start`, and `Box` with a floating dtype.

    Raises:
        UsageError: a space of another kind; the sentence names it and what is supported.
    """
    if not (isinstance(observation_space, Box) and _is_numeric(observation_space)):
        raise UsageError(
            f"the observation space {observation_space} is not supported; supported is a Box of numbers with "
            "at least one element"
        )
    if not (isinstance(action_space, Discrete) or _is_floating_box(action_space)):
        raise UsageError(
            f"the action space {action_space} is not supported; supported are Discrete and Box with a "
            "floating-point dtype"
        )


def observation_size(space: Space[Any]) -> int:
    """The number of elements of one observation once flattened.

    Raises:
        UsageError: the space is not a `Box`.
    """
    return math.prod(_box(space).shape)


def flatten_observations(space: Space[Any], observations: NDArray[Any]) -> NDArray[Any]:
    """Observations `(..., *O)` as vectors `(..., size)`; a view where the layout allows it.

    Raises:
        UsageError: the space is not a `Box`.
        ValueError: the trailing dimensions of `observations` are not the space's shape.
    """
    shape = _box(space).shape
    leading = observations.ndim - len(shape)
    if leading < 0 or observations.shape[leading:] != shape:
        raise ValueError(f"observations has shape {observations.shape}, expected (..., {str(shape)[1:]}")
    return observations.reshape(*observations.shape[:leading], math.prod(shape))


def _box(space: Space[Any]) -> Box:
    if not isinstance(space, Box):
        raise UsageError(f"the observation space {space} is not supported; supported is a Box")
    return space


def _is_numeric(space: Box) -> bool:
    return math.prod(space.shape) > 0 and np.dtype(space.dtype).kind in "fiub"


def _is_floating_box(space: Space[Any]) -> bool:
    return isinstance(space, Box) and math.prod(space.shape) > 0 and np.dtype(space.dtype).kind == "f"
