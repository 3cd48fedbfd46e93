"""Define networks for JAX: pure functions of named parameters, which are stored in one flat array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array as Tensor
from jax import numpy as jnp
from numpy.typing import NDArray

from ppocore.networks import NetworkSpec

Apply = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""Maps parameters and observations (B, O) to distribution parameters (B, P) and values (B,)."""


class Layout(NamedTuple):
    """Split a flat array into a network's parameters; equal layouts share their compiled functions."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    apply: Apply

    def pieces(self, flat: Tensor) -> list[Tensor]:
        """Return the parameters, in the order of their names."""
        found, start = [], 0
        for shape in self.shapes:
            found.append(flat[start : (start := start + prod(shape))].reshape(shape))
        return found


@dataclass(frozen=True)
class BuiltIn:
    """Implement the network of a `NetworkSpec`; equal networks share their compiled functions."""

    spec: NetworkSpec

    def __call__(self, pieces: Sequence[Tensor], observations: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        spec = self.spec
        weights = dict(zip(spec.shapes(), pieces, strict=True))
        activate = {"tanh": tanh, "relu": jax.nn.relu}[spec.activation]

        def stack(name: str, x: Tensor) -> Tensor:
            for i in range(len(spec.hidden_sizes)):
                x = activate(x @ weights[f"{name}.hidden.{i}.weight"] + weights[f"{name}.hidden.{i}.bias"])
            return x

        features = {name: stack(name, observations) for name in spec.trunks}
        outputs = []
        for head in ("actor", "critic"):
            x = features["trunk" if spec.shared_trunk else head]
            outputs.append(x @ weights[f"{head}.output.weight"] + weights[f"{head}.output.bias"])
        parameters, values = outputs
        if spec.has_log_std:
            log_std = weights["log_std"] if spec.learn_log_std else jax.lax.stop_gradient(weights["log_std"])
            parameters = jnp.concatenate([parameters, jnp.broadcast_to(log_std, parameters.shape)], axis=1)
        return parameters, values[:, 0]


def tanh(x: Tensor) -> Tensor:
    """Compute tanh from the sigmoid; XLA's own has an error of 7 units in the last place near 0."""
    return 2.0 * jax.nn.sigmoid(2.0 * x) - 1.0


class JaxNetwork:
    """Hold a user's own network: a pure function, and the parameters that training replaces.

    Args:
        apply: maps parameters and observations (B, O) to (distribution parameters (B, P), values (B,)).
        parameters: any pytree, whose floating-point arrays are trained and are named by their paths in it.
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
