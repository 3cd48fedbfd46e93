"""Kill runs at random moments, resume them, and compare them with a run that was never killed.

    python benchmarks/kill.py                                 100 kills for every kind of run, on every backend
    python benchmarks/kill.py --kills 10 --backends numpy     fewer
    python benchmarks/kill.py --json                          the last line is one JSON object

A kind of run is a backend, a task (CartPole; Pendulum with observations and rewards normalized) and a way to step the
environments (sync, async). Each run is a process of its own, killed by SIGKILL after a random time of up to about
twenty iterations, so that kills hit the start, the replay of episodes and every kind of write. If a run finishes before
there were enough kills, another one starts in a new directory. Compared are the fingerprint, the bytes of the last
checkpoint, the best checkpoint and the policy, and the lines of metrics.jsonl; no process may be left running. Exit
status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

# The runs are forks of this process, which should have no threads.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

from ppocore import PPOConfig, resume, train  # noqa: E402 (once the threads are set)
from ppocore.files import run_files  # noqa: E402 (once the threads are set)

SMALL = PPOConfig(
    total_steps=100 * 4 * 32, num_envs=4, num_steps=32, minibatch_size=64, update_epochs=2, hidden_sizes=(16, 16)
)
TASKS = {
    "cartpole": ("CartPole-v1", SMALL),
    "pendulum": (
        "Pendulum-v1",
        SMALL.replace(
            normalize_observations=True,
            normalize_rewards=True,
            adaptive_lr_kl=0.01,
            anneal_learning_rate=False,
            continuous_policy="beta",
        ),
    ),
}
EVERY, KEEP = 3, 2


def go(directory: Path, env: str, config: PPOConfig, runtime: dict[str, str]) -> None:
    """Start the run, or resume it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the run was never saved
        if (directory / "config.json").exists():
            resume(directory)
        else:
            train(env, config, runtime=runtime, seed=3, run_dir=directory, checkpoint_every=EVERY, keep=KEEP)


def in_a_fork(directory: Path, env: str, config: PPOConfig, runtime: dict[str, str], seconds: float | None) -> bool:
    """Run in a forked process and kill it after some time; return whether it had finished."""
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            go(directory, env, config, runtime)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the run in {directory} failed instead of resuming")
    for _ in range(500):
        if not left_of(child):
            return not os.WIFSIGNALED(status)
        time.sleep(0.01)
    raise SystemExit(f"processes {left_of(child)} were left running by the run in {directory}")


def left_of(session: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def what_it_is(directory: Path) -> dict[str, Any]:
    """Return everything of a finished run that must be equal, without the times."""
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds"), row.pop("steps_per_second")
    files = run_files(directory)
    best = directory / "best.safetensors"
    return {
        "fingerprint": rows[-1]["fingerprint"],
        "rows": rows,
        "files": [file.name for file in files],
        "last": files[-1].read_bytes(),
        "best": best.read_bytes() if best.exists() else b"",
        "policy": (directory / "policy.safetensors").read_bytes(),
    }


def kill_often(backend: str, task: str, vectorization: str, kills: int, seed: int, work: Path) -> dict[str, Any]:
    """Kill runs of one kind until there were enough kills, and compare every finished one with the whole run."""
    env, config = TASKS[task]
    runtime = {"backend": backend, "vectorization": vectorization}
    draw = random.Random(f"{backend} {task} {vectorization} {seed}")
    name = f"{backend}-{task}-{vectorization}"
    began = time.perf_counter()
    in_a_fork(work / f"{name}-whole", env, config, runtime, None)
    longest = 25 * (time.perf_counter() - began) / (config.total_steps // config.rollout_size)
    whole = what_it_is(work / f"{name}-whole")
    killed, differing = 0, set[str]()
    for number in itertools.count(1):
        directory = work / f"{name}-{number}"
        while not in_a_fork(directory, env, config, runtime, draw.uniform(0.0, longest) if killed < kills else None):
            killed += 1
        found = what_it_is(directory)
        differing |= {key for key in whole if found[key] != whole[key]}
        shutil.rmtree(directory)
        if killed >= kills:
            return {
                "backend": backend,
                "task": task,
                "vectorization": vectorization,
                "kills": killed,
                "runs": number,
                "equal": not differing,
                "differing": sorted(differing),
                "fingerprint": whole["fingerprint"],
                "seconds": round(time.perf_counter() - began, 1),
            }
    raise AssertionError


def main() -> int:
    """Kill runs of every kind and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the times (0)")
    parser.add_argument("--backends", nargs="+", default=["numpy", "torch", "paddle", "jax"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--vectorizations", nargs="+", default=["sync", "async"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import_module("ppocore.api")  # and what it imports, once for all forks
    for backend in options.backends:
        import_module(f"ppocore.backends.{backend}_backend")
    rows = []
    print("| backend | task | environments | kills | runs | equal in all | seconds |\n|---|---|---|---:|---:|---|---:|")
    with tempfile.TemporaryDirectory() as work:
        for backend, task, vectorization in itertools.product(options.backends, options.tasks, options.vectorizations):
            row = kill_often(backend, task, vectorization, options.kills, options.seed, Path(work))
            rows.append(row)
            verdict = "yes" if row["equal"] else "no: " + ", ".join(row["differing"])
            print(
                f"| {backend} | {task} | {vectorization} | {row['kills']} | {row['runs']} | {verdict} "
                f"| {row['seconds']} |",
                flush=True,
            )
    same = all(len({row["fingerprint"] for row in rows if row["task"] == task}) == 1 for task in options.tasks)
    print("the same fingerprint on every backend, sync and async" if same else "fingerprints differ between kinds")
    if options.json:
        print(json.dumps(rows))
    return 0 if same and all(row["equal"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
