"""``ppocore check-gae MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ppocore.errors import UsageError


def check_gae_command(
    target: str, *, signature: str, arrays: str, truncation: str, examples: int, seed: int, as_json: bool
) -> bool:
    """Check the function that ``MODULE:FUNCTION`` names and print the report; whether no property failed.

    Raises:
        UsageError: hypothesis is not installed, no such function, or a setting out of range.
    """
    if examples < 1:
        raise UsageError(f"--examples {examples} must be at least 1")
    function = _found(target)
    try:
        from ppocore.testing.gae.adapters import batch_major, episode_lists, from_dones, token_level
        from ppocore.testing.gae.check import check_gae
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("this needs hypothesis: pip install 'ppocore[test]'") from error
    adapters: dict[str, Callable[[Any], Any]] = {
        "flags": lambda f: f,
        "dones": from_dones,
        "dones-before": partial(from_dones, dones="before"),
        "batch-major": batch_major,
        "episodes": episode_lists,
        "tokens": token_level,
        "tokens-left": partial(token_level, padding="left"),
    }
    report = check_gae(
        adapters[signature](function),
        arrays=arrays,
        truncation=truncation,
        max_examples=examples,
        seed=seed,
        raise_on_failure=False,
    )
    print(json.dumps({**report.to_dict(), "candidate": target}) if as_json else report)
    return report.passed


def _found(target: str) -> Callable[..., Any]:
    """The function that a target names; modules in the working directory are found as well."""
    module, separator, name = target.partition(":")
    if not (module and separator and name):
        raise UsageError(f"{target!r} names no function: give MODULE:FUNCTION, for instance my_package.ppo:compute_gae")
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
            raise UsageError(f"{module} has no {name}: name a function of it")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{target} is {found!r}, not a function")
    function: Callable[..., Any] = found
    return function
