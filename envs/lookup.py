"""Find an environment id in Gymnasium's registry, or suggest the ids that may be meant."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
import warnings

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppocore.envs.errors import describe
from ppocore.errors import UsageError


def find_spec(environment_id: str) -> tuple[str, EnvSpec]:
    """Return the full name and the registered specification of an environment id.

    ``environment_id`` is ``[module:][namespace/]name[-vN]``. A module is imported first, because it may register
    environments. Without a version the newest is used; an old version gives a warning.

    Raises:
        UsageError: the module cannot be imported, or nothing is registered under the id; the message names close
            matches.
    """
    module, colon, local_id = environment_id.rpartition(":")
    if module:
        try:
            _import(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever its code raises, SystemExit included
            raise UsageError(
                f"the module {module!r} of the environment {environment_id!r} cannot be imported: {_said(error)}"
            ) from error
    versions = versions_of(local_id)
    spec = gym.registry.get(local_id) or (versions[-1] if versions and unversioned(local_id) == local_id else None)
    if spec is None:
        raise UsageError(f"there is no environment {environment_id!r}; {_advice(local_id)}")
    if versions and spec.version is not None and (versions[-1].version or 0) > spec.version:
        warnings.warn(f"{spec.id} is an old version of this environment; the newest is {versions[-1].id}", stacklevel=4)
    return f"{module}{colon}{spec.id}", spec


def _import(module: str) -> None:
    """Import a module, also one in the current directory, which a console script does not look in."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        here = os.getcwd()
        top = module.partition(".")[0]
        if error.name != top or here in sys.path or "" in sys.path:
            raise
        sys.path.append(here)  # and left there: the environment's class is imported when it is made
        importlib.invalidate_caches()
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            sys.path.remove(here)
            raise


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, ImportError) else describe(error)


def unversioned(environment_id: str) -> str:
    """Return an id without its version."""
    return re.sub(r"-v\d+$", "", environment_id)


def versions_of(environment_id: str) -> list[EnvSpec]:
    """Return the specifications with the id's namespace and name, the newest last."""
    wanted = unversioned(environment_id)
    specs = [spec for spec in gym.registry.values() if unversioned(spec.id) == wanted]
    return sorted(specs, key=lambda spec: -1 if spec.version is None else spec.version)


def _advice(environment_id: str) -> str:
    def name(other_id: str) -> str:
        return unversioned(other_id).rpartition("/")[2].lower()

    # The same name with another version, namespace or case comes first, the newest before older ones.
    same_name = [spec for spec in gym.registry.values() if name(spec.id) == name(environment_id)]
    same_name.sort(key=lambda spec: -1 if spec.version is None else spec.version, reverse=True)
    by_name = {spec.id.lower(): spec.id for spec in gym.registry.values()}
    similar = difflib.get_close_matches(environment_id.lower(), by_name, n=3, cutoff=0.7)
    matches = list(dict.fromkeys([spec.id for spec in same_name] + [by_name[key] for key in similar]))[:3]
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return "one that another package registers is written package:Name-v0"
