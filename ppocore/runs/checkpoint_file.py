"""Encode a snapshot of a run as a checkpoint, and decode it (docs/run-files.md)."""

from __future__ import annotations

from os import PathLike
from typing import Any

from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.files import RUN_FORMAT, encode, part, read
from ppocore.runs.configuration import current_settings
from ppocore.training import Snapshot

ENVIRONMENTS = "environments."


def encode_checkpoint(snapshot: Snapshot) -> bytes:
    """Encode a snapshot as the bytes of a checkpoint, which do not depend on the backend or the runtime."""
    environments = {ENVIRONMENTS + name: array for name, array in snapshot.environments.items()}
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
        description = _current(file.description)
        snapshot = Snapshot(tensors, environments, description)
        _check(snapshot)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} does not describe a run: {error}") from error
    return snapshot


def _current(description: dict[str, Any]) -> dict[str, Any]:
    """Convert the description in a file of any version to the current version."""
    settings, _ = current_settings(description["config"])
    return {**description, "config": PPOConfig.from_dict(settings).to_dict()}


def _check(snapshot: Snapshot) -> None:
    """Check the description, and compare the sizes in it with those of the arrays before anything is allocated."""
    description = snapshot.description
    if min(int(snapshot.counters[name]) for name in ("steps", "iterations", "updates", "episodes")) < 0:
        raise ValueError("a counter is negative")
    if not isinstance(description["env"], str) or not isinstance(description["seed"], int):
        raise ValueError("env or seed is of the wrong type")
    num_envs, found = snapshot.config().num_envs, len(snapshot.environments["observations"])
    if found != num_envs:
        raise ValueError(f"it holds {found} environments, but num_envs is {num_envs}")
