"""`check_gae`: every property of an advantage function, and a report that says which mistake it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from ppocore.errors import UsageError
from ppocore.testing.gae.adapters import truncation_in_rewards
from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.diagnosis import diagnose
from ppocore.testing.gae.properties import PROPERTIES, Inapplicable, Mismatch, Property
from ppocore.testing.gae.report import Diagnosis, GAEFailure, GAEReport, GAEResult
from ppocore.testing.gae.trajectories import Trajectory, trajectories

TRUNCATIONS = ("next_values", "in_rewards")


def check_gae(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    truncation: str = "next_values",
    valid: bool | None = None,
    max_examples: int = 50,
    seed: int = 0,
    seconds: float = 5.0,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> GAEReport:
    """Check somebody's generalized advantage estimation.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N) with time
            first, as described in `ppocore.advantages`, and gives the advantages, or the advantages and the returns.
            Others come in by an adapter: `from_dones`, `batch_major`, `episode_lists`, `token_level`.
        arrays: what it takes and gives: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        truncation: a choice to declare: ``in_rewards`` where the caller is to add ``gamma * next_values`` to the
            rewards at a truncation, as some libraries do, and the function itself does not bootstrap there.
        valid: whether rows that are no transitions are checked; by default where the function has a parameter
            ``valid``, which is then passed.
        max_examples: trajectories tried for each property.
        seed: of the trajectories: the same seed tries the same ones.
        seconds: how long a call may take.
        properties: names from `ppocore.testing.gae.properties`; all if not given.
        raise_on_failure: whether a property that does not hold is raised.

    Returns:
        The report; ``str(report)`` is what a failure says.

    Raises:
        AssertionError: some property does not hold.
        UsageError: (a `ValueError`) a candidate that is no function, an unknown property or choice, or a framework that
            is not installed.
    """
    if truncation not in TRUNCATIONS:
        raise UsageError(f"truncation={truncation!r} is unknown: use one of {', '.join(TRUNCATIONS)}")
    name = str(getattr(function, "__qualname__", type(function).__name__))
    if truncation == "in_rewards":
        function = truncation_in_rewards(function)
    candidate = Candidate(function, arrays=arrays, valid=valid, seconds=seconds)
    results: list[GAEResult] = []
    for checked in _chosen(properties):
        if checked.needs_valid and not candidate.takes_valid:
            results.append(GAEResult(checked.name, checked.says, None, "it has no parameter valid"))
            continue
        first = all(result.passed is not False for result in results)
        results.append(_tried(checked, candidate, max_examples, seed, shrink=first))
        failure = results[-1].failure
        if failure is not None and not failure.trajectory_matters:
            break  # it gives no advantages at all: the other properties would say the same
    report = GAEReport(name, arrays, truncation, seed, max_examples, tuple(results), _diagnosed(candidate, results))
    if raise_on_failure:
        report.raise_if_failed()
    return report


def _chosen(names: Iterable[str] | None) -> list[Property]:
    if names is None:
        return PROPERTIES
    known = {checked.name: checked for checked in PROPERTIES}
    asked = list(names)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise UsageError(f"there is no property {unknown[0]!r}: choose from {', '.join(known)}")
    return [known[name] for name in asked]


def _tried(checked: Property, candidate: Candidate, max_examples: int, seed: int, *, shrink: bool) -> GAEResult:
    """One property, over what hypothesis draws; the smallest example that fails if ``shrink``."""
    held = 0

    @seeded(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(trajectories(invalid=checked.needs_valid, long=not checked.needs_valid))
    def run(trajectory: Trajectory) -> None:
        nonlocal held
        try:
            checked.check(candidate, trajectory)
        except Inapplicable:
            return
        held += 1

    try:
        run()
    except Mismatch as mismatch:
        return GAEResult(checked.name, checked.says, held, failure=GAEFailure.of(mismatch, candidate))
    return GAEResult(checked.name, checked.says, held, "" if held else "no example said anything about it")


def _diagnosed(candidate: Candidate, results: list[GAEResult]) -> Diagnosis | None:
    failures = [result.failure for result in results if result.failure is not None]
    if not failures:
        return None
    if not failures[0].trajectory_matters:
        return Diagnosis((), asked=False)
    found = diagnose(candidate, failures[0].trajectory)
    return Diagnosis(tuple((defect.name, defect.says) for defect in found))


def gae_suite(function: Callable[..., Any], **settings: Any) -> type:
    """A class of tests for pytest, one for each property of an advantage function.

    ::

        from ppocore.testing import gae_suite
        TestGAE = gae_suite(my_gae)

    Args:
        function: as for `check_gae`.
        settings: likewise.
    """

    def test(name: str) -> Callable[[Any], None]:
        def run(self: Any) -> None:
            check_gae(function, properties=[name], **settings)

        return run

    tests = {f"test_{checked.name}": test(checked.name) for checked in PROPERTIES}
    for name, made in tests.items():
        made.__name__, made.__doc__ = name, None
    return type("TestGAE", (), {"__doc__": f"What {getattr(function, '__name__', 'it')} is held to.", **tests})
