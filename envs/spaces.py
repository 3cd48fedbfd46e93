"""Convert Gymnasium's spaces to those of `ppocore.spaces`, and refuse spaces that are not supported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from ppocore.errors import UsageError
from ppocore.spaces import (
    ActionSpace,
    BoxAction,
    BoxObservation,
    DictObservation,
    DiscreteAction,
    DiscreteObservation,
    MultiBinaryAction,
    MultiBinaryObservation,
    MultiDiscreteAction,
    MultiDiscreteObservation,
    ObservationMapping,
    ObservationSpace,
    TupleObservation,
)


def action_space(space: Space[Any] | None) -> ActionSpace:
    """Convert a ``Discrete``, ``MultiDiscrete`` or ``MultiBinary`` space, or a ``Box`` with a floating dtype.

    Raises:
        UsageError: a space of another kind; the message names it and what is supported.
    """
    if isinstance(space, Discrete):
        return DiscreteAction(int(space.n), int(space.start))
    if isinstance(space, MultiDiscrete):
        return MultiDiscreteAction(space.shape, str(space.dtype), *_components(space))
    if isinstance(space, MultiBinary):
        return MultiBinaryAction(space.shape, str(space.dtype))
    if isinstance(space, Box) and _has_dtype(space, "f"):
        low, high = (tuple(bound.astype(np.float64).ravel().tolist()) for bound in (space.low, space.high))
        return BoxAction(space.shape, str(space.dtype), low, high)
    raise UsageError(
        f"the action space {space} is not supported; supported are Discrete, MultiDiscrete, MultiBinary and Box with "
        "a floating-point dtype"
    )


def observation_mapping(space: Space[Any] | None) -> ObservationMapping:
    """Return the flattening of a space's observations; see `observation_space`."""
    return ObservationMapping(observation_space(space))


def observation_space(space: Space[Any] | None, path: str = "") -> ObservationSpace:
    """Convert an observation space.

    Supported are ``Box`` of any shape with at least one element and any integer, bool or floating dtype; ``Discrete``,
    ``MultiDiscrete`` and ``MultiBinary``; ``Dict`` and ``Tuple`` of all these.

    Raises:
        UsageError: a space of another kind; the message names it, its path, and what is supported.
    """
    if isinstance(space, Box) and _has_dtype(space, "fiub"):
        return BoxObservation(space.shape)
    if isinstance(space, Discrete):
        return DiscreteObservation(int(space.n), int(space.start))
    if isinstance(space, MultiDiscrete):
        return MultiDiscreteObservation(space.shape, *_components(space))
    if isinstance(space, MultiBinary):
        return MultiBinaryObservation(space.shape)
    if isinstance(space, Dict) and len(space.spaces) > 0 and all(isinstance(key, str) for key in space.spaces):
        return DictObservation(
            tuple((key, observation_space(part, f"{path}[{key!r}]")) for key, part in space.spaces.items())
        )
    if isinstance(space, Tuple) and len(space.spaces) > 0:
        return TupleObservation(tuple(observation_space(part, f"{path}[{i}]") for i, part in enumerate(space.spaces)))
    inside = f" at {path}" if path else ""
    raise UsageError(
        f"the observation space {' '.join(str(space).split())}{inside} is not supported; supported are a Box of "
        "numbers with at least one element, Discrete, MultiDiscrete, MultiBinary, and Dict (its keys strings) and "
        "Tuple of these" + (": leave it out or change it, with a gymnasium.ObservationWrapper" if path else "")
    )


def _components(space: MultiDiscrete) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the choices and the start of each component."""
    start = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
    return tuple(space.nvec.ravel().tolist()), tuple(start.ravel().tolist())


def _has_dtype(space: Box, kinds: str) -> bool:
    return math.prod(space.shape) > 0 and np.dtype(space.dtype).kind in kinds
