"""Check the advantage functions of other projects with ``ppocore.testing.check_gae``.

    python benchmarks/certify_peers.py                 the libraries of benchmarks/peers that are installed
    python benchmarks/certify_peers.py --only sb3 --json
    python benchmarks/certify_peers.py read            the functions of benchmarks/peers/read
    python benchmarks/certify_peers.py read --only cleanrl rsl_rl --cases

The libraries' requirements conflict, so each may need an environment of its own; combine the rows by hand. The
functions of benchmarks/peers/read are written in own words after reading the original; each is judged by
``benchmarks/peers/independent.py``, too, which shares no code with ``ppocore``, and the exit status is 1 if the two
disagree. A table says what was found for what was run: one function, one version, rollouts of small arrays.
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
OTHERS = ("__init__", "replay", "independent", "independent_vtrace", "verdicts")


def row(peer: Any, variant: str, report: GAEReport) -> str:
    """Return one line of the table of installed libraries."""
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


def certify_installed(options: Any) -> None:
    """Check what is installed; print the table, then the first failure of each library."""
    reports: dict[str, Any] = {}
    lines = ["| library | version | variant | passed | failed | known mistake |", "|---|---|---|---|---|---|"]
    names = sorted(path.stem for path in PEERS.glob("*.py") if path.stem not in OTHERS)
    for name in options.only or names:
        try:
            peer = importlib.import_module(f"peers.{name}")
        except ImportError as error:
            print(f"{name} is not installed here: {error}", file=sys.stderr)
            continue
        for variant, function in peer.VARIANTS.items():
            report = check_gae(function, max_examples=options.examples, raise_on_failure=False, seconds=30.0)
            reports[f"{peer.NAME}, {variant}"] = report
            lines.append(row(peer, variant, report))
            print(f"{peer.NAME}, {variant}: {report.verdict}", file=sys.stderr, flush=True)
    print("\n".join(lines))
    for title, report in reports.items():
        if not report.passed:
            print(f"\n## {title}\n\n```\n{str(report).partition('examples')[2]}\n```")
    if options.json:
        print(json.dumps({title: report.to_dict() for title, report in reports.items()}))


def certify_read(options: Any) -> int:
    """Judge the functions that were read, by the kit and independently; print the tables and the disagreements."""
    from peers.independent_vtrace import judge_vtrace
    from peers.read import entries
    from peers.verdicts import rows, vtrace_cells

    advantages, vtraces = entries()
    disagreements, shown, cases = 0, [], []
    for entry in advantages:
        if options.only and entry.name not in options.only:
            continue
        for found in rows(entry, options.examples):
            disagreements += not found.agree
            shown.append(found)
            print(" | ".join(found.cells()), file=sys.stderr, flush=True)
            if not found.independent.right:
                cases.append(f"### {found.entry.project}, {found.cells()[1]}\n\n```\n{found.independent.smallest}\n```")
    print("| project | called | independent verdict | kit | known mistake | agree |\n|---|---|---|---|---|---|")
    print("\n".join(f"| {' | '.join(found.cells())} |" for found in shown))
    print("\n| V-trace of | independent verdict | kit | known mistake | agree |\n|---|---|---|---|---|")
    for vtrace in vtraces:
        if options.only and vtrace.function.__name__ not in options.only:
            continue
        cells = vtrace_cells(vtrace, options.examples)
        disagreements += cells[-1] == "NO"
        print(f"| {' | '.join(cells)} |")
        verdict = judge_vtrace(vtrace.candidate)
        if not verdict.right:
            cases.append(f"### {vtrace.project}\n\n```\n{verdict.smallest}\n```")
    if options.cases:
        print("\n" + "\n\n".join(cases))
    print(
        f"\n{len(shown)} verdicts on {len({found.entry.name for found in shown})} functions, {disagreements} disagree"
    )
    return 1 if disagreements else 0


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="?", choices=["installed", "read"], default="installed")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print the reports on installed libraries")
    parser.add_argument("--cases", action="store_true", help="print the smallest case of each function that differs")
    options = parser.parse_args()
    sys.path.insert(0, str(PEERS.parent))
    if options.which == "read":
        return certify_read(options)
    certify_installed(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
