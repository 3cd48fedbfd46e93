"""Run the tests against mutants of the arithmetic: small mistakes, one at a time.

    python benchmarks/mutation.py                              every module, every mutant
    python benchmarks/mutation.py recurrence normalize         only these modules
    python benchmarks/mutation.py --sample 100 --seed 1        a random sample of the mutants of each module
    python benchmarks/mutation.py --recorded                   only the survivors that are listed
    python benchmarks/mutation.py --json                       the last line is one JSON object
    python benchmarks/mutation.py --page                       write docs/mutation.md, and run nothing

A mutant (``mutants.py`` defines them) is killed if a test fails, or if the tests take five times as long as they
should. ``mutation_survivors.toml`` lists the modules, their tests, and the survivors by source text with a reason for
each. The command prints survivors that are not listed, and listed mutants that no longer survive. Hypothesis draws the
same examples every time. Each mutant runs in a process of its own, forked before ppocore is imported, so that
everything derived from the module at import comes from the mutant. Exit status 1 if fewer than 95% of a module's
mutants were killed, or if the list is wrong.
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
from collections import Counter
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
os.environ["PPOCORE_NUMBA"] = "0"  # the mutants are NumPy's

import numpy as np  # noqa: E402  (once the threads are set)
import pytest  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from mutants import Mutant  # noqa: E402
from survivors import DATA, PAGE, ROOT, Change, Module, changes, load, page  # noqa: E402

MEMORY = 4 << 30
"""Bytes that a mutant may use beyond what the unchanged module uses."""


class Mutated(MetaPathFinder, Loader):
    """Import one module from a changed syntax tree, and leave the others alone."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the specification of the mutated module, or None for any other."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: Any) -> None:
        """Execute the changed module."""
        module.contextlib_nullcontext = __import__("contextlib").nullcontext
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # such as `1 is 2`
            exec(compile(self.tree, str(self.path), "exec"), vars(module))


class Watch:
    """Sort the tests by how likely they fail, and record their times and the first failure (a pytest plugin)."""

    def __init__(self, order: dict[str, float]) -> None:
        self.order = order
        self.seconds: dict[str, float] = {}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sort the tests."""
        items.sort(key=lambda item: self.order.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Record how long a test took, and whether it failed."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """Record a test file that could not be imported."""
        if report.failed:
            self.failed = "collection"


def run_tests(module: Module, tree: ast.Module, order: dict[str, float]) -> dict[str, Any]:
    """Run a module's tests in this process up to the first failure; ppocore must not be imported yet."""
    sys.meta_path.insert(0, Mutated(module.import_name, module.file, tree))
    watch = Watch(order)
    flags = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--capture=no"]
    code = pytest.main([*flags, *map(str, module.tests)], plugins=[watch])
    return {"passed": code == 0, "failed": watch.failed or f"exit {int(code)}", "seconds": watch.seconds}


def in_a_fork(module: Module, tree: ast.Module, order: dict[str, float], mutant: Mutant | None, limit: float) -> Any:
    """Call ``run_tests`` in a forked process; return None if it took longer than ``limit`` or died."""
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


def judge(module: Module, sample: int | None, seed: int, recorded_only: bool) -> dict[str, Any]:
    """Run the tests against the mutants of a module."""
    tree = ast.parse(module.file.read_text(encoding="utf-8"))
    found = changes(tree)
    total, recorded = len(found), module.recorded()
    if recorded_only:
        found = [pair for pair in found if pair[1] in recorded]
    elif sample is not None and sample < total:
        found = sorted(random.Random(seed).sample(found, sample), key=lambda pair: pair[0].line)
    began = time.monotonic()
    clean = in_a_fork(module, tree, {}, None, 600.0)
    taken = time.monotonic() - began
    if clean is None or not clean["passed"]:
        raise SystemExit(f"the tests of {module.name} fail without a mutant: {clean and clean['failed']}")
    order = dict(clean["seconds"])  # the fastest first, and before them those that killed the last mutants
    survivors, new, killers, turn = Counter[Change](), list[Change](), dict[str, int](), 0.0
    for mutant, change in found:
        result = in_a_fork(module, tree, order, mutant, 5.0 * taken + 5.0)
        if result is not None and result["passed"]:
            survivors[change] += 1
            if survivors[change] > recorded[change]:
                new.append(change)
                show(module, "not listed", change, mutant.line)
        else:
            name = "timeout" if result is None else result["failed"]
            killers[name] = killers.get(name, 0) + 1
            if clean["seconds"].get(name, 9.0) < 0.2:
                turn -= 1.0
                order[name] = turn
    judged = Counter(change for _, change in found)
    whole = recorded_only or len(found) == total
    stale = [change for change in (recorded - survivors).elements() if whole or change in judged]
    for change in stale:
        show(module, "listed, but killed" if change in judged else "listed, but not in the file", change)
    if total != module.mutants:
        print(f"{module.name} has {total} mutants, and {DATA.name} says {module.mutants}", flush=True)
    return {
        "mutants": len(found),
        "killed": len(found) - survivors.total(),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "not_listed": new,
        "listed_wrongly": stale,
        "killers": dict(sorted(killers.items(), key=lambda pair: -pair[1])),
    }


def show(module: Module, what: str, change: Change, line: int | None = None) -> None:
    """Print one change and how it contradicts the list."""
    place = f"{module.file.relative_to(ROOT)}:{line or ''} {change.function}"
    print(f"{what}: {place}\n    - {change.before}\n    + {change.after}", flush=True)


def main() -> int:
    """Run the tests against every module's mutants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modules = load()
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"{', '.join(modules)} (all)")
    parser.add_argument("--sample", type=int, help="size of a random sample of each module's mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (0)")
    parser.add_argument("--recorded", action="store_true", help="run only the survivors that are listed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write docs/mutation.md and exit")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    unknown = set(options.modules) - set(modules)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(modules)}")
    # The same examples every time, and no time spent on shrinking them.
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutation")
    os.chdir(ROOT)
    np.random.default_rng(0).normal()
    import scipy.stats  # noqa: F401  the tests import it; once for all forks
    import torch

    torch.set_num_threads(1)
    assert not any(name.split(".")[0] == "ppocore" for name in sys.modules)

    rows = {
        name: judge(modules[name], options.sample, options.seed, options.recorded)
        for name in options.modules or modules
    }
    print("| module | mutants | killed | share | minutes |\n|---|---:|---:|---:|---:|")
    for name, row in rows.items():
        share = row["killed"] / max(1, row["mutants"])
        print(f"| {name} | {row['mutants']} | {row['killed']} | {share:.1%} | {row['minutes']} |")
    if options.json:
        print(json.dumps(rows))
    right = not any(row["not_listed"] or row["listed_wrongly"] for row in rows.values())
    enough = options.recorded or all(row["killed"] >= 0.95 * row["mutants"] for row in rows.values())
    return 0 if right and enough else 1


if __name__ == "__main__":
    sys.exit(main())
