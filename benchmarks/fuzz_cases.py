"""Run the cases of a fuzzer in forked processes with limits of time and memory, and report those that fail."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ppocore.errors import RunError, UsageError

SECONDS, MEMORY = 30, 2 * 2**30
"""Limits of one case: seconds, and bytes of memory in addition to what the process has when it starts."""

_NOT_A_SENTENCE = re.compile(
    r"\n|Traceback|<class |object at 0x|unsupported operand|not subscriptable|not iterable|has no attribute|"
    r"takes \d+ positional|unexpected keyword|required positional|has no len|must be real number|cannot be interpreted|"
    r"list indices|could not convert|invalid literal|not supported between|unhashable"
)

Case = Callable[[int], tuple[str, str]]
"""A function of a case's number that returns what was tried and the outcome, which begins with ``!`` if it fails."""


class OutOfTime(BaseException):
    """Interrupt a case that exceeds its time."""


def outcome_of(action: Callable[[], str]) -> str:
    """Return what an action gives, or what it raises: as allowed, or beginning with ``!``."""
    try:
        return action()
    except (UsageError, RunError) as error:
        message = str(error)
        ours = message.partition(" could not be made: ")[0]  # what follows is said by the environment
        unclear = _NOT_A_SENTENCE.search(ours) is not None or not message or len(message) > 3000
        return f"{'! unclear ' if unclear else ''}{type(error).__name__}: {message}"
    except OutOfTime:
        return f"! more than {SECONDS} seconds"
    except MemoryError:
        return f"! more than {MEMORY >> 20} MiB"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        file = os.path.basename(where.filename)
        return f"! {type(error).__name__} at {file}:{where.lineno}: {' '.join(str(error).split())[:300]}"


def parser(description: str, count: int) -> argparse.ArgumentParser:
    """Return a parser of the options that all fuzzers have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--count", type=int, default=count, help=f"number of cases ({count})")
    made.add_argument("--seed", type=int, default=0, help="what the cases are drawn from (0)")
    made.add_argument("--case", type=int, help="run only this case, and print its outcome")
    made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    return made


def run(case: Case, options: argparse.Namespace) -> int:
    """Run the cases that the options ask for; return the exit status."""
    if options.case is not None:
        tried, outcome = case(options.case)
        print(f"{tried}: {outcome}")
        return int(outcome.startswith("!"))
    kinds: Counter[str] = Counter()
    failed = 0
    for number, tried, outcome in _outcomes(case, options.count, options.jobs):
        kinds[outcome.split(":")[0].split(" at ")[0]] += 1
        if outcome.startswith("!"):
            failed += 1
            print(f"case {number}, {tried}: {outcome}", flush=True)
    print("| outcome | times |\n|---|---:|")
    for kind, times in kinds.most_common():
        print(f"| {kind} | {times} |")
    print(f"{sum(kinds.values())} cases, {failed} failed")
    return int(failed > 0)


def _outcomes(case: Case, count: int, jobs: int) -> Iterator[tuple[int, str, str]]:
    """Yield the number, what was tried, and the outcome of every case; a process that dies is replaced."""
    context = multiprocessing.get_context("fork")
    shares = {start: list(range(start, count, jobs)) for start in range(min(jobs, count))}
    pipes: dict[Any, tuple[int, Any]] = {}

    def start(share: int) -> None:
        ours, its = context.Pipe()
        process = context.Process(target=_work, args=(case, shares[share], its))
        process.start()
        its.close()
        pipes[ours] = share, process

    for share in shares:
        start(share)
    while pipes:
        ready = multiprocessing.connection.wait(list(pipes), timeout=2 * SECONDS)
        for pipe in ready or list(pipes):
            share, process = pipes[pipe]
            try:
                if not ready:
                    process.kill()
                    raise EOFError
                yield pipe.recv()
                shares[share].pop(0)
            except EOFError:
                del pipes[pipe]
                process.join()
                if shares[share]:
                    number = shares[share].pop(0)
                    yield number, "", f"! the process ended with status {process.exitcode} or did not answer"
                    if shares[share]:
                        start(share)


def _work(case: Case, numbers: list[int], pipe: Any) -> None:
    """Run cases under limits, and send their outcomes."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _out_of_time)
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    for number in numbers:
        signal.alarm(SECONDS)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            try:
                tried, outcome = case(number)
            except BaseException as error:  # of the fuzzer itself
                tried, outcome = "the fuzzer", f"! {type(error).__name__}: {error}"
        signal.alarm(0)
        pipe.send((number, tried, outcome))
    pipe.close()
    sys.stdout.flush()


def _out_of_time(number: int, frame: Any) -> None:
    raise OutOfTime
