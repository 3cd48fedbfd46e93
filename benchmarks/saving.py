"""Measure the time that saving takes, as a share of the run's.

    python benchmarks/saving.py                     CartPole-v1 with its preset, five runs, at the default interval
    python benchmarks/saving.py --env Pendulum-v1 --every 10 --runs 3
    python benchmarks/saving.py --json              the last line is one JSON object

Saving has two parts: the snapshot that is taken in memory after every iteration, so that the run can be saved whatever
happens in the next one, and the checkpoints, including everything that makes them durable. Exit status 1 if the median
is 2% or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppocore import train
from ppocore.runs import Saving
from ppocore.runs.checkpoints import Checkpoints
from ppocore.training import Trainer


class Timed:
    """Count the calls of a method and the seconds spent in them."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds, self.calls = 0.0, 0
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - began
                self.calls += 1

        setattr(owner, name, timed)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--every", type=int, default=Saving().every, help="iterations between checkpoints")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    copies, saves = Timed(Trainer, "_take_snapshot"), Timed(Checkpoints, "offer")
    end = Timed(Checkpoints, "end")
    rows = []
    print("| run | seconds | snapshots | time in them | checkpoints | time in them | share |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs):
            for timed in (copies, saves, end):
                timed.seconds, timed.calls = 0.0, 0
            began = time.perf_counter()
            directory = Path(folder) / str(run)
            train(options.env, run_dir=directory, checkpoint_every=options.every, keep=10**6)
            seconds = time.perf_counter() - began
            saving = saves.seconds + end.seconds
            share = (copies.seconds + saving) / seconds
            files = len(list(directory.glob("run-*.safetensors")))
            rows.append(
                {"seconds": seconds, "copying": copies.seconds, "saving": saving, "files": files, "share": share}
            )
            print(
                f"| {run} | {seconds:.2f} | {copies.calls} | {copies.seconds * 1e3:.0f} ms | {files} "
                f"| {saving * 1e3:.0f} ms | {share:.2%} |"
            )
    median = statistics.median(row["share"] for row in rows)
    print(f"median {median:.2%}")
    if options.json:
        print(json.dumps({"env": options.env, "every": options.every, "median": median, "runs": rows}))
    return 0 if median < 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
