"""Run the forward pass of a network in NumPy, for acting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ppocore.errors import UsageError
from ppocore.networks.chunks import in_chunks
from ppocore.networks.spec import NetworkSpec, compute_dtype
from ppocore.typing import Array

ACTIVATION_FUNCTIONS: dict[str, Callable[[Array, Array], object]] = {
    "tanh": lambda x, out: np.tanh(x, out=out),
    "relu": lambda x, out: np.maximum(x, 0.0, out=out),
}


class _Layers:
    """Hold one stack of layers and the buffers of its forward pass."""

    def __init__(self, names: list[str], sizes: list[int], activation: str, dtype: np.dtype[Any]) -> None:
        self.names = names
        self.sizes = sizes
        self.dtype = dtype
        self.activate = ACTIVATION_FUNCTIONS[activation]
        self.weights = [np.zeros(shape, dtype) for shape in pairwise(sizes)]
        self.biases = [np.zeros(size, dtype) for size in sizes[1:]]
        self._whole = [np.empty((0, size), dtype) for size in sizes]
        self._views = self._whole

    def _resize(self, rows: int) -> None:
        """Set the buffers to ``rows`` rows and grow them where they are too small."""
        if rows > len(self._whole[0]):
            self._whole = [np.empty((rows, size), self.dtype) for size in self.sizes]
        self._views = [buffer[:rows] for buffer in self._whole]

    def load(self, weights: Mapping[str, Array]) -> None:
        for name, weight, bias in zip(self.names, self.weights, self.biases, strict=True):
            np.copyto(weight, weights[f"{name}.weight"], casting="same_kind")
            np.copyto(bias, weights[f"{name}.bias"], casting="same_kind")

    def __call__(self, x: Array) -> Array:
        """Return the last layer's output for ``x`` (B, in), in a buffer that the next call overwrites."""
        if len(x) != len(self._views[0]):
            self._resize(len(x))
        h = self._views[0]
        np.copyto(h, x)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = self._views[i + 1]
            np.matmul(h, weight, out=out)
            out += bias
            if i < last:
                self.activate(out, out)
            h = out
        return h


class ActingNetwork:
    """Compute the forward pass of a `NetworkSpec`; runs of every backend act with it.

    ``policy`` runs one small batch at every environment step and computes the policy's layers alone; the next call
    overwrites its result. ``values`` runs once over a whole rollout.
    """

    def __init__(self, spec: NetworkSpec, precision: str = "exact") -> None:
        self.spec = spec
        dtype = compute_dtype(precision)
        sizes = [spec.observation_size, *spec.hidden_sizes]
        self._stacks: dict[str, _Layers] = {}
        for head, size in (("actor", spec.output_size), ("critic", 1)):
            trunk = "trunk" if spec.shared_trunk else head
            names = [f"{trunk}.hidden.{i}" for i in range(len(spec.hidden_sizes))] + [f"{head}.output"]
            self._stacks[head] = _Layers(names, [*sizes, size], spec.activation, dtype)
        self._log_std = np.zeros(spec.action_size, dtype) if spec.has_log_std else None
        self._parameters = np.empty((0, 2 * spec.action_size), dtype)

    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy the weights of a backend or of a file, by canonical name.

        Raises:
            UsageError: a weight is missing or has another shape than the specification's.
        """
        for name, shape in self.spec.shapes().items():
            if name not in weights or weights[name].shape != shape:
                found = f"has shape {weights[name].shape}" if name in weights else "is missing"
                raise UsageError(f"weight {name!r} {found}, expected shape {shape}")
        for stack in self._stacks.values():
            stack.load(weights)
        if self._log_std is not None:
            np.copyto(self._log_std, weights["log_std"])

    def policy(self, observations: Array) -> Array:
        """Return the distribution's parameters (B, P) for observations (B, observation_size)."""
        output = self._stacks["actor"](observations)
        if self._log_std is None:
            return output
        if len(self._parameters) != len(output):
            self._parameters = np.empty((len(output), 2 * self.spec.action_size), output.dtype)
        self._parameters[:, : self.spec.action_size] = output
        self._parameters[:, self.spec.action_size :] = self._log_std
        return self._parameters

    def values(self, observations: Array) -> Array:
        """Return the values (B,) of observations (B, observation_size), float32."""
        critic = self._stacks["critic"]
        return in_chunks(lambda rows: critic(rows)[:, 0].astype(np.float32), observations)
