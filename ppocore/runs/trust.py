"""Refuse what a file of a run would import: only a person may ask for that."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from os import PathLike
from typing import Any

from ppocore.errors import UsageError

UNTRUSTED_WRAPPERS = ("RecordVideo",)  # they write where their arguments say
_CLASS_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")


def without_import(env: str, path: str | PathLike[str]) -> str:
    """Return an environment id that a file holds.

    Raises:
        UsageError: it names a module to import.
    """
    if ":" in env:  # Gymnasium imports the module before the colon, which a file must not cause
        raise UsageError(
            f"{path} names the environment {env}, for which a module would be imported: if you trust it, pass "
            f"env={env!r}"
        )
    return env


def without_class_paths(env_kwargs: Any, env: str, path: str | PathLike[str]) -> Any:
    """Return arguments of an environment's constructor that a file holds.

    Some environments import the classes that their arguments name, as ``"package.module.Class"``.

    Raises:
        UsageError: a text in them names something in a module that can be imported.
    """
    for found in _texts(env_kwargs):
        if _CLASS_PATH.fullmatch(found) and _is_importable(re.split(r"[.:]", found)[0]):
            raise UsageError(
                f"{path} gives the environment the argument {found!r}, for which a module could be imported: if you "
                f"trust it, pass env={env!r}"
            )
    return env_kwargs


def trusted_wrappers(wrappers: list[dict[str, Any]], path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Return wrappers that a file names.

    Raises:
        UsageError: one for which a module would be imported, or which writes files.
    """
    for wrapper in wrappers:
        if ":" in wrapper["name"] or wrapper["name"] in UNTRUSTED_WRAPPERS:
            raise UsageError(
                f"{path} names the wrapper {wrapper['name']}, which a file must not have imported or run: if you "
                "trust it, pass the run's wrappers again, with wrappers="
            )
    return wrappers


def _texts(value: Any) -> Iterator[str]:
    """Yield every string in a value from JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None  # of a module without a dot nothing is executed
    except (ImportError, ValueError, AttributeError):
        return True
