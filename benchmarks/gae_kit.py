"""Measure how reliably ``ppocore.testing.check_gae`` finds every known mistake, without false alarms.

    python benchmarks/gae_kit.py                                20 seeds, NumPy, flags and dones
    python benchmarks/gae_kit.py --arrays torch --seeds 0 1 2
    python benchmarks/gae_kit.py --right                        right functions alone, in every format and framework
    python benchmarks/gae_kit.py --json                         the last line is one JSON object

A mistake counts as found if the check fails and names that mistake and no other; each variant of one is a row. Mistakes
of other frameworks compute in NumPy, with the framework's arrays in and out, in float32. The right functions are those
of tests/support/right_gae.py, gae_signatures.py and right_in_frameworks.py, and ``ppocore.gae``. Exit status 1 if any
mistake was missed or misnamed, or if a right function failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from ppocore import gae
from ppocore.testing import DEFECTS, check_gae, from_dones

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.gae_signatures import GUESSED
from support.right_gae import RIGHT
from support.wrong_gae import OF_NUMBERS, THROUGH_DONES, in_framework, of_dones, of_flags


def judge(function: Any, expected: str | None, seeds: list[int], **options: Any) -> dict[str, Any]:
    """Check a function with every seed; return how often the verdict was as expected, and the seconds."""
    good, seconds = 0, []
    for seed in seeds:
        began = time.process_time()
        report = check_gae(function, seed=seed, raise_on_failure=False, **options)
        seconds.append(time.process_time() - began)
        named = [name for name, _ in report.diagnosis.mistakes] if report.diagnosis else None
        good += named == [expected] if expected else report.passed
    return {"good": good, "seeds": len(seeds), "longest": max(seconds), "mean": sum(seconds) / len(seconds)}


def right(seeds: list[int]) -> dict[str, dict[str, Any]]:
    """Check right functions in several formats, with several kinds of flags, in every framework."""
    rows = {}
    for function, arrays in RIGHT:
        for dtype in ("float64", "float32") if arrays == "numpy" else (None, "float64"):
            rows[f"{function.__name__}, {arrays} {dtype or 'float32'}"] = judge(
                function, None, seeds, arrays=arrays, dtype=dtype
            )
    for function in GUESSED:
        for flags in ("bool", "float", "int"):
            rows[f"{function.__name__}, numpy, flags {flags}"] = judge(function, None, seeds, flags=flags)
    from support.right_in_frameworks import FUNCTIONS

    for arrays, functions in FUNCTIONS.items():
        for function in functions:
            for options in ({"flags": "bool"}, {"flags": "float"}, {"flags": "int"}):
                if arrays != "jax":
                    rows[f"{function.__name__}, {arrays} float64, flags {options['flags']}"] = judge(
                        function, None, seeds, arrays=arrays, dtype="float64", **options
                    )
                rows[f"{function.__name__}, {arrays} float32, flags {options['flags']}"] = judge(
                    function, None, seeds, arrays=arrays, **options
                )
    for arrays in ("numpy", "torch", "paddle", "jax"):
        rows[f"ppocore.gae, {arrays}"] = judge(gae, None, seeds, arrays=arrays)
    return rows


def wrong(seeds: list[int], arrays: str) -> dict[str, dict[str, Any]]:
    """Check functions with every known mistake."""
    rows = {}
    for key, (name, change, early) in OF_NUMBERS.items():
        function = in_framework(of_flags(change, early), arrays)
        rows[f"{key} ({arrays})"] = judge(function, name, seeds, arrays=arrays)
    for key, (name, change, early) in THROUGH_DONES.items():
        function = from_dones(in_framework(of_dones(change, early), arrays))
        rows[f"{key} ({arrays}, dones)"] = judge(function, name, seeds, arrays=arrays)
    if arrays == "numpy":
        for name, defect in DEFECTS.items():
            if not defect.changes:
                rows[f"{name} (numpy)"] = judge(defect.function, name, seeds)
    return rows


def main() -> int:
    """Check everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(20)))
    parser.add_argument("--arrays", nargs="+", default=["numpy"], choices=["numpy", "torch", "paddle", "jax"])
    parser.add_argument("--right", action="store_true", help="right functions alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    if options.right:
        rows = right(options.seeds)
    else:
        for arrays in options.arrays:
            rows |= wrong(options.seeds, arrays)
    print("| function | verdict as expected | longest check, s | mean, s |\n|---|---|---:|---:|")
    for name, row in rows.items():
        print(f"| {name} | {row['good']} of {row['seeds']} | {row['longest']:.1f} | {row['mean']:.1f} |")
    good = sum(row["good"] == row["seeds"] for row in rows.values())
    longest = max(row["longest"] for row in rows.values())
    print(f"\n{good} of {len(rows)} functions as expected with every seed; the longest check took {longest:.1f} s")
    if options.json:
        print(json.dumps(rows))
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
