"""A backend's state as a dict of arrays under canonical names: what fingerprints and files are made of.

Each weight under its own name, its moments under ``adam.m.<name>`` and ``adam.v.<name>`` (all float32), and the
number of optimizer steps under ``adam.step`` (int64).  Where the actor was held at some of them, their number is under
``adam.held``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppocore.errors import NonFiniteError, UsageError

Array = NDArray[Any]


class AdamState(NamedTuple):
    """Weights and Adam's two moments by weight name, the number of steps made, and at how many the actor was held."""

    weights: dict[str, Array]
    first: dict[str, Array]
    second: dict[str, Array]
    step: int
    held: int = 0


def to_state(adam: AdamState) -> dict[str, Array]:
    """The state of a backend."""
    held = {"adam.held": np.array(adam.held, np.int64)} if adam.held else {}
    return {
        **adam.weights,
        **{f"adam.m.{name}": array for name, array in adam.first.items()},
        **{f"adam.v.{name}": array for name, array in adam.second.items()},
        "adam.step": np.array(adam.step, np.int64),
        **held,
    }


def from_state(state: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> AdamState:
    """The inverse, for weights of the given names and shapes.

    Without ``adam.step`` the state is weights alone, and the moments are zero.

    Raises:
        UsageError: a tensor is missing or has another shape.
    """
    prefixes = ("", "adam.m.", "adam.v.") if "adam.step" in state else ("",)
    parts: list[dict[str, Array]] = []
    for prefix in prefixes:
        part = {}
        for name, shape in shapes.items():
            value = state.get(prefix + name)
            if value is None or value.shape != shape:
                found = "is missing" if value is None else f"has shape {value.shape}"
                raise UsageError(f"tensor {prefix + name!r} {found}, expected shape {shape}")
            part[name] = value
        parts.append(part)
    if len(parts) == 1:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return AdamState(parts[0], zeros, zeros, 0)
    weights, first, second = parts
    return AdamState(weights, first, second, int(state["adam.step"]), int(state.get("adam.held", 0)))


def not_finite(step: int, tensors: Iterable[tuple[str, Array]]) -> NonFiniteError:
    """The error for an update whose loss or gradient is not finite.

    Args:
        step: the update, counted from 1.
        tensors: names and values in the order in which they were computed; the first bad one is named.
    """
    for name, tensor in tensors:
        if not np.isfinite(tensor).all():
            return NonFiniteError(f"{name} is not finite at update {step}: the update was not applied")
    return NonFiniteError(f"the loss or its gradient overflows at update {step}: the update was not applied")
