"""A trained policy that acts with NumPy alone: no framework, no environment library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .actions import ActionAdapter
from .atomic import write_atomically
from .errors import UsageError
from .networks import ActingNetwork, NetworkSpec
from .normalize import ObservationNormalizer

Array = NDArray[Any]

POLICY_FILE = "policy.safetensors"
_FORMAT, _VERSION = "ppocore-policy", 1
_KEY = "ppocore"


class PolicyNetwork(Protocol):
    """What a policy needs of a network."""

    def policy(self, observations: Array) -> Array:
        """Distribution parameters (B, P) for observations (B, O)."""


class Policy:
    """Weights, the normalizer's frozen statistics, and the spaces they belong to.

    Args:
        spec: the network.
        weights: its weights, by canonical name.
        adapter: from sampled actions to the environment's.
        observation_shape: of one observation.
        normalizer_state: of an `ObservationNormalizer`, if observations were normalised.
        network: what acts in place of the specification's network: a network that the user brought, in its
            framework.  Such a policy's file holds its weights, but NumPy alone cannot act with them.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        weights: Mapping[str, Array],
        adapter: ActionAdapter,
        observation_shape: tuple[int, ...],
        normalizer_state: Mapping[str, Array] | None = None,
        *,
        network: PolicyNetwork | None = None,
    ) -> None:
        self.spec = spec
        self.weights = dict(weights)
        self.observation_shape = tuple(observation_shape)
        if prod(self.observation_shape) != spec.observation_size:
            raise UsageError(
                f"observation_shape={self.observation_shape} is not the network's {spec.observation_size} inputs"
            )
        if (adapter.kind, adapter.size) != (spec.action_kind, spec.action_size):
            raise UsageError(
                f"the action space is {adapter.kind} of size {adapter.size}, the network's output "
                f"{spec.action_kind} of size {spec.action_size}"
            )
        self._adapter = adapter
        self._distribution = spec.distribution()
        self._normalizer_state = None if normalizer_state is None else dict(normalizer_state)
        self._own_network = network is not None
        self._network: PolicyNetwork | None = network
        self._normalizer: ObservationNormalizer | None = None
        if self._normalizer_state is not None:
            self._normalizer = ObservationNormalizer((spec.observation_size,))
            self._normalizer.load_state(self._normalizer_state)

    def act(
        self,
        observation: Any,
        deterministic: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """The action for one observation, or the actions for a batch of them.

        Args:
            observation: ``observation_shape``, or a batch ``(B, *observation_shape)``.
            deterministic: the most probable action instead of a sampled one.
            rng: draws the samples; by default a generator that is seeded by the system.

        Returns:
            What the environment's ``step`` takes: an int or an array of the action's shape for one observation,
            ``(B,)`` or ``(B, *shape)`` for a batch.

        Raises:
            ValueError: an observation of another shape, or one that is not finite.
        """
        network = self._loaded()
        array = np.asarray(observation)
        single = array.shape == self.observation_shape
        if not single and array.shape[1:] != self.observation_shape:
            raise ValueError(
                f"observation has shape {array.shape}, expected {self.observation_shape} "
                f"or a batch (B, {', '.join(map(str, self.observation_shape))})"
            )
        if not np.isfinite(array).all():
            raise ValueError("observation is not finite: it has NaN or infinite entries")
        flat = array.reshape(1 if single else len(array), self.spec.observation_size)
        if self._normalizer is not None:
            flat = self._normalizer.normalize(flat)
        with np.errstate(over="ignore"):
            inputs = flat.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise ValueError("observation is too large: it has entries beyond float32's range")
        parameters = network.policy(inputs)
        if deterministic:
            actions = self._distribution.mode(parameters)
        else:
            rng = np.random.default_rng() if rng is None else rng
            noise = self._distribution.noise(rng, (len(inputs),))
            shape = (len(inputs), *self._distribution.action_shape)
            actions = self._distribution.sample(parameters, noise, np.empty(shape, self._distribution.action_dtype))
        adapted = self._adapter(actions)
        if not single:
            return adapted
        return int(adapted[0]) if self._adapter.kind == "categorical" else adapted[0]

    def _loaded(self) -> PolicyNetwork:
        if self._network is None:
            network = ActingNetwork(self.spec)
            network.load(self.weights)
            self._network = network
        return self._network

    def save(self, path: str | PathLike[str]) -> None:
        """Write the policy to one safetensors file, whole or not at all; equal policies give equal bytes.

        Raises:
            UsageError: the directory does not exist.
        """
        from safetensors.numpy import save

        if not Path(path).parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no directory {Path(path).parent}")
        tensors = {name: np.ascontiguousarray(array) for name, array in self.weights.items()}
        for name, array in (self._normalizer_state or {}).items():
            tensors[f"observation_normalizer.{name}"] = np.array(array)
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "network": None if self._own_network else self.spec.to_dict(),
            "action_space": self._adapter.to_dict(),
            "observation_shape": list(self.observation_shape),
        }
        # One key: safetensors writes several in no fixed order, and equal policies are to be equal files.
        write_atomically(Path(path), save(tensors, {_KEY: json.dumps(description, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        """Read a policy from a run directory or a policy file; only NumPy and safetensors are imported.

        Raises:
            UsageError: (a `ValueError`) no such file, or not a policy's; says which and why.
        """
        from safetensors import SafetensorError, safe_open

        file = Path(path)
        if file.is_dir():
            file = file / POLICY_FILE
        if not file.is_file():
            raise UsageError(f"there is no policy at {file}: give a run directory or a policy file")
        try:
            with safe_open(file, framework="numpy") as opened:
                metadata = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{file} is not a readable safetensors file: {error}") from error
        try:
            description = json.loads(metadata[_KEY])
            if description["format"] != _FORMAT:
                raise KeyError("format")
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{file} is a safetensors file but not a ppocore policy") from error
        if description.get("version") != _VERSION:
            raise UsageError(
                f"{file} has policy format version {description.get('version')}, this ppocore reads {_VERSION}"
            )
        if "network" in description and description["network"] is None:
            raise UsageError(
                f"{file} holds the weights of a network of your own, which NumPy cannot run: read them with "
                "safetensors and load them into that network"
            )
        prefix = "observation_normalizer."
        normalizer = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            policy = cls(
                NetworkSpec.from_dict(description["network"]),
                {k: v for k, v in tensors.items() if not k.startswith(prefix)},
                ActionAdapter.from_dict(description["action_space"]),
                tuple(description["observation_shape"]),
                normalizer or None,
            )
            policy._loaded()
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{file} does not describe a policy: {error}") from error
        return policy
