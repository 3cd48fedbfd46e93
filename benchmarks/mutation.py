"""How much of the arithmetic could be wrong without a test noticing: small mistakes in it, one at a time.

    python benchmarks/mutation.py                              every module, every mutant
    python benchmarks/mutation.py recurrence normalize         those modules
    python benchmarks/mutation.py --sample 100 --seed 1        that many mutants of each, drawn at random
    python benchmarks/mutation.py --json                       the last line is one JSON object

A mutant (`mutants.py` says what is changed) is killed when a test fails under it, or when the tests take five times
as long as they should.  The survivors are printed as line, code before and code after; docs/mutation.md has a reason
for each that is left.  The tests are those of the module (`TESTS`), with hypothesis drawing the same examples every
time.  Each mutant runs in a process of its own, forked before ppocore was imported, so that all that is made of the
module when it is imported is made of the mutant.  Exit status 1 if fewer than 95% of a module's mutants were killed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import json
import os
import random
import resource
import select
import signal
import sys
import time
import warnings
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import numpy as np  # noqa: E402  (once the threads are set)
import pytest  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from mutants import Mutant, mutants  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent

_ESTIMATORS = "recurrence_ways recurrence_details advantages_arguments advantages_details "
_ESTIMATORS += "recurrence gae returns vtrace arguments array_kinds"
_DISTRIBUTIONS = "draws_by_hand distributions continuous_distributions"
TESTS = {
    "advantages": _ESTIMATORS,
    "recurrence": _ESTIMATORS,
    "normalize": "normalize_by_hand normalize_details normalize array_kinds",
    "distributions.base": _DISTRIBUTIONS,
    "distributions.beta": _DISTRIBUTIONS,
    "distributions.discrete": _DISTRIBUTIONS,
    "distributions.gaussian": _DISTRIBUTIONS,
    "distributions.special": "special " + _DISTRIBUTIONS,
}

MEMORY = 4 << 30
"""Bytes that a mutant may take beyond what the clean module takes."""


class Mutated(MetaPathFinder, Loader):
    """Imports one module from a changed syntax tree, and leaves the others alone."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's specification, if it is the one."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: Any) -> None:
        """Run the changed module."""
        module.contextlib_nullcontext = __import__("contextlib").nullcontext
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # such as `1 is 2`
            exec(compile(self.tree, str(self.path), "exec"), vars(module))


class Watch:
    """A pytest plugin: the likeliest to fail first, and what each test took and which one failed."""

    def __init__(self, order: dict[str, float]) -> None:
        self.order = order
        self.seconds: dict[str, float] = {}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sort the tests."""
        items.sort(key=lambda item: self.order.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note how long a test took, and whether it failed."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """Note a test file that could not even be imported."""
        if report.failed:
            self.failed = "collection"


def run_tests(module: str, tree: ast.Module, order: dict[str, float]) -> dict[str, Any]:
    """Run a module's tests in this process, which must not have imported ppocore; stops at the first failure."""
    path = ROOT / "ppocore" / Path(*module.split(".")).with_suffix(".py")
    sys.meta_path.insert(0, Mutated(f"ppocore.{module}", path, tree))
    files = [ROOT / "tests" / f"test_{name}.py" for name in TESTS[module].split()]
    watch = Watch(order)
    flags = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--capture=no"]
    code = pytest.main([*flags, *[str(file) for file in files if file.exists()]], plugins=[watch])
    return {"passed": code == 0, "failed": watch.failed or f"exit {int(code)}", "seconds": watch.seconds}


def in_a_fork(module: str, tree: ast.Module, order: dict[str, float], mutant: Mutant | None, limit: float) -> Any:
    """What `run_tests` returns, from a process of its own; None if it took longer than `limit`, or died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        result: dict[str, Any] = {"passed": False, "failed": "died", "seconds": {}}
        try:
            if mutant is not None:
                mutant.apply()
            result = run_tests(module, ast.fix_missing_locations(tree), order)
        except BaseException as error:
            result["failed"] = repr(error)
        with os.fdopen(writing, "w") as pipe:
            json.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    text = b""
    deadline = time.monotonic() + limit
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = pipe.read(1 << 16)
            if not part:
                break
            text += part
    for kill, number in ((os.killpg, child), (os.kill, child)):
        with contextlib.suppress(ProcessLookupError):
            kill(number, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(text)
    except ValueError:
        return None


def judge(module: str, sample: int | None, seed: int) -> dict[str, Any]:
    """Let the tests judge the mutants of a module."""
    path = ROOT / "ppocore" / Path(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text())
    found = mutants(tree)
    if sample is not None and sample < len(found):
        found = sorted(random.Random(seed).sample(found, sample), key=lambda mutant: mutant.line)
    began = time.monotonic()
    clean = in_a_fork(module, tree, {}, None, 600.0)
    taken = time.monotonic() - began
    if clean is None or not clean["passed"]:
        raise SystemExit(f"the tests of {module} fail without any mistake: {clean and clean['failed']}")
    order = dict(clean["seconds"])  # the quickest first, and before them those that found the last mistakes
    survivors, killers, turn = [], dict[str, int](), 0.0
    for mutant in found:
        result = in_a_fork(module, tree, order, mutant, 5.0 * taken + 5.0)
        if result is not None and result["passed"]:
            old, new = mutant.difference()
            survivors.append({"line": mutant.line, "old": old, "new": new})
            print(f"{path.relative_to(ROOT)}:{mutant.line}\n    - {old}\n    + {new}", flush=True)
        else:
            name = "timeout" if result is None else result["failed"]
            killers[name] = killers.get(name, 0) + 1
            if clean["seconds"].get(name, 9.0) < 0.2:
                turn -= 1.0
                order[name] = turn
    return {
        "mutants": len(found),
        "killed": len(found) - len(survivors),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "survivors": survivors,
        "killers": dict(sorted(killers.items(), key=lambda pair: -pair[1])),
    }


def main() -> int:
    """Judge the modules and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="only that many mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.modules) - set(TESTS)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(TESTS)}")
    # The same examples every time, and no time spent on making them small.
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutation")
    os.chdir(ROOT)
    np.random.default_rng(0).normal()
    import scipy.stats  # noqa: F401  what the tests import, once for all the forks
    import torch

    torch.set_num_threads(1)
    assert not any(name.split(".")[0] == "ppocore" for name in sys.modules)

    rows = {module: judge(module, options.sample, options.seed) for module in options.modules or TESTS}
    print("| module | mutants | killed | share | minutes |\n|---|---:|---:|---:|---:|")
    for name, row in rows.items():
        share = row["killed"] / max(1, row["mutants"])
        print(f"| {name} | {row['mutants']} | {row['killed']} | {share:.1%} | {row['minutes']} |")
    if options.json:
        print(json.dumps(rows))
    return 0 if all(row["killed"] >= 0.95 * row["mutants"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
