"""What ``MODULE:NAME`` on the command line names."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ppocore.errors import UsageError


def find_target(target: str, *, kind: str, example: str) -> Any:
    """Import the callable that a target names; modules in the working directory are found as well.

    Args:
        target: ``MODULE:NAME``.
        kind: what it should be, for messages: a function, a class.
        example: a target to show in a message.

    Raises:
        UsageError: it names nothing, its module cannot be imported, or it cannot be called.
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
        raise UsageError(f"{target} is {found!r}, not a {kind}")
    return found
