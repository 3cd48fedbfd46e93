"""Train, interrupt and resume a short run of every environment of environments.toml whose package is installed.

    python benchmarks/environments.py                       what results.jsonl does not have yet, then the table
    python benchmarks/environments.py minigrid envpool      these packages alone
    python benchmarks/environments.py --again --page        everything anew, and docs/environments.md from it
    python benchmarks/environments.py --json                the last line is one JSON object

Every environment has a process of its own with a time limit, and in it one each for a run in one go, for the same run
stopped after half of its iterations, for the rest of that, and for an evaluation of one episode. For a sample of each
package the run in worker processes is compared, too. Packages that cannot be installed together are measured from
several virtual environments, one after the other, into one file of results.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import environment_makers
import environment_table
import gymnasium as gym
import numpy as np
import one_thread

from ppocore import PPOConfig, evaluate, resume, train

NO_DISPLAY = dict.fromkeys(("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"), "dummy")
DATA = Path(__file__).with_suffix(".toml")
RESULTS = DATA.parent.parent / "build" / "environments.jsonl"
ITERATIONS = 6
CONFIG = PPOConfig(
    num_envs=environment_makers.ENVS,
    num_steps=32,
    total_steps=ITERATIONS * environment_makers.ENVS * 32,
    minibatch_size=32,
    update_epochs=2,
    hidden_sizes=(8,),
    normalize_observations=True,
    normalize_rewards=True,
)
EPISODE_STEPS = 200  # at most, of the evaluated episode
SAMPLE = 2  # environments of each group that are stepped in worker processes, too


@dataclass(frozen=True)
class Case:
    """Hold one environment: where it is from and how it is made."""

    package: str
    id: str
    module: str = ""  # imported first, because it registers the ids
    register: str = ""  # called first, for the same reason
    maker: str = ""  # a function of environment_makers, in place of gymnasium.make
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[Any, ...] = ()
    note: str = ""  # for the table: what it is made with
    sampled: bool = False
    num_steps: int = CONFIG.num_steps

    @property
    def key(self) -> str:
        """Return its name among the results."""
        return " ".join(filter(None, (self.package, self.id, self.note)))

    def register_ids(self) -> None:
        """Import the module and call the function that register the id."""
        if self.module:
            importlib.import_module(self.module)
        if self.register:
            environment_makers.attribute(self.register)()

    def make(self) -> Any:
        """Return what `train` takes: an id, a callable, or a vector environment."""
        if self.maker:
            function = getattr(environment_makers, self.maker)
            make = partial(function, self.id, **self.kwargs)
            return make() if environment_makers.is_vector(function) else make
        if self.wrappers:
            return partial(environment_makers.wrapped, self.id, self.kwargs, self.wrappers)
        return f"{self.module}:{self.id}" if self.module else self.id


def cases(data: Path = DATA) -> list[Case]:
    """Read every case."""
    found = []
    for group in tomllib.loads(data.read_text(encoding="utf-8"))["group"]:
        ids, wrappers = group.pop("ids"), tuple(group.pop("wrappers", ()))
        for position, environment_id in enumerate(ids):
            found.append(Case(id=environment_id, wrappers=wrappers, sampled=position < SAMPLE, **group))
    keys = [case.key for case in found]
    assert len(keys) == len(set(keys)), "two cases have one name"
    return found


def in_a_fork(work: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a function gives in a process of its own, and why it gives nothing."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def report() -> None:
        random.seed()  # unlike a fork, another process does not share what these draw
        np.random.seed()  # noqa: NPY002 (it is the global generator that environments draw from)
        try:
            theirs.send((work(), ""))
        except BaseException as error:
            theirs.send((None, f"{type(error).__name__}: {error}"))

    child = context.Process(target=report)
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        child.join()
        return None, f"the process ended with exit status {child.exitcode}"
    finally:
        child.join(5)
        child.kill()


def describe(case: Case) -> dict[str, str]:
    """Return the kinds of the observation and the action space."""
    made = case.make()
    if not isinstance(made, gym.vector.VectorEnv):
        made = gym.make(made, **case.kwargs) if isinstance(made, str) else made()
    with closing(made):
        vector = isinstance(made, gym.vector.VectorEnv)
        observation, action = (
            getattr(made, f"{'single_' if vector else ''}{space}_space") for space in ("observation", "action")
        )
        return {"observation": environment_table.kind(observation), "action": environment_table.kind(action)}


def arguments(case: Case) -> dict[str, Any]:
    """Return the constructor's arguments where the environment is given by its id."""
    return {"env_kwargs": case.kwargs} if case.kwargs and not (case.maker or case.wrappers) else {}


def train_whole(case: Case, vectorization: str = "sync") -> str:
    """Train in one go, and return the fingerprint."""
    made = case.make()
    result = train(made, _config(case, made), runtime={"vectorization": vectorization}, **arguments(case))
    return result.fingerprint


def train_half(case: Case, directory: Path) -> None:
    """Train, and stop after half of the iterations."""

    def stop(run: Any) -> None:
        if run.progress.iterations == ITERATIONS // 2:
            run.stop("half of it")

    made = case.make()
    result = train(made, _config(case, made), run_dir=directory, callbacks=[stop], **arguments(case))
    assert result.stop_reason, "the run was not stopped"


def resume_rest(case: Case, directory: Path) -> str:
    """Resume the run to its end, and return the fingerprint."""
    made = case.make()
    needed = case.module or not isinstance(made, str)  # a module's name in a file is not imported unless it is given
    return resume(directory, env=made if needed else None).fingerprint


