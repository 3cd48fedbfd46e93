"""Import the target of a check, given as ``MODULE:NAME`` on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from ppocore.errors import UsageError


def find_target(target: str, *, kind: str, example: str) -> Any:
    """Import a function or class by its module and name, from the path or the working directory.

    Args:
        target: ``MODULE:NAME``, or ``FILE.py:NAME``.
        kind: ``function`` or ``class``, for error messages.
        example: example of a target, for error messages.

    Returns:
        The function or class.

    Raises:
        UsageError: the target is malformed, its module cannot be imported, or it is missing or not callable.
    """
    module, separator, name = target.rpartition(":")
    if not (module and separator and name):
        raise UsageError(f"{target!r} names no {kind}: give MODULE:{kind.upper()}, for instance {example}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = _run_file(Path(module)) if module.endswith(".py") else importlib.import_module(module)
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(f"{module} cannot be imported: {error}") from error
    except (SystemExit, Exception) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{module} fails when it is imported: {reason}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module} has no {name}: name a {kind} of it")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{target} is {found!r}, not a {kind}: name a {kind} of {module}")
    return found


def _run_file(file: Path) -> Any:
    """Import a file as a module of its name, which may import what lies beside it.

    Raises:
        UsageError: there is no such file.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}: give the path of one, as FILE.py:NAME")
    beside = str(file.resolve().parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None  # as the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # what a dataclass or a pickle in it asks for
    spec.loader.exec_module(module)
    return module
