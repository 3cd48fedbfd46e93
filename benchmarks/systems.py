"""Train the systems of ``examples/systems`` in full, and list their results beside the published ones.

    python benchmarks/systems.py                              all of them, seeds 0, 1 and 2 (box2d, mujoco, paddle)
    python benchmarks/systems.py --only dppo_pendulum --seeds 0 1 2 3 4
    python benchmarks/systems.py --json                       the last line is one JSON object

A system whose environment or framework is not installed is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppocore.errors import UsageError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "systems"


class System(NamedTuple):
    """Hold an example, its task, and further arguments of its ``run``."""

    example: str
    task: str
    arguments: dict[str, Any] | None = None


SYSTEMS = [
    System("brianpulfer_cartpole", "CartPole-v1"),
    System("hands_on_rl_cartpole", "CartPole, 200 steps"),
    System("hands_on_rl_pendulum", "Pendulum-v1"),
    System("ppo_for_beginners_pendulum", "Pendulum-v1"),
    System("xinjinghao_continuous", "Pendulum-v1"),
    System("dppo_pendulum", "Pendulum-v1"),
    System("thirty_seven_details", "CartPole-v1", {"env": "CartPole-v1"}),
    System("thirty_seven_details", "Acrobot-v1", {"env": "Acrobot-v1"}),
    System("lizhi_continuous", "BipedalWalker-v3"),
    System("paddle_mountain_car", "MountainCar-v0, no limit"),
    System("spinning_up", "Hopper-v5"),
]


def load(example: str) -> Any:
    """Import the module of an example."""
    spec = importlib.util.spec_from_file_location(example, EXAMPLES / f"{example}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(system: System, seeds: Sequence[int]) -> dict[str, Any]:
    """Run an example in full once per seed."""
    module = load(system.example)
    published = module.PUBLISHED
    row = {
        "example": system.example,
        "task": system.task,
        "published": published if isinstance(published, str) else published[system.task],
        "steps": module.CONFIG.total_steps,
        "seeds": list(seeds),
        "returns": [],
        "seconds": [],
    }
    for seed in seeds:
        began = time.perf_counter()
        try:
            row["returns"].append(module.run(seed, **(system.arguments or {})))
        except UsageError as error:
            print(f"{system.example} was not run: {error}", file=sys.stderr, flush=True)
            return row
        row["seconds"].append(time.perf_counter() - began)
        print(f"{system.example} {system.task} seed {seed}: {row['returns'][-1]:.1f}", file=sys.stderr, flush=True)
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| Example | Task | Published | ppocore, each seed | Mean | Seeds | Steps | Seconds per run |",
        "|---|---|---|---|---:|---|---:|---:|",
    ]
    for row in rows:
        cells = [f"`{row['example']}`", row["task"], row["published"]]
        if row["returns"]:
            cells += [", ".join(f"{r:.1f}" for r in row["returns"]), f"{statistics.fmean(row['returns']):.1f}"]
            cells += [", ".join(map(str, row["seeds"])), f"{row['steps']:,}", f"{statistics.fmean(row['seconds']):.0f}"]
        else:
            cells += ["not run", "", "", f"{row['steps']:,}", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted({system.example for system in SYSTEMS})
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help="examples to run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(system, options.seeds) for system in SYSTEMS if system.example in options.only]
    print(table(rows))
    if options.json:
        print(json.dumps({"systems": rows}))


if __name__ == "__main__":
    main()