def evaluate_one(case: Case, directory: Path) -> int:
    """Evaluate the policy for one episode, and return its length."""
    from ppocore import Policy

    def make() -> Any:
        made = case.make()
        environment = gym.make(made, **case.kwargs) if isinstance(made, str) else made()
        return gym.wrappers.TimeLimit(environment, EPISODE_STEPS)

    policy = Policy.load(directory / "policy.safetensors")
    return evaluate(policy, make, episodes=1).episode_lengths[0]


def _config(case: Case, made: Any) -> PPOConfig:
    envs = made.num_envs if isinstance(made, gym.vector.VectorEnv) else CONFIG.num_envs
    steps = envs * case.num_steps
    return CONFIG.replace(
        num_envs=envs, num_steps=case.num_steps, minibatch_size=steps // 2, total_steps=ITERATIONS * steps
    )


def nothing_yet(case: Case) -> dict[str, Any]:
    """Return a row in which nothing was found out."""
    found = dict.fromkeys(("problem", "observation", "action", "resumed", "async", "evaluated"), "")
    versions = {"version": version(case.package), "gymnasium": version("gymnasium")}
    versions["python"] = platform.python_version()
    return {"package": case.package, "id": case.id, "with": case.note, "trained": False} | found | versions


def measure(case: Case) -> dict[str, Any]:
    """Return what happened to one environment."""
    began = time.perf_counter()
    row = nothing_yet(case)
    try:
        case.register_ids()
    except Exception as error:
        return row | {"problem": f"{type(error).__name__}: {error}"}
    whole, row["problem"] = in_a_fork(partial(train_whole, case))
    row["trained"] = whole is not None
    spaces, _ = in_a_fork(partial(describe, case))
    row |= spaces or {}
    if whole is None:
        return row
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        _, problem = in_a_fork(partial(train_half, case, directory))
        if not problem:
            resumed, problem = in_a_fork(partial(resume_rest, case, directory))
        row["resumed"] = problem or ("yes" if resumed == whole else "another fingerprint")
        if row["resumed"] == "yes":
            length, problem = in_a_fork(partial(evaluate_one, case, directory))
            row["evaluated"] = problem or f"{length} steps"
        else:
            again, problem = in_a_fork(partial(train_whole, case))
            row["repeated"] = problem or ("yes" if again == whole else "no")
    if case.sampled and not row["resumed"].startswith("UsageError"):
        other, problem = in_a_fork(partial(train_whole, case, "async"))
        row["async"] = problem or ("yes" if other == whole else "another fingerprint")
    return row | {"seconds": round(time.perf_counter() - began, 1)}


def measure_apart(position: int, data: Path, seconds: float) -> dict[str, Any]:
    """Measure one case in a process of its own, which is ended after some time with all that it started."""
    case = cases(data)[position]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        command = [sys.executable, str(Path(__file__).resolve()), "--data", str(data), "--one", str(position), str(out)]
        with (Path(folder) / "printed").open("w+", errors="replace") as printed:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=NO_DISPLAY | one_thread.environment(),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                start_new_session=True,
            )
            try:
                child.wait(seconds)
                problem = f"the process ended with exit status {child.returncode}"
            except subprocess.TimeoutExpired:
                problem = f"not done after {seconds:g} s"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if out.exists():
            row: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
            return row
    return nothing_yet(case) | {"problem": problem}


def is_installed(package: str) -> bool:
    """Tell whether a distribution is installed here."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the results by name; the last one of each counts."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry.pop("key"): entry for entry in map(json.loads, lines)}


def run(wanted: Iterable[int], everything: list[Case], options: argparse.Namespace) -> None:
    """Measure cases, and append each result to the file as soon as it is there."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is running is ended, too
    for position in wanted:
        case = everything[position]
        row = measure_apart(position, options.data, options.seconds)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": case.key} | row) + "\n")
        said = row["problem"] or f"resumed: {row['resumed']}, async: {row['async'] or '-'}, {row['evaluated']}"
        print(f"{case.key}: {said}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="all that are installed")
    parser.add_argument("--again", action="store_true", help="measure also what has results")
    parser.add_argument("--failed", action="store_true", help="measure again what did not come to the same fingerprint")
    parser.add_argument("--seconds", type=float, default=180.0, help="time for one environment (180)")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="write the table into docs/environments.md")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data = options.data.resolve()
    everything = cases(options.data)
    if options.one:
        warnings.simplefilter("ignore")
        row = measure(everything[int(options.one[0])])
        Path(options.one[1]).write_text(json.dumps(row), encoding="utf-8")
        return
    unknown = set(options.packages) - {case.package for case in everything}
    if unknown:
        parser.error(f"there is no package {unknown.pop()} in {options.data.name}")
    results = read_results(options.results)
    again = {key for key, row in results.items() if options.again or (options.failed and row["resumed"] != "yes")}
    run(
        [
            position
            for position, case in enumerate(everything)
            if (not options.packages or case.package in options.packages)
            and is_installed(case.package)
            and (case.key not in results or case.key in again)
        ],
        everything,
        options,
    )
    results = read_results(options.results)
    rows = [results[case.key] for case in everything if case.key in results]
    if options.page:
        environment_table.write(rows)
    print(environment_table.table(rows))
    if options.json:
        print(json.dumps({"environments": rows}))


if __name__ == "__main__":
    main()
