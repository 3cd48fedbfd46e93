"""Run ``ppocore check-backend``."""

from __future__ import annotations

import json
import sys

from ppocore.errors import UsageError
from ppocore.testing.backends.report import PropertyResult
from ppocore.testing.target import find_target


def check_backend_command(name: str, *, examples: int, device: str, as_json: bool) -> bool:
    """Check a backend and print the report.

    Args:
        name: the name of a registered backend, or ``MODULE:CLASS``.
        examples: number of problems for each property and precision, at least 1.
        device: device on which the backend computes.
        as_json: whether to print the report as one JSON object.

    Returns:
        Whether every property passed.

    Raises:
        UsageError: hypothesis is not installed, there is no such backend or class, or ``examples`` is below 1.
    """
    if examples < 1:
        raise UsageError(f"--examples {examples} must be at least 1")
    try:
        from ppocore.testing.backends.check import check_backend
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("hypothesis is not installed: pip install 'ppocore[test]'") from error
    checked = find_target(name, kind="class", example="my_package.backend:MyBackend") if ":" in name else name
    interactive = sys.stderr.isatty()

    def progress(result: PropertyResult) -> None:
        if interactive:
            print(f"\r{result.name} ({result.precision})\033[K", end="", file=sys.stderr, flush=True)

    report = check_backend(checked, max_examples=examples, device=device, progress=progress)
    if interactive:
        print("\r\033[K", end="", file=sys.stderr)
    print(json.dumps(report.to_dict()) if as_json else report)
    return report.passed
