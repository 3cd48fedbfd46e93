"""Read masks of one sample's invalid actions.

=============== =================================================== =================================
Discrete(n)     (n,)                                                whether each action is allowed
MultiDiscrete   (sum of nvec,), or one array for each component     of each component's choices
MultiBinary     (bits, 2), or (2 * bits,)                           whether each bit may be 0, may be 1
=============== =================================================== =================================

Flags are bool, or 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.spaces.action_adapter import ActionAdapter
from ppocore.typing import Bools


def read_mask(mask: Any, adapter: ActionAdapter) -> Bools:
    """Read one sample's mask as (mask_size,) bool.

    Raises:
        ValueError: another shape, or something that is not a flag; the message continues the word "mask".
    """
    shapes = adapter.distribution.mask_shapes
    if isinstance(mask, tuple | list) and adapter.choices:
        mask = _concatenated(mask, adapter.choices)
    components = " or a tuple, an array for each component" if adapter.choices else ""
    expected = f"{' or '.join(map(str, shapes))}{components}"
    try:
        array = np.asarray(mask)
    except ValueError as error:
        raise ValueError(f"has rows of different lengths, expected shape {expected}") from error
    if array.shape not in shapes:
        raise ValueError(f"has shape {array.shape}, expected {expected}")
    flags = array.astype(np.bool_)
    if array.dtype != np.bool_ and not (array.dtype.kind in "iuf" and (array == flags).all()):
        raise ValueError(f"holds {array.ravel().tolist()}, expected only True and False, or 1 and 0")
    return flags.reshape(adapter.mask_size)


def _concatenated(parts: tuple[Any, ...] | list[Any], choices: tuple[int, ...]) -> Any:
    """Concatenate an array for each component; return a flat mask unchanged."""
    arrays = [np.asarray(part) for part in parts]
    if not any(array.ndim for array in arrays):
        return parts
    shapes, expected = [array.shape for array in arrays], [(n,) for n in choices]
    if shapes != expected:
        raise ValueError(f"has arrays of shapes {shapes}, expected {expected} or a single one of {(sum(choices),)}")
    return np.concatenate(arrays)


def every_choice(adapter: ActionAdapter) -> str:
    """Describe the choices that a mask forbids if it allows no action."""
    component = adapter.distribution.component
    return f"every choice of a {component}" if component else "every choice"


def leaves_nothing(masks: Bools, adapter: ActionAdapter) -> Bools:
    """Tell for each of ``masks`` (B, mask_size) whether it forbids every choice of some component, (B,)."""
    possible: Any = np.logical_or.reduceat(masks, adapter.mask_starts, axis=1)
    nothing: Bools = ~possible.all(axis=1)
    return nothing
