"""Describe networks for JAX: pure functions of named parameters, which are stored flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array as Tensor
from numpy.typing import NDArray

Apply = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""Maps parameters and observations (B, O) to distribution parameters (B, P) and values (B,)."""


class Layout(NamedTuple):
    """Map a flat array to a network's parameters; networks with equal layouts share their compiled functions."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    apply: Apply

    def pieces(self, flat: Tensor) -> list[Tensor]:
        """Return the parameters, in the order of their names."""
        found, start = [], 0
        for shape in self.shapes:
            found.append(flat[start : (start := start + prod(shape))].reshape(shape))
        return found


class JaxNetwork:
    """Hold a user's own network: a pure function, and its parameters, which training replaces.

    Args:
        apply: from parameters and observations (B, O) to (distribution parameters (B, P), values (B,)).
        parameters: any pytree; its floating-point arrays are trained, and named by their paths in it.
    """

    def __init__(self, apply: Apply, parameters: Any) -> None:
        self._apply = apply
        leaves, self._tree = jax.tree_util.tree_flatten_with_path(parameters)
        self._leaves = [leaf for _, leaf in leaves]
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        self._places = [i for i, leaf in enumerate(self._leaves) if _is_floating(leaf)]
        shapes = tuple(tuple(np.shape(self._leaves[i])) for i in self._places)
        self.layout = Layout(tuple(names[i] for i in self._places), shapes, self._applied)
        self.flat: NDArray[Any] | Tensor = np.concatenate(
            [np.empty(0), *(np.asarray(self._leaves[i], np.float64).reshape(-1) for i in self._places)]
        )

    @property
    def parameters(self) -> Any:
        """The current parameters, as a pytree of NumPy arrays."""
        flat = np.asarray(self.flat)
        pieces = Layout.pieces(self.layout, flat)
        return self._whole([np.array(piece, np.float32) for piece in pieces])

    def _whole(self, pieces: Sequence[Any]) -> Any:
        leaves = list(self._leaves)
        for place, piece in zip(self._places, pieces, strict=True):
            leaves[place] = piece
        return jax.tree_util.tree_unflatten(self._tree, leaves)

    def _applied(self, pieces: Sequence[Tensor], observations: Tensor) -> tuple[Tensor, Tensor]:
        return self._apply(self._whole(pieces), observations)


def _is_floating(leaf: Any) -> bool:
    return np.issubdtype(np.asarray(leaf).dtype, np.floating)
