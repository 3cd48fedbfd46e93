"""Compute the forward and backward pass of a network with running error bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ppocore.networks import NetworkSpec
from ppocore.testing.backends.error_bounds.rounding import Rounded, concatenate
from ppocore.typing import Array


class Network:
    """Compute the passes layer by layer; the weights are exact."""

    def __init__(self, spec: NetworkSpec, weights: Mapping[str, Array], epsilon: float) -> None:
        self._spec, self._epsilon = spec, epsilon
        self._weights = {name: weight.astype(np.float64) for name, weight in weights.items()}

    def forward(self, observations: Rounded) -> tuple[Rounded, Rounded]:
        """Return distribution parameters (B, P) and values (B,)."""
        self._layers = {trunk: [observations] for trunk in self._spec.trunks}
        for trunk, layers in self._layers.items():
            for i in range(len(self._spec.hidden_sizes)):
                z = self._linear(layers[-1], f"{trunk}.hidden.{i}")
                layers.append(z.tanh() if self._spec.activation == "tanh" else z.relu(self._epsilon))
        outputs = [self._linear(self._features(head), f"{head}.output") for head in ("actor", "critic")]
        parameters, values = outputs
        if self._spec.has_log_std:
            log_std = np.broadcast_to(self._weights["log_std"], parameters.value.shape)
            parameters = concatenate(parameters, Rounded(log_std))
        return parameters, values[:, 0]

    def backward(self, d_parameters: Rounded, d_values: Rounded) -> dict[str, Rounded]:
        """Return the gradient of every weight, in canonical order."""
        found: dict[str, Rounded] = {}
        size = self._spec.output_size
        d_features: dict[str, Rounded] = {}
        for head, d_output in (("actor", d_parameters[:, :size]), ("critic", d_values[:, None])):
            self._linear_backward(f"{head}.output", self._features(head), d_output, found)
            trunk = self._trunk(head)
            d_below = d_output @ self._weights[f"{head}.output.weight"].T
            d_features[trunk] = d_features[trunk] + d_below if trunk in d_features else d_below
        if self._spec.has_log_std:
            d_log_std = d_parameters[:, size:].sum(0)
            found["log_std"] = d_log_std.only(np.full(d_log_std.value.shape, self._spec.learn_log_std))
        for trunk, layers in self._layers.items():
            d_h = d_features[trunk]
            for i in reversed(range(len(self._spec.hidden_sizes))):
                d_z = self._activation_backward(d_h, layers[i + 1], f"{trunk}.hidden.{i}", layers[i])
                self._linear_backward(f"{trunk}.hidden.{i}", layers[i], d_z, found)
                d_h = d_z @ self._weights[f"{trunk}.hidden.{i}.weight"].T
        return {name: found[name] for name in self._spec.shapes()}

    def critic_weights(self) -> dict[str, Array]:
        """Return the weight matrices of the critic's own layers."""
        return {name: w for name, w in self._weights.items() if name.split(".")[0] == "critic" and w.ndim == 2}

    def _activation_backward(self, d_h: Rounded, h: Rounded, name: str, below: Rounded) -> Rounded:
        if self._spec.activation == "tanh":
            return d_h * (1.0 - h * h)
        z = self._linear(below, name)
        return d_h.where(z.value > 0.0, self._epsilon, undecided=z.near(0.0, self._epsilon))

    def _linear(self, x: Rounded, name: str) -> Rounded:
        return x @ self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _linear_backward(self, name: str, x: Rounded, d_output: Rounded, found: dict[str, Rounded]) -> None:
        found[f"{name}.weight"] = x.T @ d_output
        found[f"{name}.bias"] = d_output.sum(0)

    def _trunk(self, head: str) -> str:
        return "trunk" if self._spec.shared_trunk else head

    def _features(self, head: str) -> Rounded:
        return self._layers[self._trunk(head)][-1]
