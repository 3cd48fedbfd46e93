"""Find reporters by name: built-in ones, and ones of installed packages."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

from ppocore.errors import UsageError
from ppocore.registry import closest, entry_points
from ppocore.reporting.base import Reporter

ENTRY_POINT_GROUP = "ppocore.reporters"

BUILT_IN = {"console": "ppocore.reporting.console:ConsoleReporter"}


def available_reporters() -> list[str]:
    """Return the names that ``--report`` accepts here; imports nothing."""
    return [*BUILT_IN, *(name for name in entry_points(ENTRY_POINT_GROUP) if name not in BUILT_IN)]


def make_reporters(names: Sequence[str], *, as_options: bool = False) -> list[Reporter]:
    """Create a reporter for each name.

    An installed package provides a reporter with an entry point in the group ``ppocore.reporters``:
    ``name = "module:factory"``. The factory is called without arguments.

    Args:
        names: names that `available_reporters` lists.
        as_options: whether the console shows settings as options of the command line.

    Raises:
        UsageError: no such reporter, in which case the message lists the known names, or one that cannot be imported
            or created.
    """
    return [_make(name, as_options) for name in dict.fromkeys(names)]


def _make(name: str, as_options: bool) -> Reporter:
    known = available_reporters()
    if name not in known:
        raise UsageError(
            f"there is no reporter {name!r}{closest(name, known)} (choose from: {', '.join(known)}); packages provide "
            f"reporters with an entry point in the group {ENTRY_POINT_GROUP}"
        )
    try:
        factory: Any
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            factory = functools.partial(getattr(importlib.import_module(module), attribute), as_options=as_options)
        else:
            factory = entry_points(ENTRY_POINT_GROUP)[name].load()
        reporter: Reporter = factory()
    except Exception as error:  # a third-party package can raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(f"reporter {name!r} cannot be used ({reason}): leave it out") from error
    return reporter
