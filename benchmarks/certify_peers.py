"""Check the advantage functions of other libraries with ``ppocore.testing.check_gae``.

    python benchmarks/certify_peers.py                 the libraries of benchmarks/peers that are installed
    python benchmarks/certify_peers.py --only sb3 --json

The libraries' requirements conflict, so each may need an environment of its own; combine the rows by hand. The table
says which properties passed for what was run: one adapter, one version, rollouts of small arrays.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ppocore.testing import GAEReport, check_gae

PEERS = Path(__file__).resolve().parent / "peers"


def row(name: str, peer: Any, variant: str, report: GAEReport) -> str:
    """Return one line of the table."""
    held = sum(result.passed is True for result in report.results)
    failed = [result.name for result in report.failures]
    checked = sum(result.passed is not None for result in report.results)
    mistake = (
        "" if report.diagnosis is None else ", ".join(found for found, _ in report.diagnosis.mistakes) or "none known"
    )
    return (
        f"| {peer.NAME} | {version(peer.PACKAGE)} | {variant} | {held} of {checked} | "
        f"{', '.join(failed) or 'none'} | {mistake} |"
    )


def main() -> None:
    """Check what is installed; print the table, then the first failure of each library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted(path.stem for path in PEERS.glob("*.py") if path.stem not in ("__init__", "replay"))
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(PEERS.parent))
    reports: dict[str, Any] = {}
    lines = ["| library | version | variant | passed | failed | known mistake |", "|---|---|---|---|---|---|"]
    for name in options.only:
        try:
            peer = importlib.import_module(f"peers.{name}")
        except ImportError as error:
            print(f"{name} is not installed here: {error}", file=sys.stderr)
            continue
        for variant, function in peer.VARIANTS.items():
            report = check_gae(function, max_examples=options.examples, raise_on_failure=False, seconds=30.0)
            reports[f"{peer.NAME}, {variant}"] = report
            lines.append(row(name, peer, variant, report))
            print(f"{peer.NAME}, {variant}: {'passed' if report.passed else 'failed'}", file=sys.stderr, flush=True)
    print("\n".join(lines))
    for title, report in reports.items():
        if not report.passed:
            print(f"\n## {title}\n\n```\n{str(report).partition('examples')[2]}\n```")
    if options.json:
        print(json.dumps({title: report.to_dict() for title, report in reports.items()}))


if __name__ == "__main__":
    main()
