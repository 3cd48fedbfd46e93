"""Advantage functions of public projects, written in own words after reading the original.

Each has the arithmetic of the original: the order of its operations, its dtypes, and what it does where an episode or
the rollout ends. `entry.Read` says which file of which version was read. Nothing here is copied, and nothing here is
the project's own code: a verdict on one of these functions is a verdict on the original only as far as the reading was
right.
"""

from __future__ import annotations

import importlib
from typing import Any

MODULES = {
    "buffers": "numpy",
    "columns": "numpy",
    "episodes": "numpy",
    "loops": "torch",
    "loops_more": "torch",
    "language_models": "torch",
    "vtrace": "torch",
    "scans": "jax",
}
"""Modules, and the framework that each needs."""


def entries() -> tuple[list[Any], list[Any]]:
    """Return the functions whose frameworks are installed: the advantages, and V-trace alone."""
    for module, framework in MODULES.items():
        try:
            importlib.import_module(framework)
        except ImportError:
            continue
        importlib.import_module(f"{__name__}.{module}")
    from .entry import ENTRIES

    try:
        from .vtrace import VTRACES
    except ImportError:
        return ENTRIES, []
    return ENTRIES, VTRACES
