"""Check the properties of a candidate one after another, and explain the first that fails."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from ppocore.testing.gae.candidate import Candidate, CandidateError, CandidateTimeout
from ppocore.testing.gae.comparison import Inapplicable, Mismatch
from ppocore.testing.gae.diagnosis import Found, diagnose, fitted
from ppocore.testing.gae.precision import representable
from ppocore.testing.gae.properties import Property
from ppocore.testing.gae.report import GAEFailure, GAEReport
from ppocore.testing.gae.smallest import first_failure, smallest, smallest_large
from ppocore.testing.gae.trajectories import (
    Trajectory,
    diagnostic_trajectories,
    large_trajectory,
    trajectories,
)
from ppocore.testing.report import Diagnosis, Result

LARGE = ((132, 5), (2, 33), (270, 2), (1, 130), (1030, 1))
"""Sizes beyond those of blocks and vectors that kernels work in."""
EXAMPLES = {"numpy": 50, "torch": 50, "paddle": 50, "jax": 12}
"""Number of trajectories by framework; JAX compiles much of a function anew with every call."""
COMPILES = 8.0
"""Seconds that a function may take to compile for a large rollout."""


class Run:
    """Check a candidate's properties, and again as what it turns out to be."""

    def __init__(self, candidate: Candidate, max_examples: int, seed: int) -> None:
        self.candidate, self.max_examples, self.seed = candidate, max_examples, seed

    def report(self, selected: list[Property], name: str, truncation: str, guessed: str) -> GAEReport:
        """Check the properties, explain what failed, and report."""
        candidate, choice, diagnosis = self.candidate, None, None
        results = self.check(candidate, selected)
        if any(result.failure is not None for result in results) or _unusual(candidate):
            found = self._explanation(candidate, results)
            if found.choice is not None or found.precision != candidate.working:
                changed = {"working": found.precision}
                meaning = candidate.meaning if found.choice is None else found.choice.meaning
                candidate = candidate.changed(**changed, meaning=meaning)
                results = self.check(candidate, selected)
                choice = found.choice
                found = diagnose(candidate, _counterexample(results))
            mistakes = tuple((defect.name, defect.says) for defect in found.mistakes)
            hints = tuple(defect.choice for defect in found.mistakes)
            diagnosis = Diagnosis(mistakes, found.attempted, hints)
        if all(result.failure is None for result in results):
            diagnosis = None
        return GAEReport(
            name,
            candidate.arrays,
            candidate.framework.dtype,
            candidate.working,
            guessed,
            self.seed,
            self.max_examples,
            tuple(results),
            diagnosis,
            choice,
            truncation,
        )

    def _explanation(self, candidate: Candidate, results: list[Result]) -> Found:
        failure = next((result.failure for result in results if result.failure is not None), None)
        if failure is not None and failure.too_slow:
            return Found((), None, candidate.working, attempted=False)
        return diagnose(candidate, _counterexample(results))

    def check(self, candidate: Candidate, selected: list[Property]) -> list[Result]:
        """Check each property; only the first that fails is explained in full."""
        results: list[Result] = []
        for checked in selected:
            if checked.needs_valid and not candidate.takes_valid:
                results.append(Result(checked.name, checked.says, None, "it has no parameter valid"))
                continue
            first = all(result.passed is not False for result in results)
            results.append(self._check(candidate, checked, first=first))
            failure = results[-1].failure
            if failure is not None and not failure.has_advantages:
                break  # without advantages every other property would fail in the same way
        return results

    def _check(self, candidate: Candidate, checked: Property, *, first: bool) -> Result:
        """Check one property on trajectories that hypothesis draws, and make a counterexample smaller if ``first``."""
        held, reason = 0, "it applied to no example"

        def prepare(trajectory: Trajectory) -> Trajectory:
            return representable(candidate, fitted(trajectory, candidate.meaning))

        def fails(trajectory: Trajectory) -> Mismatch | None:
            nonlocal held, reason
            try:
                checked.check(candidate, trajectory)
            except Inapplicable as inapplicable:
                reason = str(inapplicable) or reason
                return None
            except Mismatch as mismatch:
                return mismatch
            held += 1
            return None

        tried = self._large(candidate) if checked.large else self._drawn(candidate, checked)
        if isinstance(tried, str):
            return Result(checked.name, checked.says, None, tried)
        failure = first_failure(map(prepare, tried), fails)
        examples = held
        if failure is None:
            return Result(checked.name, checked.says, examples, "" if examples else reason)
        if isinstance(failure[1].__cause__, CandidateTimeout):
            first = False  # every further call may take as long
        if first and checked.large:
            failure = smallest_large(failure, fails, prepare)
        elif first:
            tries, steps = (15, 40) if candidate.arrays == "jax" else (60, 300)
            failure = smallest(failure, fails, prepare, invalid=checked.needs_valid, tries=tries, steps=steps)
        found = GAEFailure.of(failure[1], candidate, candidate.function)
        return Result(checked.name, checked.says, examples, failure=found)

    def _drawn(self, candidate: Candidate, checked: Property) -> list[Trajectory]:
        compiled = candidate.arrays == "jax"
        return draw(
            self.max_examples,
            self.seed,
            max_length=4 if compiled else 8,
            max_columns=2 if compiled else 3,
            invalid=checked.needs_valid,
            extreme=candidate.framework.dtype in ("float64", "float32"),
            long=not checked.needs_valid and not compiled,
        )

    def _large(self, candidate: Candidate) -> list[Trajectory] | str:
        """Return large rollouts, or why there are none."""
        if candidate.framework.dtype in ("float16", "bfloat16"):
            return f"rounding in {candidate.framework.dtype} would hide everything"
        if candidate.arrays != "jax":
            return [large_trajectory(*size) for size in LARGE]
        seconds = _predicted(candidate, LARGE[0])
        if seconds > COMPILES:
            return f"a rollout of {LARGE[0][0]} rows would take about {seconds:.0f} s to compile"
        return [large_trajectory(*LARGE[0])]


def _predicted(candidate: Candidate, size: tuple[int, int]) -> float:
    """Return about how many seconds the first call with a large rollout takes, from those with small ones."""
    times = []
    for rows in (8, 16):
        began = time.perf_counter()
        with suppress(CandidateError):
            candidate.raw(large_trajectory(rows, size[1]))
        times.append(time.perf_counter() - began)
    growth = max(times[1] / times[0], 1.0)
    return float(times[1] * growth ** np.log2(size[0] / 16))


@lru_cache(maxsize=8)
def draw(max_examples: int, seed: int, **kind: Any) -> list[Trajectory]:
    """Draw trajectories with hypothesis, once for all properties.

    Args:
        max_examples: number of trajectories.
        seed: equal seeds give equal trajectories.
        kind: arguments of `trajectories`.
    """
    drawn: list[Trajectory] = []

    @seeded(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(trajectories(**kind))
    def run(trajectory: Trajectory) -> None:
        drawn.append(trajectory)

    run()
    return drawn


def _unusual(candidate: Candidate) -> bool:
    """Tell whether it returns something else than the advantages, or the advantages and the returns."""
    if candidate.meaning.results is not None:
        return False
    try:
        keys = candidate.raw(representable(candidate, diagnostic_trajectories(count=1)[0])).keys
    except CandidateError:
        return False
    return keys not in ([0], [0, 1])


def _counterexample(results: list[Result]) -> Trajectory | None:
    return next((result.failure.trajectory for result in results if result.failure is not None), None)
