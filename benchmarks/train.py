"""Measure training throughput on CartPole, for ppocore and other libraries.

    python benchmarks/train.py                      ppocore, exact and float32, two kinds of environment
    python benchmarks/train.py --versus             Stable-Baselines3 and CleanRL's algorithm as well, if installed
    python benchmarks/train.py --json               the last line is one JSON object

The settings are 8 environments x 128 steps, 4 epochs, minibatches of 256 and two 64-64 tanh networks. Every run is a
process of its own on one core and one thread. The systems take turns, round after round, so that a machine whose speed
drifts favors none. The time covers training without imports; the memory is the peak of the whole process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import one_thread

SETTINGS: dict[str, Any] = {
    "num_envs": 8,
    "num_steps": 128,
    "update_epochs": 4,
    "minibatch_size": 256,
    "learning_rate": 2.5e-4,
    "entropy_coef": 0.01,
    "hidden_sizes": (64, 64),
}


def run_ppocore(steps: int, seed: int, backend: str, precision: str, vectorization: str) -> tuple[int, float]:
    """Train with ppocore, including run directory and metrics; return the steps and seconds."""
    from ppocore import PPOConfig, train
    from ppocore.registry import backend_factory

    backend_factory(backend)  # imports the framework, which the others' times do not include either
    config = PPOConfig(**SETTINGS, total_steps=steps, precision=precision)
    runtime = {"backend": backend, "vectorization": vectorization}
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        result = train("CartPole-v1", config, runtime=runtime, seed=seed, run_dir=Path(directory) / "run")
        return result.steps, time.perf_counter() - began


def run_stable_baselines3(steps: int, seed: int) -> tuple[int, float]:
    """Train with Stable-Baselines3, whose default policy has the same two networks; return the steps and seconds."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", SETTINGS["num_envs"], seed=seed),
        n_steps=SETTINGS["num_steps"],
        batch_size=SETTINGS["minibatch_size"],
        n_epochs=SETTINGS["update_epochs"],
        learning_rate=SETTINGS["learning_rate"],
        ent_coef=SETTINGS["entropy_coef"],
        seed=seed,
        device="cpu",
    )
    began = time.perf_counter()
    model.learn(steps)
    return int(model.num_timesteps), time.perf_counter() - began


def run_cleanrl_algorithm(steps: int, seed: int) -> tuple[int, float]:
    """Train with the algorithm of CleanRL's ppo.py, written for this benchmark; return the steps and seconds."""
    import torch
    from single_file_ppo import train_single_file

    torch.set_num_threads(1)
    began = time.perf_counter()
    taken = train_single_file("CartPole-v1", steps, seed, SETTINGS)
    return taken, time.perf_counter() - began


def systems(versus: bool, backends: list[str]) -> dict[str, list[str]]:
    """Return the systems to time: by label, the arguments of the child process that runs each."""
    chosen = {
        f"ppocore {backend}, {precision}, {vectorization} environments": [backend, precision, vectorization]
        for backend in backends
        for vectorization in ("sync", "vector")
        for precision in ("exact", "float32")
    }
    if versus:
        if importlib.util.find_spec("stable_baselines3"):
            chosen["Stable-Baselines3"] = ["stable_baselines3"]
        if importlib.util.find_spec("torch"):
            chosen["CleanRL's algorithm"] = ["cleanrl_algorithm"]
    return chosen


def child(arguments: list[str], steps: int, seed: int) -> None:
    """Run one system in this process and print its speed and memory."""
    if arguments[0] == "stable_baselines3":
        taken, seconds = run_stable_baselines3(steps, seed)
    elif arguments[0] == "cleanrl_algorithm":
        taken, seconds = run_cleanrl_algorithm(steps, seed)
    else:
        taken, seconds = run_ppocore(steps, seed, *arguments)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"steps_per_second": taken / seconds, "peak_mb": peak / 2**20}))


def measure(arguments: list[str], steps: int, seed: int) -> dict[str, float]:
    """Run one system in a process of its own, on one core."""
    command = [sys.executable, __file__, "--steps", str(steps), "--seed", str(seed), "--child", *arguments]
    one_core = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_setaffinity") else None
    done = subprocess.run(
        command,
        env=one_thread.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=None if one_core is None else lambda: os.sched_setaffinity(0, one_core),
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Time every system in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versus", action="store_true", help="time the other systems that are installed")
    parser.add_argument("--backends", nargs="+", default=["numpy"], metavar="NAME")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.steps, options.seed)
        return
    chosen = systems(options.versus, options.backends)
    figures: dict[str, list[dict[str, float]]] = {label: [] for label in chosen}
    for round_number in range(options.rounds):
        for label, arguments in chosen.items():
            figures[label].append(measure(arguments, options.steps, options.seed + round_number))
    reference = figures.get("Stable-Baselines3")
    rows = []
    for label, runs in figures.items():
        speeds = [run["steps_per_second"] for run in runs]
        ratios = [s / r["steps_per_second"] for s, r in zip(speeds, reference, strict=True)] if reference else []
        rows.append(
            {
                "system": label,
                "steps_per_second": round(statistics.median(speeds)),
                "slowest": round(min(speeds)),
                "fastest": round(max(speeds)),
                "peak_mb": round(max(run["peak_mb"] for run in runs), 1),
                "times_stable_baselines3": round(statistics.median(ratios), 2) if ratios else None,
            }
        )
    print(f"{'system':<46}{'steps/s':>9}{'(slowest - fastest)':>21}{'peak MB':>9}{'x SB3':>7}")
    for row in rows:
        span = f"{row['slowest']} - {row['fastest']}"
        times = row["times_stable_baselines3"] or "-"
        print(f"{row['system']:<46}{row['steps_per_second']:>9}{span:>21}{row['peak_mb']:>9}{times:>7}")
    if options.json:
        print(json.dumps({"steps": options.steps, "rounds": options.rounds, "systems": rows}))


if __name__ == "__main__":
    main()
