"""Measure how reliably ``ppocore.testing.check_gae`` finds every known mistake, without false alarms.

    python benchmarks/gae_kit.py                    20 seeds
    python benchmarks/gae_kit.py --seeds 0 1 --json  the last line is one JSON object

A mistake counts as found if the check fails and names that mistake and no other. The correct implementations are those
of tests/support/right_gae.py (a loop, a matrix, a scan by doubling, scipy's lfilter, torch) and ``ppocore.gae``. Exit
status 1 if any mistake was missed or misnamed, or if a correct implementation failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from ppocore import gae
from ppocore.testing import DEFECTS, check_gae

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.right_gae import RIGHT


def judge(function: Any, expected: str | None, seeds: list[int], arrays: str = "numpy") -> dict[str, Any]:
    """Check a function with every seed; return how often the verdict was as expected, and the seconds."""
    good, seconds = 0, []
    for seed in seeds:
        began = time.perf_counter()
        report = check_gae(function, arrays=arrays, seed=seed, raise_on_failure=False)
        seconds.append(time.perf_counter() - began)
        named = [name for name, _ in report.diagnosis.mistakes] if report.diagnosis else None
        good += named == (None if expected is None else [expected])
    return {"good": good, "seeds": len(seeds), "longest": max(seconds), "mean": sum(seconds) / len(seconds)}


def main() -> int:
    """Check everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(20)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {name: judge(defect.function, name, options.seeds) for name, defect in DEFECTS.items()}
    right = {f"right: {function.__name__}": judge(function, None, options.seeds, arrays) for function, arrays in RIGHT}
    rows |= right | {"right: ppocore.gae": judge(gae, None, options.seeds)}
    print("| function | verdict as expected | longest check, s | mean, s |\n|---|---|---:|---:|")
    for name, row in rows.items():
        print(f"| {name} | {row['good']} of {row['seeds']} | {row['longest']:.1f} | {row['mean']:.1f} |")
    if options.json:
        print(json.dumps(rows))
    return 0 if all(row["good"] == row["seeds"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
