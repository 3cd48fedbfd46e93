"""Specify a policy-and-value network: its shapes, the names of its weights and their initial values.

A `NetworkSpec` is all that a backend needs to build the network. Weights have canonical names and are stored
``(in, out)``, whatever the framework::

    separate networks   actor.hidden.0.weight  actor.hidden.0.bias ... actor.output.weight  actor.output.bias
                        critic.hidden.0.weight ...                      critic.output.weight critic.output.bias
    shared trunk        trunk.hidden.0.weight ... actor.output.*, critic.output.*
    normal actions      log_std
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.distributions import Distribution, distribution_class, make_distribution
from ppocore.errors import UsageError
from ppocore.networks.initialization import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, orthogonal


def compute_dtype(precision: str) -> np.dtype[Any]:
    """Return the dtype of arithmetic: float64 in exact mode, float32 in float32 mode."""
    return np.dtype(np.float64 if precision == "exact" else np.float32)


@dataclass(frozen=True)
class NetworkSpec:
    """Describe the shape of a policy-and-value network.

    Attributes:
        observation_size: numbers in one observation.
        action_kind: the distribution over actions, a key of `ppocore.distributions.KINDS`.
        action_size: number of choices, of components, of bits, or of continuous dimensions.
        hidden_sizes: units of each hidden layer.
        activation: ``tanh`` or ``relu``.
        shared_trunk: whether the policy and the value share their hidden layers.
        log_std_init: initial log standard deviation, where it is a weight.
        choices: number of choices of each component, where there are several; otherwise empty.
        learn_log_std: whether the log standard deviation is trained.
    """

    observation_size: int
    action_kind: str
    action_size: int
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared_trunk: bool = False
    log_std_init: float = 0.0
    choices: tuple[int, ...] = ()
    learn_log_std: bool = True

    @property
    def has_log_std(self) -> bool:
        """Tell whether the network has a weight ``log_std``."""
        return distribution_class(self.action_kind).has_log_std

    @property
    def output_size(self) -> int:
        """Return the number of outputs of the policy's last layer."""
        return self.action_size if self.has_log_std else self.distribution().parameter_size

    def distribution(self) -> Distribution:
        """Make the distribution over actions that the network's output parametrizes.

        Raises:
            UsageError: an unknown ``action_kind``, or ``choices`` that do not match ``action_size``.
        """
        return make_distribution(self.action_kind, self.action_size, self.choices)

    @property
    def trunks(self) -> tuple[str, ...]:
        """Return the names of the stacks of hidden layers: a shared one, or the policy's and the value's."""
        return ("trunk",) if self.shared_trunk else ("actor", "critic")

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Return ``(in, out)`` of each hidden layer."""
        sizes = (self.observation_size, *self.hidden_sizes)
        return list(pairwise(sizes))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and the shape of every weight, in canonical order."""
        last = (self.observation_size, *self.hidden_sizes)[-1]
        shapes: dict[str, tuple[int, ...]] = {}
        for trunk in self.trunks:
            for i, (n_in, n_out) in enumerate(self.layer_sizes):
                shapes[f"{trunk}.hidden.{i}.weight"] = (n_in, n_out)
                shapes[f"{trunk}.hidden.{i}.bias"] = (n_out,)
        for head, size in (("actor", self.output_size), ("critic", 1)):
            shapes[f"{head}.output.weight"] = (last, size)
            shapes[f"{head}.output.bias"] = (size,)
        if self.has_log_std:
            shapes["log_std"] = (self.action_size,)
        return shapes

    def initial_weights(self, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        """Draw orthogonal weights, with zero biases and the initial log standard deviation (37 details, core 2)."""
        weights: dict[str, NDArray[np.float32]] = {}
        for name, shape in self.shapes().items():
            if name == "log_std":
                weights[name] = np.full(shape, self.log_std_init, dtype=np.float32)
            elif len(shape) == 1:
                weights[name] = np.zeros(shape, dtype=np.float32)
            else:
                gain = {"actor.output.weight": POLICY_GAIN, "critic.output.weight": VALUE_GAIN}
                weights[name] = orthogonal((shape[0], shape[1]), gain.get(name, HIDDEN_GAIN), rng)
        return weights

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as JSON can hold it."""
        return {**asdict(self), "hidden_sizes": list(self.hidden_sizes), "choices": list(self.choices)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> NetworkSpec:
        """Invert `to_dict`."""
        fields = {"choices": (), **fields}
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("hidden_sizes", "choices")}})


def check_network(network: Callable[[NDArray[Any]], Any], spec: NetworkSpec) -> None:
    """Refuse a user's own network that cannot run or whose outputs have the wrong shape, before anything is collected.

    Args:
        network: from observations (B, observation_size) to (distribution parameters (B, P), values (B,)).
        spec: says what the shapes are to be.

    Raises:
        UsageError: it raises an error, or gives no pair or an output of another shape; the message names the shape and
            the expected one.
    """
    observations = np.zeros((2, spec.observation_size))
    rows = len(observations)
    try:
        outputs = network(observations)
    except Exception as error:
        raise UsageError(f"the network fails on observations of shape {observations.shape}: {error}") from error
    if not isinstance(outputs, tuple | list) or len(outputs) != 2:
        raise UsageError("the network must return a pair: distribution parameters (B, P) and values (B,)")
    expected = {"distribution parameters": (rows, spec.distribution().parameter_size), "values": (rows,)}
    for (name, shape), output in zip(expected.items(), outputs, strict=True):
        found = tuple(output.shape) if hasattr(output, "shape") else f"none, being of type {type(output).__name__},"
        if found != shape:
            raise UsageError(f"the network's {name} have shape {found} for {rows} observations, expected {shape}")
