"""Which observation and action spaces are understood.

A further kind of observation is added here and in `ppocore.spaces.observations`, which flattens it; a further kind of
action here and in `ppocore.spaces.actions`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from ppocore.errors import UsageError
from ppocore.spaces.observations import ObservationMapping


def check_action_space(space: Space[Any]) -> None:
    """Accepts `Discrete`, `MultiDiscrete`, `MultiBinary`, and `Box` with a floating dtype.

    Raises:
        UsageError: a space of another kind; the sentence names it and what is supported.
    """
    if isinstance(space, Discrete | MultiDiscrete | MultiBinary) or _is_floating_box(space):
        return
    raise UsageError(
        f"the action space {space} is not supported; supported are Discrete, MultiDiscrete, MultiBinary and Box with "
        "a floating-point dtype"
    )


def observation_mapping(space: Space[Any]) -> ObservationMapping:
    """How observations of a space become vectors.

    `Box` of any shape with at least one element and any integer, bool or floating dtype; `Discrete`, `MultiDiscrete`
    and `MultiBinary`; `Dict` and `Tuple` of all these.

    Raises:
        UsageError: a space of another kind; the sentence names it, where it is, and what is supported.
    """
    return ObservationMapping(_description(space, ""))


def _description(space: Space[Any], place: str) -> dict[str, Any]:
    if isinstance(space, Box) and _is_numeric(space):
        return {"kind": "box", "shape": list(space.shape)}
    if isinstance(space, Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, MultiDiscrete):
        start = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
        counts = {"choices": space.nvec.ravel().tolist(), "start": start.ravel().tolist()}
        return {"kind": "multi_discrete", "shape": list(space.shape), **counts}
    if isinstance(space, MultiBinary):
        return {"kind": "multi_binary", "shape": list(space.shape)}
    if isinstance(space, Dict) and len(space.spaces) > 0 and all(isinstance(key, str) for key in space.spaces):
        parts = [[key, _description(part, f"{place}[{key!r}]")] for key, part in space.spaces.items()]
        return {"kind": "dict", "spaces": parts}
    if isinstance(space, Tuple) and len(space.spaces) > 0:
        return {"kind": "tuple", "spaces": [_description(part, f"{place}[{i}]") for i, part in enumerate(space.spaces)]}
    inside = f" at {place}" if place else ""
    raise UsageError(
        f"the observation space {' '.join(str(space).split())}{inside} is not supported; supported are a Box of "
        "numbers with at least one element, Discrete, MultiDiscrete, MultiBinary, and Dict (its keys strings) and "
        "Tuple of these" + (": leave it out or change it, with a gymnasium.ObservationWrapper" if place else "")
    )


def _is_numeric(space: Box) -> bool:
    return math.prod(space.shape) > 0 and np.dtype(space.dtype).kind in "fiub"


def _is_floating_box(space: Space[Any]) -> bool:
    return isinstance(space, Box) and math.prod(space.shape) > 0 and np.dtype(space.dtype).kind == "f"
