"""The largest difference from the NumPy oracle in every quantity, for each backend and both precisions.

    python benchmarks/backend_agreement.py [--json] [--examples N] [--backends NAME ...]

Every number is what `ppocore.testing.check_backend` saw while it tried to make the properties fail. An error in ulps
is in units of the arithmetic's epsilon times the largest rounding that the formula's own operations can have left
behind (`ppocore.testing.backends.error_bounds.rounding`); the candidate is held against the oracle in float64 in both
precisions.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from ppocore.registry import available_backends
from ppocore.testing import BackendReport, check_backend

ROWS = {
    "parameters": "distribution parameters",
    "values": "values",
    "log_prob": "log-probability",
    "entropy": "entropy",
    "ratio": "ratio",
    "kl": "divergence",
    "policy_loss": "policy loss",
    "value_loss": "value loss",
    "loss": "loss",
    "gradient": "gradient of each weight",
    "grad_norm": "global norm",
    "approx_kl": "approximate KL",
    "clip_fraction": "clip fraction",
}
COUNTS = (
    "numbers that differ after one step",
    "numbers that differ after a step of a rate between floats",
    "numbers that differ after k steps",
    "numbers that differ after a handover",
    "numbers that differ after resuming",
)
DRIFTS = ("weights after one step / learning rate", "weights / learning rate, for each step")
PACKAGES = ("ppocore", "numpy", "torch", "paddlepaddle", "jax", "hypothesis")


def largest(report: BackendReport, precision: str) -> dict[str, float]:
    """The largest error of each quantity that any property saw in one precision."""
    found: dict[str, float] = {}
    for result in report.results:
        if result.precision == precision:
            for quantity, error in result.errors.items():
                found[quantity] = max(found.get(quantity, 0.0), error)
    return found


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    found = {"python": platform.python_version(), "cpu": cpu()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(reports: dict[str, BackendReport]) -> str:
    """Every quantity and backend, as Markdown."""
    columns = [(name, precision) for name in reports for precision in ("exact", "float32")]
    errors = {(name, precision): largest(reports[name], precision) for name, precision in columns}
    lines = ["| quantity | unit | " + " | ".join(f"{name} {precision}" for name, precision in columns) + " |"]
    lines.append("|---|---|" + "---:|" * len(columns))
    for keys, unit in ((ROWS, "ulp"), (COUNTS, "numbers"), (DRIFTS, "learning rates")):
        for key in keys:
            cells = [f"{errors[c][key]:.2g}" if key in errors[c] else "" for c in columns]
            label = ROWS.get(key, key.replace(" / learning rate", ""))
            lines.append(f"| {label} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Check every backend and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--examples", type=int, default=200, metavar="N", help="problems for each property (200)")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="all that can be used here")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    usable = [name for name, missing in available_backends().items() if missing is None]
    reports: dict[str, BackendReport] = {}
    for name in options.backends or usable:
        reports[name] = check_backend(name, max_examples=options.examples, seed=options.seed)
        reports[name].raise_if_failed()
    known = versions()
    print(table(reports))
    print()
    print(", ".join(f"{name} {version}" for name, version in known.items()))
    if options.json:
        collected: dict[str, Any] = {
            name: {precision: largest(report, precision) for precision in ("exact", "float32")}
            for name, report in reports.items()
        }
        print(json.dumps({"examples": options.examples, "versions": known, "errors": collected}))


if __name__ == "__main__":
    main()
