"""Implement the policy-and-value network in NumPy, with gradients derived by hand.

All weights are views into one flat array, so that the optimizer and the global norm are single operations. If policy
and value have separate networks, layer ``l`` of both is one ``(2, in, out)`` view and is computed as one batched
product. With a shared trunk it is ``(1, in, out)``; the shapes below call this dimension G.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import is_critic
from ppocore.networks import ACTIVATION_FUNCTIONS, NetworkSpec

Array = NDArray[Any]


class Layout:
    """Map each weight of a specification to its position in a flat array of ``size`` numbers."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        shapes = spec.shapes()
        order = [
            f"{trunk}.hidden.{i}.{part}"
            for i in range(len(spec.hidden_sizes))
            for part in ("weight", "bias")
            for trunk in spec.trunks
        ]
        order += [name for name in shapes if name not in order]
        starts = np.cumsum([0] + [prod(shapes[name]) for name in order])
        self.size = int(starts[-1])
        self._start = dict(zip(order, starts.tolist(), strict=False))
        self._shapes = shapes

    def named(self, flat: Array) -> dict[str, Array]:
        """Return views by canonical name, in canonical order."""
        return {
            name: flat[self._start[name] : self._start[name] + prod(shape)].reshape(shape)
            for name, shape in self._shapes.items()
        }

    def critic_elements(self) -> NDArray[np.bool_]:
        """Return a mask of the elements of a flat array that belong to the critic alone."""
        found = np.zeros(self.size, np.bool_)
        for name, view in self.named(found).items():
            view[...] = is_critic(name)
        return found

    def stacked(self, flat: Array) -> list[tuple[Array, Array]]:
        """Return views (G, in, out) and (G, 1, out) of each hidden layer's weights and biases."""
        groups, first = len(self.spec.trunks), self.spec.trunks[0]
        layers = []
        for i, (n_in, n_out) in enumerate(self.spec.layer_sizes):
            w = self._start[f"{first}.hidden.{i}.weight"]
            b = self._start[f"{first}.hidden.{i}.bias"]
            layers.append(
                (
                    flat[w : w + groups * n_in * n_out].reshape(groups, n_in, n_out),
                    flat[b : b + groups * n_out].reshape(groups, 1, n_out),
                )
            )
        return layers


class _Buffers(NamedTuple):
    """Hold the arrays that a pass over a batch of a given size overwrites."""

    hidden: list[Array]  # (G, B, out) activations of each hidden layer
    d_hidden: list[Array]  # (G, B, out) their gradients
    scratch: list[Array]  # (G, B, out)
    ones: Array  # (1, B); a product with it sums over the batch faster than a reduction
    parameters: Array  # (B, P)


class NumpyNetwork:
    """Run forward and backward passes with the flat ``weights``, and write gradients to the flat ``gradient``."""

    def __init__(self, spec: NetworkSpec, weights: Array, gradient: Array) -> None:
        self.spec = spec
        self.layout = Layout(spec)
        self._dtype = weights.dtype
        self._layers = self.layout.stacked(weights)
        self._d_layers = self.layout.stacked(gradient)
        self._weights = self.layout.named(weights)
        self._d_weights = self.layout.named(gradient)
        self._activate = ACTIVATION_FUNCTIONS[spec.activation]
        self._gaussian = spec.has_log_std
        self._buffers: dict[int, _Buffers] = {}

    def critic_weights(self) -> list[tuple[Array, Array]]:
        """Return views of the critic's weights, without biases, and of their gradients."""
        return [(w, self._d_weights[name]) for name, w in self._weights.items() if is_critic(name) and w.ndim == 2]

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Compute distribution parameters (B, P), which the next pass overwrites, and values (B,)."""
        x = np.ascontiguousarray(observations, self._dtype)
        buffers = self._buffers_for(len(x))
        h = x[None]
        for (weight, bias), out in zip(self._layers, buffers.hidden, strict=True):
            np.matmul(h, weight, out=out)
            out += bias
            self._activate(out, out)
            h = out
        self._last = (x, h)
        w = self._weights
        values = h[-1] @ w["critic.output.weight"]
        values += w["critic.output.bias"]
        size = self.spec.output_size
        parameters = buffers.parameters
        np.matmul(h[0], w["actor.output.weight"], out=parameters[:, :size])
        parameters[:, :size] += w["actor.output.bias"]
        if self._gaussian:
            parameters[:, size:] = w["log_std"]
        return parameters, values[:, 0]

    def backward(self, d_parameters: Array, d_values: Array) -> None:
        """Compute the gradient of every weight from the gradients of the last forward pass's outputs."""
        x, h = self._last
        buffers = self._buffers_for(len(x))
        ones, size = buffers.ones, self.spec.output_size
        w, d_w = self._weights, self._d_weights
        if self._gaussian and self.spec.learn_log_std:  # its gradient otherwise stays 0
            np.matmul(ones[0], d_parameters[:, size:], out=d_w["log_std"])
        d_output = d_parameters[:, :size]
        d_value = d_values[:, None]
        np.matmul(h[0].T, d_output, out=d_w["actor.output.weight"])
        np.matmul(ones[0], d_output, out=d_w["actor.output.bias"])
        np.matmul(h[-1].T, d_value, out=d_w["critic.output.weight"])
        np.matmul(ones[0], d_value, out=d_w["critic.output.bias"])
        if not self._layers:
            return
        d_h = buffers.d_hidden[-1]
        np.matmul(d_output, w["actor.output.weight"].T, out=d_h[0])
        if len(d_h) == 1:  # a shared trunk has gradients from both heads
            d_h[0] += d_value * w["critic.output.weight"].T
        else:
            np.multiply(d_value, w["critic.output.weight"].T, out=d_h[1])
        for i in reversed(range(len(self._layers))):
            d_z = buffers.d_hidden[i]
            self._through_activation(d_z, buffers.hidden[i], buffers.scratch[i])
            below = buffers.hidden[i - 1] if i else x[None]
            d_weight, d_bias = self._d_layers[i]
            np.matmul(below.transpose(0, 2, 1), d_z, out=d_weight)
            np.matmul(ones, d_z, out=d_bias)
            if i:
                np.matmul(d_z, self._layers[i][0].transpose(0, 2, 1), out=buffers.d_hidden[i - 1])

    def _through_activation(self, d_h: Array, h: Array, scratch: Array) -> None:
        """Multiply ``d_h`` in place by the activation's derivative, computed from its output ``h``."""
        if self.spec.activation == "tanh":
            np.multiply(h, h, out=scratch)
            np.subtract(1.0, scratch, out=scratch)
            np.multiply(d_h, scratch, out=d_h)
        else:
            np.multiply(d_h, h > 0.0, out=d_h)

    def _buffers_for(self, rows: int) -> _Buffers:
        buffers = self._buffers.get(rows)
        if buffers is None:
            if len(self._buffers) > 3:  # a rollout has minibatches of at most two sizes
                self._buffers.clear()
            groups, dtype = len(self.spec.trunks), self._dtype
            sizes = [(groups, rows, size) for size in self.spec.hidden_sizes]
            hidden, d_hidden, scratch = ([np.empty(s, dtype) for s in sizes] for _ in range(3))
            parameters = np.empty((rows, self.spec.distribution().parameter_size), dtype)
            buffers = _Buffers(hidden, d_hidden, scratch, np.ones((1, rows), dtype), parameters)
            self._buffers[rows] = buffers
        return buffers
