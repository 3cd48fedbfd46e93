"""Run ``ppocore check-backend``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ppocore.errors import UsageError
from ppocore.registry import available_backends, closest
from ppocore.testing.backends.report import PropertyResult
from ppocore.testing.target import find_target


def skeleton() -> str:
    """Return the source of a backend to fill in."""
    return Path(__file__).with_name("skeleton.py").read_text(encoding="utf-8")


def check_backend_command(name: str, *, examples: int, device: str, as_json: bool) -> bool:
    """Check a backend and print the report.

    Args:
        name: the name of a registered backend, ``MODULE:CLASS``, or ``FILE.py:CLASS``.
        examples: number of problems for each property and precision, at least 1.
        device: device on which the backend computes.
        as_json: whether to print the report as one JSON object.

    Returns:
        Whether every property passed.

    Raises:
        UsageError: hypothesis is not installed, there is no such backend or class, or ``examples`` is below 1.
    """
    if examples < 1:
        raise UsageError(f"examples={examples} must be at least 1")
    try:
        from ppocore.testing.backends.check import check_backend
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("hypothesis is not installed: pip install 'ppocore[check]'") from error
    checked: Any = name
    if ":" in name or name.endswith(".py"):
        checked = find_target(name, kind="class", example="my_package.backend:MyBackend or my_backend.py:MyBackend")
    elif name not in available_backends():
        raise UsageError(
            f"there is no backend {name!r}{closest(name, available_backends())} (choose from: "
            f"{', '.join(available_backends())}; or give MODULE:CLASS or FILE.py:CLASS, as a name registered by a "
            "script is known in that script alone)"
        )
    interactive = sys.stderr is not None and sys.stderr.isatty()

    def progress(result: PropertyResult) -> None:
        if interactive:
            print(f"\r{result.name} ({result.precision})\033[K", end="", file=sys.stderr, flush=True)

    report = check_backend(checked, max_examples=examples, device=device, progress=progress)
    if interactive:
        print("\r\033[K", end="", file=sys.stderr)
    print(json.dumps(report.to_dict()) if as_json else report, flush=True)
    return report.passed
