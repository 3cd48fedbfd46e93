"""What a policy-and-value network is, where each weight lies, and the NumPy forward pass used for acting.

A `NetworkSpec` is all that a backend needs to build the network.  Weights have canonical names and are
stored ``(in, out)``, whatever the framework::

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

from ppocore.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
    SquashedGaussian,
)
from ppocore.errors import UsageError
from ppocore.networks.initialization import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, orthogonal
from ppocore.typing import Array


def compute_dtype(precision: str) -> np.dtype[Any]:
    """The dtype of arithmetic: float64 in exact mode, float32 in float32 mode."""
    return np.dtype(np.float64 if precision == "exact" else np.float32)


@dataclass(frozen=True)
class NetworkSpec:
    """The shape of a policy-and-value network.

    Attributes:
        observation_size: numbers in one observation.
        action_kind: ``categorical``, ``multi_categorical``, ``bernoulli``, ``gaussian``, ``squashed_gaussian`` or
            ``beta``.
        action_size: number of choices, of components, of bits, or of continuous dimensions.
        hidden_sizes: units of each hidden layer.
        activation: ``tanh`` or ``relu``.
        shared_trunk: whether the policy and the value share their hidden layers.
        log_std_init: initial log standard deviation of normally distributed actions.
        choices: number of choices of each component, for ``multi_categorical``; otherwise empty.
        learn_log_std: whether the log standard deviation is trained, or stays what it is.
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
        """Whether the last half of the distribution's parameters is a weight of its own, for all observations."""
        return self.action_kind in ("gaussian", "squashed_gaussian")

    @property
    def output_size(self) -> int:
        """Numbers that the policy's last layer gives for one observation."""
        return self.action_size if self.has_log_std else self.distribution().parameter_size

    def distribution(self) -> Distribution:
        """The distribution over actions that the network's output parametrises."""
        if self.action_kind == "multi_categorical":
            if len(self.choices) != self.action_size:
                raise UsageError(f"choices={self.choices} must name the choices of {self.action_size} components")
            return MultiCategorical(self.choices)
        if self.action_kind not in _DISTRIBUTIONS:
            kinds = ", ".join(["multi_categorical", *_DISTRIBUTIONS])
            raise UsageError(f"action_kind={self.action_kind!r} is unknown: use one of {kinds}")
        return _DISTRIBUTIONS[self.action_kind](self.action_size)

    @property
    def trunks(self) -> tuple[str, ...]:
        """The stacks of hidden layers: one where it is shared, else the policy's and the value's."""
        return ("trunk",) if self.shared_trunk else ("actor", "critic")

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """``(in, out)`` of each hidden layer."""
        sizes = (self.observation_size, *self.hidden_sizes)
        return list(pairwise(sizes))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The canonical name and shape of every weight, in canonical order."""
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
        """Orthogonal weights, zero biases and the initial log standard deviation (37 details, core 2)."""
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
        """The specification as JSON can hold it."""
        return {**asdict(self), "hidden_sizes": list(self.hidden_sizes), "choices": list(self.choices)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> NetworkSpec:
        """The inverse of `to_dict`."""
        fields = {"choices": (), **fields}
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("hidden_sizes", "choices")}})


_DISTRIBUTIONS: dict[str, Callable[[int], Distribution]] = {
    "categorical": Categorical,
    "bernoulli": Bernoulli,
    "gaussian": DiagonalGaussian,
    "squashed_gaussian": SquashedGaussian,
    "beta": Beta,
}

_CHUNK = 4096


def check_outputs(outputs: Any, rows: int, spec: NetworkSpec) -> None:
    """Refuse what a user's own network gave for ``rows`` observations if its shapes are not the contract's.

    Raises:
        UsageError: not a pair, or which of the two has which shape in place of which.
    """
    if not isinstance(outputs, tuple | list) or len(outputs) != 2:
        raise UsageError("the network must return a pair: distribution parameters (B, P) and values (B,)")
    expected = {"distribution parameters": (rows, spec.distribution().parameter_size), "values": (rows,)}
    for (name, shape), output in zip(expected.items(), outputs, strict=True):
        found = tuple(output.shape) if hasattr(output, "shape") else f"none, being of type {type(output).__name__},"
        if found != shape:
            raise UsageError(f"the network's {name} have shape {found} for {rows} observations, expected {shape}")


ACTIVATION_FUNCTIONS: dict[str, Callable[[Array, Array], object]] = {
    "tanh": lambda x, out: np.tanh(x, out=out),
    "relu": lambda x, out: np.maximum(x, 0.0, out=out),
}


class _Layers:
    """One stack of layers and the arrays that its forward pass over up to ``rows`` inputs writes to."""

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
        """Point the buffers at ``rows`` rows, growing them where they are too small."""
        if rows > len(self._whole[0]):
            self._whole = [np.empty((rows, size), self.dtype) for size in self.sizes]
        self._views = [buffer[:rows] for buffer in self._whole]

    def load(self, weights: Mapping[str, Array]) -> None:
        for name, weight, bias in zip(self.names, self.weights, self.biases, strict=True):
            np.copyto(weight, weights[f"{name}.weight"], casting="same_kind")
            np.copyto(bias, weights[f"{name}.bias"], casting="same_kind")

    def __call__(self, x: Array) -> Array:
        """The last layer's output for ``x`` (B, in): a buffer that the next call overwrites."""
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
    """The NumPy forward pass of a `NetworkSpec`: every backend's runs act with it.

    ``policy`` runs one small batch at every environment step and so touches the policy's layers alone; its
    result is a buffer that its next call overwrites.  ``values`` runs once over a whole rollout.
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
        """Take over the weights of a backend or of a file, by canonical name.

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
        """Distribution parameters (B, P) for observations (B, observation_size)."""
        output = self._stacks["actor"](observations)
        if self._log_std is None:
            return output
        if len(self._parameters) != len(output):
            self._parameters = np.empty((len(output), 2 * self.spec.action_size), output.dtype)
        self._parameters[:, : self.spec.action_size] = output
        self._parameters[:, self.spec.action_size :] = self._log_std
        return self._parameters

    def values(self, observations: Array) -> Array:
        """Values (B,) for observations (B, observation_size), float32."""
        values = np.empty(len(observations), np.float32)
        for start in range(0, len(observations), _CHUNK):  # bounds the memory that a large rollout takes
            rows = slice(start, start + _CHUNK)
            values[rows] = self._stacks["critic"](observations[rows])[:, 0]
        return values
