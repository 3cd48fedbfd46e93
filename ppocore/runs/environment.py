"""Read from a run how its environments are made, without trusting the file to have a module imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ppocore.errors import UsageError
from ppocore.runs.configuration import RunConfiguration
from ppocore.runs.directory import CONFIGURATION_FILE, read_configuration
from ppocore.runs.trust import trusted_wrappers, without_class_paths, without_import

_MAKERS = {"callable": "a callable", "vector": "a vector environment", "collector": "a collector"}


class RunEnvironment(NamedTuple):
    """Hold what makes the environment of a run."""

    env: str
    env_kwargs: dict[str, Any] | None
    wrappers: list[dict[str, Any]]


def recorded_configuration(path: str | PathLike[str]) -> RunConfiguration | None:
    """Return the configuration of the run that a directory holds or a file lies in; None for a file elsewhere.

    Raises:
        UsageError: a directory that holds no run, or a configuration that cannot be read.
    """
    directory = Path(path)
    if not directory.is_dir():
        directory = directory.parent
        if not (directory / CONFIGURATION_FILE).is_file():
            return None
    return read_configuration(directory)


def environment_of(
    path: str | PathLike[str],
    env: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    wrappers: Iterable[Mapping[str, Any]] | None = None,
) -> RunEnvironment:
    """Return how the environment of a run was made, given its directory or a file in it.

    Args:
        path: the run directory, or a checkpoint or policy in it.
        env: an environment's id that takes precedence; what else was recorded holds only for the run's own.
        env_kwargs: arguments that take precedence over those recorded.
        wrappers: wrappers that take precedence over those recorded.

    Raises:
        UsageError: not a run; environments that no file can describe; or ones for which a module would be imported.
    """
    recorded = recorded_configuration(path)
    if env is not None:
        own = recorded is not None and recorded.env_given_as == "id" and _same(env, recorded.env)
        kwargs: Any = recorded.env_kwargs if own and recorded is not None else None
        around = recorded.wrappers if own and recorded is not None else []
    elif recorded is None:
        raise UsageError(f"{path} does not say how its environment was made: give the run directory, or pass env=")
    elif recorded.env_given_as != "id":
        raise UsageError(
            f"the environments of {path} were made by {_MAKERS.get(recorded.env_given_as, 'something')} "
            f"({recorded.env}), which a file cannot store: pass env= with the id of an environment, or call "
            "ppocore.evaluate in a program with what made them"
        )
    else:
        env, kwargs, around = without_import(recorded.env, path), recorded.env_kwargs, recorded.wrappers
        if env_kwargs is None:
            without_class_paths(kwargs, env, path)
    if env_kwargs is None and isinstance(kwargs, str):
        raise UsageError(
            f"the environments of {path} were made with arguments that JSON cannot represent: pass env_kwargs=, or "
            "call ppocore.evaluate in a program with those"
        )
    return RunEnvironment(
        env,
        kwargs if env_kwargs is None else dict(env_kwargs),
        trusted_wrappers(around, path) if wrappers is None else [dict(wrapper) for wrapper in wrappers],
    )


def _same(env: str, recorded: str) -> bool:
    """Return whether an id, possibly without a version, is the recorded one."""
    from ppocore.envs.lookup import unversioned  # only here, because it needs Gymnasium

    return env == recorded or unversioned(recorded) == env
