"""``ppocore check-backend NAME`` or ``MODULE:CLASS``."""

from __future__ import annotations

import json
import sys

from ppocore.errors import UsageError
from ppocore.testing.backends.report import PropertyResult
from ppocore.testing.target import find_target


def check_backend_command(name: str, *, examples: int, device: str, as_json: bool) -> bool:
    """Check a backend, by its name or as ``MODULE:CLASS``, and print the report; whether every property held.

    Raises:
        UsageError: hypothesis is not installed, no such backend or class, or fewer than one example.
    """
    if examples < 1:
        raise UsageError(f"--examples {examples} must be at least 1")
    try:
        from ppocore.testing.backends.check import check_backend
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("this needs hypothesis: pip install 'ppocore[test]'") from error
    named = find_target(name, kind="class", example="my_package.backend:MyBackend") if ":" in name else name
    show = sys.stderr.isatty()

    def progress(result: PropertyResult) -> None:
        if show:
            print(f"\r{result.name} ({result.precision})\033[K", end="", file=sys.stderr, flush=True)

    report = check_backend(named, max_examples=examples, device=device, progress=progress)
    if show:
        print("\r\033[K", end="", file=sys.stderr)
    print(json.dumps(report.to_dict()) if as_json else report)
    return report.passed
