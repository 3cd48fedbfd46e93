"""Train every preset with several seeds, and evaluate each policy over fresh episodes.

    python benchmarks/presets.py                              all presets, seeds 0, 1 and 2
    python benchmarks/presets.py CartPole-v1 --seeds 0 1 2 3 4
    python benchmarks/presets.py --json                       the last line is one JSON object

The evaluation is that of ``ppocore evaluate``: deterministic actions, in episodes that training has not seen. The
seconds are those of training alone, one run after the other on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import gymnasium

from ppocore import train
from ppocore.evaluation import evaluate
from ppocore.presets import PRESETS, preset


def measure(env: str, seeds: Sequence[int], episodes: int) -> dict[str, Any]:
    """Train an environment's preset once per seed on the numpy backend, and evaluate the policies."""
    returns, seconds, steps = [], [], 0
    for seed in seeds:
        began = time.perf_counter()
        result = train(env, preset(env), backend="numpy", seed=seed)
        seconds.append(time.perf_counter() - began)
        steps = result.steps
        returns.append(evaluate(result.policy, env, episodes=episodes).summary()["mean_return"])
        print(f"{env} seed {seed}: {returns[-1]:.1f} in {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return {
        "env": env,
        "steps": steps,
        "seeds": list(seeds),
        "returns": returns,
        "mean": statistics.fmean(returns),
        "threshold": gymnasium.spec(env).reward_threshold,
        "wall_seconds": seconds,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table; the seconds are the mean over the runs."""
    lines = [
        "| Environment | Steps | Seeds | Evaluated return of each seed | Mean | Threshold | Seconds per run |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for row in rows:
        each = ", ".join(f"{value:.1f}" for value in row["returns"])
        seeds = ", ".join(map(str, row["seeds"]))
        threshold = "none" if row["threshold"] is None else f"{row['threshold']:g}"
        seconds = statistics.fmean(row["wall_seconds"])
        lines.append(
            f"| {row['env']} | {row['steps']:,} | {seeds} | {each} | {row['mean']:.1f} | {threshold} | {seconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("envs", nargs="*", metavar="ENV", help="environments that have a preset (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=100, help="episodes of each evaluation (100)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [env for env in options.envs if env not in PRESETS]
    if unknown:
        parser.error(f"{unknown[0]} has no preset: choose from {', '.join(PRESETS)}")
    rows = [measure(env, options.seeds, options.episodes) for env in options.envs or PRESETS]
    print(table(rows))
    if options.json:
        print(json.dumps({"episodes": options.episodes, "presets": rows}))


if __name__ == "__main__":
    main()
