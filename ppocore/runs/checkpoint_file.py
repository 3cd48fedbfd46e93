"""Encode a snapshot of a run as a checkpoint, and decode it (docs/run-files.md)."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.files import RUN_FORMAT, encode, part, read, tensor
from ppocore.files.descriptions import RUN, check_moments
from ppocore.files.schema import TOP
from ppocore.networks import read_spec
from ppocore.runs.configuration import current_settings
from ppocore.spaces import ObservationMapping, ObservationSpace
from ppocore.training import Snapshot
from ppocore.training.snapshot import NORMALIZER, SCALER, STATISTICS
from ppocore.typing import Array

ENVIRONMENTS = "environments."


def encode_checkpoint(snapshot: Snapshot) -> bytes:
    """Encode a snapshot as the bytes of a checkpoint, which do not depend on the backend or the runtime."""
    environments = {ENVIRONMENTS + name: np.asarray(array) for name, array in snapshot.environments.items()}
    return encode(RUN_FORMAT, {**snapshot.tensors, **environments}, snapshot.description)


def read_checkpoint(path: str | PathLike[str]) -> Snapshot:
    """Read a checkpoint of this version or an older one.

    Raises:
        UsageError: not a checkpoint, or one that is damaged or inconsistent.
    """
    file = read(path, RUN_FORMAT)
    environments = part(file.tensors, ENVIRONMENTS)
    tensors = {name: array for name, array in file.tensors.items() if not name.startswith(ENVIRONMENTS)}
    try:
        RUN(file.description, TOP)
        description = _current(file.description)
        snapshot = Snapshot(tensors, environments, description)
        _check(snapshot)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{path} does not describe a run: {error}") from error
    return snapshot


def _current(description: dict[str, Any]) -> dict[str, Any]:
    """Convert the description in a file of any version to the current version."""
    settings, _ = current_settings(description["config"])
    return {**description, "config": PPOConfig.from_dict(settings).to_dict()}


def _check(snapshot: Snapshot) -> None:
    """Check what the description and the tensors say, and that they fit together, before anything is allocated."""
    description, tensors, config = snapshot.description, snapshot.tensors, snapshot.config()
    _check_counters(description, config)
    if description["network"] is not None:
        spec = read_spec(description, tensors)
        _check_optimizer(snapshot, spec.shapes())
    space = ObservationMapping(ObservationSpace.from_dict(description["observation_space"]))
    if description["network"] is not None and space.size != spec.observation_size:
        raise ValueError("the observation space does not fit the network's input")
    for prefix, shape, used in (
        (NORMALIZER, (space.size,), config.normalize_observations),
        (SCALER, (), config.normalize_rewards),
    ):
        if used:
            check_moments(snapshot.part(prefix), shape, prefix)
    if config.normalize_rewards:
        tensor(snapshot.part(SCALER), "discounted", (config.num_envs,), "float64", prefix=SCALER)
    _check_statistics(snapshot.part(STATISTICS), config.num_envs, snapshot.counters["episodes"])
    observations = np.asarray(snapshot.environments["observations"])
    if observations.shape[:1] != (config.num_envs,):
        raise ValueError(f"it holds observations of shape {observations.shape}, but num_envs is {config.num_envs}")
    if observations.dtype.kind == "f" and not np.isfinite(observations).all():
        raise ValueError(f"tensor {ENVIRONMENTS}observations has entries that are not finite")


def _check_counters(description: dict[str, Any], config: PPOConfig) -> None:
    """Check that the counters are possible for the settings."""
    counters, best = description["counters"], description["best"]
    steps, iterations = counters["steps"], counters["iterations"]
    if not iterations <= steps <= iterations * config.rollout_size:
        raise ValueError(f"{steps} steps are impossible in {iterations} iterations of {config.rollout_size}")
    if counters["episodes"] > steps:
        raise ValueError(f"{counters['episodes']} episodes are impossible in {steps} steps")
    if best is not None and best["steps"] > steps:
        raise ValueError(f"best.steps is {best['steps']}, more than the {steps} steps of the run")


def _check_optimizer(snapshot: Snapshot, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check the moments and step counts of Adam, unless the backend saved the state of another optimizer."""
    tensors = snapshot.backend_state()
    others = set(tensors) - set(shapes)
    if not any(name.startswith("adam.") for name in others):
        return
    step = int(tensor(tensors, "adam.step", (), "int64", least=0))
    if step != snapshot.counters["updates"]:
        raise ValueError(f"adam.step is {step}, but the run made {snapshot.counters['updates']} updates")
    for name, shape in shapes.items():
        tensor(tensors, f"adam.m.{name}", shape, "float32")
        # What overflowed float32 stays infinite, and stops its weight.
        tensor(tensors, f"adam.v.{name}", shape, "float32", least=0.0, finite=False)
    if "adam.held" in tensors and not 0 < int(tensor(tensors, "adam.held", (), "int64")) <= step:
        raise ValueError(f"adam.held is {int(tensors['adam.held'])}, expected 1 to {step}")
    known = {"adam.step", "adam.held", *(f"adam.{slot}.{name}" for slot in "mv" for name in shapes)}
    if others - known:
        raise ValueError(f"tensor {min(others - known)} is unknown")


def _check_statistics(statistics: Mapping[str, Array], num_envs: int, episodes: int) -> None:
    """Check the returns and lengths of the current episodes and of the last hundred."""
    tensor(statistics, "returns", (num_envs,), "float64", prefix=STATISTICS)
    tensor(statistics, "lengths", (num_envs,), "int64", least=0, prefix=STATISTICS)
    last = tensor(statistics, "last_returns", (None,), "float64", prefix=STATISTICS)
    tensor(statistics, "last_lengths", last.shape, "int64", least=1, prefix=STATISTICS)
    if len(last) != min(episodes, 100):
        raise ValueError(f"{STATISTICS}last_returns has {len(last)} entries, but {episodes} episodes ended")
