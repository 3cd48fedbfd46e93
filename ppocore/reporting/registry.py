"""Reporters by name: built in, or of an installed package."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ppocore.errors import UsageError
from ppocore.registry import closest, entry_points
from ppocore.reporting.base import Reporter

ENTRY_POINT_GROUP = "ppocore.reporters"

BUILT_IN = {"console": "ppocore.reporting.console:ConsoleReporter"}


def available_reporters() -> list[str]:
    """Return the names that ``--report`` takes here; nothing is imported."""
    return [*BUILT_IN, *(name for name in entry_points(ENTRY_POINT_GROUP) if name not in BUILT_IN)]


def make_reporters(names: Sequence[str]) -> list[Reporter]:
    """Make a reporter for each name.

    A package offers one to everyone who installs it with an entry point in the group ``ppocore.reporters``:
    ``name = "module:factory"``; the factory is called without an argument.

    Raises:
        UsageError: no such reporter, with the names there are; or one that cannot be imported or made.
    """
    return [_make(name) for name in dict.fromkeys(names)]


def _make(name: str) -> Reporter:
    known = available_reporters()
    if name not in known:
        raise UsageError(
            f"there is no reporter {name!r}{closest(name, known)} (installed: {', '.join(known)}); a package that "
            f"has one offers it in the entry-point group {ENTRY_POINT_GROUP}"
        )
    try:
        factory: Any
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        else:
            factory = entry_points(ENTRY_POINT_GROUP)[name].load()
        reporter: Reporter = factory()
    except Exception as error:  # whatever a package of somebody else's does
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(f"reporter {name!r} cannot be used ({reason}): leave it out") from error
    return reporter
