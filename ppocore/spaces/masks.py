"""Masks of one sample's invalid actions: what is accepted, and what they are made into.

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

from ppocore.spaces.actions import ActionAdapter
from ppocore.typing import Bools


def read_mask(mask: Any, adapter: ActionAdapter) -> Bools:
    """One sample's mask as (mask_size,) bool.

    Raises:
        ValueError: another shape, or something that is not a flag; the sentence goes on from the word "mask".
    """
    if isinstance(mask, tuple | list) and adapter.choices:
        mask = _joined(mask, adapter.choices)
    size = adapter.mask_size
    try:
        array = np.asarray(mask)
    except ValueError as error:
        raise ValueError(f"has rows of different lengths, expected shape {_expected(adapter)}") from error
    if array.shape != (size,) and not (adapter.kind == "bernoulli" and array.shape == (adapter.size, 2)):
        raise ValueError(f"has shape {array.shape}, expected {_expected(adapter)}")
    flags = array.astype(np.bool_)
    if array.dtype != np.bool_ and not (array.dtype.kind in "iuf" and (array == flags).all()):
        raise ValueError(f"holds {array.ravel().tolist()}, expected only True and False, or 1 and 0")
    return flags.reshape(size)


def _expected(adapter: ActionAdapter) -> str:
    pairs = f" or {(adapter.size, 2)}" if adapter.kind == "bernoulli" else ""
    components = " or a tuple, an array for each component" if adapter.choices else ""
    return f"{(adapter.mask_size,)}{pairs}{components}"


def _joined(parts: tuple[Any, ...] | list[Any], choices: tuple[int, ...]) -> Any:
    """An array for each component, one after the other; what is flat already stays as it is."""
    arrays = [np.asarray(part) for part in parts]
    if not any(array.ndim for array in arrays):
        return parts
    shapes, expected = [array.shape for array in arrays], [(n,) for n in choices]
    if shapes != expected:
        raise ValueError(f"has arrays of shapes {shapes}, expected {expected} or a single one of {(sum(choices),)}")
    return np.concatenate(arrays)


def every_choice(adapter: ActionAdapter) -> str:
    """What a mask is False for that leaves nothing, in words."""
    parts = {"multi_categorical": " of a component", "bernoulli": " of a bit"}
    return "every choice" + parts.get(adapter.kind, "")


def leaves_nothing(masks: Bools, adapter: ActionAdapter) -> Bools:
    """Whether each of ``masks`` (B, mask_size) forbids everything that some component could do, (B,)."""
    if adapter.kind == "bernoulli":
        parts = masks.reshape(len(masks), -1, 2)
        possible: Any = parts.any(axis=2)
    else:
        edges = np.cumsum([0, *adapter.choices[:-1]]) if adapter.choices else np.zeros(1, np.int64)
        possible = np.logical_or.reduceat(masks, edges, axis=1)
    nothing: Bools = ~possible.all(axis=1)
    return nothing
