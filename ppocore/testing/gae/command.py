"""Run ``ppocore check-gae``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.target import find_target


def check_gae_command(
    target: str, *, signature: str, arrays: str, truncation: str, examples: int, seed: int, as_json: bool
) -> bool:
    """Check an advantage function and print the report.

    Args:
        target: ``MODULE:FUNCTION``.
        signature: signature of the function, a key of the adapters below.
        arrays: kind of its arrays, as for `check_gae`.
        truncation: convention for truncations, as for `check_gae`.
        examples: number of trajectories for each property, at least 1.
        seed: seed of the trajectories.
        as_json: whether to print the report as one JSON object.

    Returns:
        Whether no property failed.

    Raises:
        UsageError: hypothesis is not installed, there is no such function, or an argument is out of range.
    """
    if examples < 1:
        raise UsageError(f"examples={examples} must be at least 1")
    function: Callable[..., Any] = find_target(target, kind="function", example="my_package.ppo:compute_gae")
    try:
        from ppocore.testing.gae.adapters import batch_major, episode_lists, from_dones, token_level
        from ppocore.testing.gae.check import check_gae
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("hypothesis is not installed: pip install 'ppocore[test]'") from error
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
