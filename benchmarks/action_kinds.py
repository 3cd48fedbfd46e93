"""Train a task for every kind of action with several seeds, and evaluate each policy over fresh episodes.

    python benchmarks/action_kinds.py                         all tasks, seeds 0, 1 and 2 (needs gymnasium[box2d])
    python benchmarks/action_kinds.py beta --seeds 0 1 2 3
    python benchmarks/action_kinds.py --json                  the last line is one JSON object

The multi-discrete and the multi-binary task control LunarLander's engines: the main engine has two states and the side
engines three, or each of the three engines has one bit. The masked task is Taxi, which here raises on any action that
its mask does not allow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
from tasks import multi_binary_lander, multi_discrete_lander, taxi

from ppocore import PPOConfig, train
from ppocore.evaluation import evaluate
from ppocore.presets import preset


class Task(NamedTuple):
    """Hold an environment, its settings, and the return from which it counts as solved (None if there is none)."""

    make: str | Callable[[], gym.Env[Any, Any]]
    config: PPOConfig
    solved: float | None


LANDER, PENDULUM = preset("LunarLander-v3"), preset("Pendulum-v1")
TAXI = PPOConfig(
    total_steps=200_000,
    num_envs=8,
    num_steps=128,
    minibatch_size=256,
    learning_rate=3e-3,
    entropy_coef=0.01,
    gae_lambda=0.9,
    normalize_rewards=True,
)
TASKS = {
    "multi_discrete": Task(multi_discrete_lander, LANDER, 200.0),
    "multi_binary": Task(multi_binary_lander, LANDER.replace(entropy_coef=0.002), 200.0),
    "masked": Task(taxi, TAXI, None),
    "gaussian": Task("Pendulum-v1", PENDULUM, -250.0),
    "squashed_gaussian": Task("Pendulum-v1", PENDULUM.replace(continuous_policy="squashed_gaussian"), -250.0),
    "beta": Task("Pendulum-v1", PENDULUM.replace(continuous_policy="beta"), -250.0),
}


def measure(name: str, seeds: Sequence[int], episodes: int) -> dict[str, Any]:
    """Train a task once per seed on the numpy backend, and evaluate the policies."""
    task = TASKS[name]
    returns, seconds, steps = [], [], 0
    for seed in seeds:
        result = train(task.make, task.config, seed=seed)
        steps = result.steps
        seconds.append(result.wall_seconds)
        returns.append(evaluate(result.policy, task.make, episodes=episodes).summary()["mean_return"])
        print(f"{name} seed {seed}: {returns[-1]:.1f} in {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return {"task": name, "steps": steps, "seeds": list(seeds), "returns": returns, "solved": task.solved} | {
        "wall_seconds": seconds
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| Task | Steps | Seeds | Evaluated return of each seed | Solved from | Seconds per run |",
        "|---|---:|---|---|---:|---:|",
    ]
    for row in rows:
        each, seeds = ", ".join(f"{value:.1f}" for value in row["returns"]), ", ".join(map(str, row["seeds"]))
        seconds = statistics.fmean(row["wall_seconds"])
        solved = "none" if row["solved"] is None else f"{row['solved']:g}"
        lines.append(f"| {row['task']} | {row['steps']:,} | {seeds} | {each} | {solved} | {seconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Train, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"{', '.join(TASKS)} (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=100, help="episodes of each evaluation (100)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.tasks if name not in TASKS]
    if unknown:
        parser.error(f"there is no task {unknown[0]}: choose from {', '.join(TASKS)}")
    rows = [measure(name, options.seeds, options.episodes) for name in options.tasks or TASKS]
    print(table(rows))
    if options.json:
        print(json.dumps({"episodes": options.episodes, "tasks": rows}))


if __name__ == "__main__":
    main()
