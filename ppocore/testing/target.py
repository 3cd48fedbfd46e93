"""Import the target of a check, given as ``MODULE:NAME`` on the command line."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ppocore.errors import UsageError


def find_target(target: str, *, kind: str, example: str) -> Any:
    """Import a function or class by its module and name, from the path or the working directory.

    Args:
        target: ``MODULE:NAME``.
        kind: ``function`` or ``class``, for error messages.
        example: example of a target, for error messages.

    Returns:
        The function or class.

    Raises:
        UsageError: the target is malformed, its module cannot be imported, or it is missing or not callable.
    """
    module, separator, name = target.partition(":")
    if not (module and separator and name):
        raise UsageError(f"{target!r} names no {kind}: give MODULE:{kind.upper()}, for instance {example}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{module} cannot be imported: {error}") from error
    except Exception as error:
        raise UsageError(f"{module} fails when it is imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module} has no {name}: name a {kind} of it")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{target} is {found!r}, not a {kind}: name a {kind} of {module}")
    return found
