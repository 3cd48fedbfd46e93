"""Run ``ppocore check-gae``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.target import find_target


def check_gae_command(target: str, *, signature: str, examples: int | None, as_json: bool, **options: Any) -> str:
    """Check an advantage function and print the report.

    Args:
        target: ``MODULE:FUNCTION``.
        signature: signature of the function: ``guess``, a key of the adapters below, or its arguments in order, as for
            `ppocore.testing.adapt`.
        examples: number of trajectories for each property, at least 1; None for the default.
        as_json: whether to print the report as one JSON object.
        options: further arguments of `check_gae`.

    Returns:
        The verdict: ``passed``, ``failed`` or ``choice``.

    Raises:
        UsageError: hypothesis is not installed, there is no such function, or an argument is out of range.
    """
    if examples is not None and examples < 1:
        raise UsageError(f"examples={examples} must be at least 1")
    function: Callable[..., Any] = find_target(target, kind="function", example="my_package.ppo:compute_gae")
    try:
        from ppocore.testing.gae import adapters
        from ppocore.testing.gae.check import check_gae
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("hypothesis is not installed: pip install 'ppocore[check]'") from error
    known: dict[str, Callable[[Any], Any]] = {
        "guess": lambda f: f,
        "flags": adapters.canonical,
        "dones": adapters.from_dones,
        "dones-before": partial(adapters.from_dones, dones="before"),
        "batch-major": adapters.batch_major,
        "episodes": adapters.episode_lists,
        "tokens": adapters.token_level,
        "tokens-left": partial(adapters.token_level, padding="left"),
    }
    if signature not in known and " " not in signature.strip():
        raise UsageError(
            f"signature={signature!r} is unknown: use one of {', '.join(known)}, or list what the function takes, "
            "as in signature='rewards values dones last_values gamma lam'"
        )
    adapted = known[signature](function) if signature in known else adapters.adapt(function, signature)
    report = check_gae(adapted, max_examples=examples, raise_on_failure=False, **options)
    print(json.dumps({**report.to_dict(), "candidate": target}) if as_json else report)
    return report.verdict
