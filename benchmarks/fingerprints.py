"""Compare runs of the same settings and seed on every backend, bit for bit.

    python benchmarks/fingerprints.py                          every case, seeds 0 to 9, 100,000 steps per run
    python benchmarks/fingerprints.py --cases discrete --seeds 0 1 2 --steps 20000
    python benchmarks/fingerprints.py --json                   the last line is one JSON object

Every run is a process of its own on one thread, so that frameworks cannot affect each other. The runs of a case and
seed are compared with the first backend's after every iteration (``ppocore.runs.compare``). A cell of the Markdown
table says ``equal``, or at which iteration and in which tensor the runs diverge, and from where on they are equal
again. A line is written to standard error after each run. Exit status 0 if all fingerprints are equal, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import one_thread
from tasks import multi_binary_pendulum, multi_discrete_pendulum, taxi

from ppocore import PPOConfig, available_backends, train
from ppocore.presets import preset
from ppocore.runs import compare

# Large enough for many roundings: 1,552 to 15,600 optimizer steps in 100,000 environment steps.
NORMALIZED = {
    "num_envs": 8,
    "num_steps": 128,
    "minibatch_size": 128,
    "update_epochs": 8,
    "learning_rate": 3e-4,
    "normalize_observations": True,
    "normalize_rewards": True,
}
SHARED = {
    "num_envs": 8,
    "num_steps": 128,
    "minibatch_size": 256,
    "shared_trunk": True,
    "activation": "relu",
    "value_clip_range": 0.2,
}
CARTPOLE, PENDULUM = "CartPole-v1", "Pendulum-v1"
ENTROPY = {"entropy_coef": 0.005}
SQUASHED, BETA = {"continuous_policy": "squashed_gaussian"}, {"continuous_policy": "beta"}
UNCLIPPED = {"objective": "none", "adaptive_lr_kl": 0.01, "anneal_learning_rate": False}
SEPARATE = {
    "separate_optimizers": True,
    "critic_learning_rate": 3e-3,
    "critic_l2_coef": 1e-4,
    "target_kl": 0.02,
    "dual_clip": 3.0,
    "recompute_advantages": True,
    "advantage_estimator": "vtrace",
}


class Case(NamedTuple):
    """Hold an environment, its label in the table, and the changes to its preset or to the defaults."""

    env: str | Callable[[], Any]
    label: str
    changes: dict[str, Any]
    preset_of: str | None = None

    def config(self, steps: int) -> PPOConfig:
        """Return the settings of a run of ``steps`` environment steps."""
        base = PPOConfig() if self.preset_of is None else preset(self.preset_of)
        return base.replace(**self.changes, total_steps=steps)


CASES = {
    "discrete": Case(CARTPOLE, "CartPole-v1, its preset", {}, CARTPOLE),
    "continuous": Case(PENDULUM, "Pendulum-v1, its preset", {}, PENDULUM),
    "normalized": Case(PENDULUM, "Pendulum-v1, observations and rewards normalized", NORMALIZED),
    "shared": Case(CARTPOLE, "CartPole-v1, shared relu trunk, value clipping", SHARED),
    "multi_discrete": Case(multi_discrete_pendulum, "Pendulum-v1, two dials (MultiDiscrete)", ENTROPY, PENDULUM),
    "multi_binary": Case(multi_binary_pendulum, "Pendulum-v1, four switches (MultiBinary)", ENTROPY, PENDULUM),
    "masked": Case(taxi, "Taxi, masks, Discrete observations", {"learning_rate": 3e-3}),
    "squashed": Case(PENDULUM, "Pendulum-v1, squashed Gaussian", {**SQUASHED, **ENTROPY}, PENDULUM),
    "beta": Case(PENDULUM, "Pendulum-v1, Beta", {**BETA, **ENTROPY}, PENDULUM),
    "kl": Case(CARTPOLE, "CartPole-v1, adaptive KL penalty", {"objective": "kl", "kl_penalty_target": 0.01}, CARTPOLE),
    "both": Case(PENDULUM, "Pendulum-v1, Beta, clip and KL penalty", {**BETA, "objective": "clip+kl"}, PENDULUM),
    "no_clip": Case(CARTPOLE, "CartPole-v1, no clip, learning rate adapted to KL", UNCLIPPED, CARTPOLE),
    "separate": Case(
        PENDULUM, "Pendulum-v1, separate optimizers, dual clip, advantages recomputed", SEPARATE, PENDULUM
    ),
}


class Run(NamedTuple):
    """Identify one run."""

    case: str
    seed: int
    backend: str

    def path(self, root: Path) -> Path:
        """Return its run directory."""
        return root / f"{self.case}-{self.seed}-{self.backend}"


def child(case: str, seed: int, backend: str, steps: int, path: str) -> None:
    """Train one run in this process and print its summary."""
    result = train(CASES[case].env, CASES[case].config(steps), backend=backend, seed=seed, run_dir=path)
    print(json.dumps({**result.summary(), "updates": result.history[-1]["updates"]}))


def measure(run: Run, steps: int, root: Path) -> dict[str, Any]:
    """Train one run in a process of its own."""
    command = [sys.executable, __file__, "--child", *map(str, run), str(steps), str(run.path(root))]
    done = subprocess.run(command, env=one_thread.environment(), stdout=subprocess.PIPE, text=True, check=True)
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{run.case:<11} seed {run.seed:<3} {run.backend:<8} {summary['updates']:>6} updates "
        f"{summary['wall_seconds']:>6.1f} s  {summary['fingerprint'][:16]}",
        file=sys.stderr,
        flush=True,
    )
    return summary


class Verdict(NamedTuple):
    """Hold the text of a table cell, and whether the runs were equal after every iteration and at the end."""

    cell: str
    throughout: bool
    at_the_end: bool


def verdict(case: str, seed: int, backends: list[str], root: Path) -> Verdict:
    """Compare the other backends' runs with the first backend's."""
    result = compare([Run(case, seed, backend).path(root) for backend in backends])
    where: dict[str, list[str]] = {}
    for backend, difference in zip(backends[1:], result.first_differences, strict=True):
        if difference is not None:
            tensor = ", ".join([*difference.counters, *difference.tensors[:1]])
            where.setdefault(f"iteration {difference.iteration}, {tensor}; {difference.outcome}", []).append(backend)
    cell = "; ".join(f"{' and '.join(names)} at {place}" for place, names in where.items())
    return Verdict(cell or "equal", result.equal, len({run.fingerprint for run in result.runs}) == 1)


def table(verdicts: dict[str, dict[int, Verdict]], updates: dict[str, int], seeds: list[int]) -> str:
    """Return a Markdown table: a row per case, a column per seed, and how many seeds were equal."""
    lines = [
        "| case | optimizer steps | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " | equal throughout | at the end |",
        "|" + "---|" * (len(seeds) + 4),
    ]
    for case, row in verdicts.items():
        cells = " | ".join(row[seed].cell for seed in seeds)
        counts = [sum(getattr(v, name) for v in row.values()) for name in ("throughout", "at_the_end")]
        counted = " | ".join(f"{count} of {len(row)}" for count in counts)
        lines.append(f"| {CASES[case].label} | {updates[case]:,} | {cells} | {counted} |")
    return "\n".join(lines)


def main() -> int:
    """Train every run, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), metavar="N")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="backends to compare (all available)")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel runs (1)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, seed, backend, steps, path = options.child
        child(case, int(seed), backend, int(steps), path)
        return 0
    backends = options.backends or [name for name, missing in available_backends().items() if missing is None]
    if len(backends) < 2:
        parser.error(f"there is nothing to compare with {' '.join(backends)}: install another backend's framework")
    runs = [Run(case, seed, name) for case in options.cases for seed in options.seeds for name in backends]
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(options.jobs) as pool:
        root = Path(directory)
        summaries = list(pool.map(lambda run: measure(run, options.steps, root), runs))
        verdicts = {
            case: {seed: verdict(case, seed, backends, root) for seed in options.seeds} for case in options.cases
        }
    updates = {run.case: summary["updates"] for run, summary in zip(runs, summaries, strict=True)}
    print(f"{options.steps:,} steps per run on {', '.join(backends)}\n\n{table(verdicts, updates, options.seeds)}")
    if options.json:
        made = [{"case": run.case, **summary} for run, summary in zip(runs, summaries, strict=True)]
        found = {case: {seed: v._asdict() for seed, v in row.items()} for case, row in verdicts.items()}
        print(json.dumps({"steps": options.steps, "backends": backends, "verdicts": found, "runs": made}))
    return 0 if all(v.at_the_end for row in verdicts.values() for v in row.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
