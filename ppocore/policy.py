"""Act with a trained policy, with only NumPy: no framework and no environment library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ppocore.errors import UsageError
from ppocore.files import (
    RUN_FORMAT,
    Format,
    TensorFile,
    check_replaceable,
    check_target,
    encode,
    part,
    read,
    run_files,
    unwritable,
    write_atomically,
)
from ppocore.files.descriptions import OBSERVATION_SPACE, POLICY, SHAPE, check_moments
from ppocore.files.schema import TOP, record
from ppocore.networks import ActingNetwork, NetworkSpec, read_spec
from ppocore.normalize import ObservationNormalizer
from ppocore.spaces import (
    ActionAdapter,
    BoxObservation,
    DiscreteAction,
    ObservationMapping,
    ObservationSpace,
    every_choice,
    leaves_nothing,
    read_mask,
)
from ppocore.typing import Array

POLICY_FILE = "policy.safetensors"
POLICY_FORMAT = Format("ppocore-policy", "policy file", (1, 2, 3), unchecked=(1, 2))
_NORMALIZER = "observation_normalizer."


class PolicyNetwork(Protocol):
    """Define the network that a policy needs."""

    def policy(self, observations: Array) -> Array:
        """Return the distribution's parameters (B, P) for observations (B, O)."""


class Policy:
    """Hold the weights, the frozen statistics of the normalizer, and the spaces they belong to.

    Args:
        spec: the network.
        weights: its weights, by canonical name.
        adapter: converts sampled actions to the environment's.
        mapping: flattens the environment's observations.
        normalizer_state: the state of an `ObservationNormalizer`, if observations are normalized.
        network: the user's own network, in its framework, which acts in place of the specification's. The policy's
            file has its weights, but NumPy alone cannot act with them.

    Raises:
        UsageError: a space does not match the network.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        weights: Mapping[str, Array],
        adapter: ActionAdapter,
        mapping: ObservationMapping,
        normalizer_state: Mapping[str, Array] | None = None,
        *,
        network: PolicyNetwork | None = None,
    ) -> None:
        self.spec = spec
        self.weights = dict(weights)
        self.mapping, self.adapter = mapping, adapter
        if mapping.size != spec.observation_size:
            raise UsageError(
                f"observations have {mapping.size} numbers, but the network has {spec.observation_size} inputs"
            )
        if (adapter.kind, adapter.size, adapter.choices) != (spec.action_kind, spec.action_size, spec.choices):
            raise UsageError(
                f"the action space is {adapter.kind} of size {adapter.size}, the network's output "
                f"{spec.action_kind} of size {spec.action_size}"
            )
        self._distribution = spec.distribution()
        self._normalizer_state = None if normalizer_state is None else dict(normalizer_state)
        self.own_network = network is not None
        self._network: PolicyNetwork | None = network
        self.normalizer: ObservationNormalizer | None = None
        if self._normalizer_state is not None:
            self.normalizer = ObservationNormalizer((spec.observation_size,))
            self.normalizer.load_state(self._normalizer_state)

    def act(
        self,
        observation: Any,
        deterministic: bool = True,
        *,
        mask: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """Return the action for one observation, or the actions for a batch.

        Args:
            observation: one observation of the environment, or a batch, with B in front of every array's shape.
            deterministic: whether to take the mode of the distribution (for Beta, the mean) instead of a sample.
            mask: the allowed actions, as in `ppocore.spaces.masks`, for one observation, or (B, mask_size) for a batch.
            rng: draws the samples; by default a generator seeded by the operating system.

        Returns:
            What the environment takes: an int or an array of the action's shape for one observation, ``(B,)``
            or ``(B, *shape)`` for a batch.

        Raises:
            ValueError: an observation of another shape or that is not finite; a mask of another shape, that allows no
                action, or for continuous actions.
        """
        flat, single = self.mapping.flatten_any(observation)
        masks = None if mask is None else self._masks(mask, single, len(flat))
        actions = self.act_on_vectors(flat, deterministic, masks=masks, rng=rng)
        if not single:
            return actions
        return int(actions[0]) if isinstance(self.adapter.space, DiscreteAction) else actions[0]

    def act_on_vectors(
        self,
        flat: Array,
        deterministic: bool = True,
        *,
        masks: Array | None = None,
        rng: np.random.Generator | None = None,
    ) -> Array:
        """Act on a batch of flattened observations (B, size) with masks (B, mask_size; bool); see `act`."""
        parameters = self.parameters(flat)
        if masks is not None and self.adapter.mask_size:
            parameters = self._distribution.apply_masks(parameters, masks)
        if deterministic:
            actions = self._distribution.mode(parameters)
        else:
            rng = np.random.default_rng() if rng is None else rng
            noise = self._distribution.noise(rng, (len(flat),))
            shape = (len(flat), *self._distribution.action_shape)
            actions = self._distribution.sample(parameters, noise, np.empty(shape, self._distribution.action_dtype))
        return self.adapter(actions)

    def parameters(self, flat: Array) -> Array:
        """Return the distribution's parameters (B, P), before any mask, for flattened observations (B, size).

        Raises:
            ValueError: an observation is not finite, or too large for float32.
        """
        network = self._loaded()
        if not np.isfinite(flat).all():
            raise ValueError("observation is not finite: it has NaN or infinite entries")
        if self.normalizer is not None:
            flat = self.normalizer.normalize(flat)
        with np.errstate(over="ignore"):
            inputs = flat.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise ValueError("observation is too large: it has entries beyond float32's range")
        return network.policy(inputs)

    def _masks(self, mask: Any, single: bool, count: int) -> Array:
        """Read masks (count, mask_size), as the distribution takes them."""
        if not self.adapter.mask_size:
            raise ValueError("mask is given for continuous actions, which have none: leave it out")
        if not single and (not hasattr(mask, "__len__") or len(mask) != count):
            raise ValueError(f"mask has shape {np.shape(mask)}, expected {(count, self.adapter.mask_size)}")
        masks = np.ones((count, self.adapter.mask_size), np.bool_)
        for i, row in enumerate([mask] if single else mask):
            where = "mask" if single else f"mask of observation {i}"
            try:
                masks[i] = read_mask(row, self.adapter)
            except ValueError as error:
                raise ValueError(f"{where} {error}") from error
            if leaves_nothing(masks[i : i + 1], self.adapter).any():
                raise ValueError(f"{where} allows no action: it is False for {every_choice(self.adapter)}")
        return masks

    def _loaded(self) -> PolicyNetwork:
        if self._network is None:
            network = ActingNetwork(self.spec)
            network.load(self.weights)
            self._network = network
        return self._network

    def tensors(self) -> dict[str, Array]:
        """Return the weights and the normalizer's statistics by their names in a file."""
        statistics = (self._normalizer_state or {}).items()
        return {**self.weights, **{_NORMALIZER + name: np.array(array) for name, array in statistics}}

    def describe(self) -> dict[str, Any]:
        """Return what `load` needs in addition to the tensors, as JSON can hold it."""
        return {
            "network": None if self.own_network else self.spec.to_dict(),
            "action_space": self.adapter.to_dict(),
            "observation_space": self.mapping.to_dict(),
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write the policy to one safetensors file, atomically; equal policies give equal bytes.

        A regular file at ``path`` is replaced, unless it is a run's or holds something else of ppocore's.

        Raises:
            UsageError: the directory does not exist, something else is at ``path``, or it cannot be written.
        """
        target = check_target(path)
        check_replaceable(target, POLICY_FORMAT.name)
        try:
            write_atomically(target, self.encode())
        except (OSError, ValueError) as error:
            raise unwritable(path, error) from error

    def encode(self) -> bytes:
        """Encode the policy as the bytes of its file."""
        return encode(POLICY_FORMAT, self.tensors(), self.describe())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        """Read a policy from a run directory, a policy file or a checkpoint; imports only NumPy and safetensors.

        From a run directory it reads the policy at the end of the run, or, if the run has not ended, the one in its
        newest checkpoint that is not damaged.

        Raises:
            UsageError: (a `ValueError`) there is no such file, or it holds no policy; the message says why.
        """
        file = Path(path)
        with suppress(OSError, ValueError):  # a path that no file can have
            if file.is_dir():
                file = _file_of_run(file)
        if not os.path.exists(file):
            raise UsageError(f"there is no policy at {file}: give a run directory, a policy file or a checkpoint")
        found = read(file, POLICY_FORMAT, RUN_FORMAT)
        if found.description.get("network", 0) is None:
            raise UsageError(
                f"{file} holds the weights of a network of your own, which NumPy cannot run: read them with "
                "safetensors and load them into that network"
            )
        try:
            return cls._from_file(found)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(f"{file} does not describe a policy: {error}") from error

    @classmethod
    def _from_file(cls, file: TensorFile) -> Policy:
        description = file.description
        record(POLICY, others=True)(description, TOP)
        if file.format == POLICY_FORMAT.name and file.version == 1:  # it has only a shape
            record({"observation_shape": SHAPE}, others=True)(description, TOP)
            space: ObservationSpace = BoxObservation(tuple(description["observation_shape"]))
        else:
            record({"observation_space": OBSERVATION_SPACE}, others=True)(description, TOP)
            space = ObservationSpace.from_dict(description["observation_space"])
        spec = read_spec(description, file.tensors)
        normalizer = part(file.tensors, _NORMALIZER)
        if normalizer:
            check_moments(normalizer, (spec.observation_size,), _NORMALIZER)
        policy = cls(
            spec,
            {name: file.tensors[name] for name in spec.shapes()},
            ActionAdapter.from_dict(description["action_space"]),
            ObservationMapping(space),
            normalizer or None,
        )
        policy._loaded()
        return policy


def _file_of_run(directory: Path) -> Path:
    """Return the file of a run directory that holds its latest policy."""
    file = directory / POLICY_FILE
    if not file.is_file():
        for newest in reversed(run_files(directory)):
            with suppress(UsageError):
                read(newest, RUN_FORMAT)
                return newest
    return file
