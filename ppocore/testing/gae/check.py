"""Check every property of an advantage function, and report which known mistake it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from ppocore.errors import UsageError
from ppocore.testing.gae.adapters import truncation_in_rewards
from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.comparison import Inapplicable, Mismatch
from ppocore.testing.gae.diagnosis import diagnose
from ppocore.testing.gae.properties import PROPERTIES, Property
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
    """Check an implementation of generalized advantage estimation.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, gamma, lam), time-major arrays (T, N) as
            described in `ppocore.advantages`, and returns the advantages, or the advantages and the returns. Other
            signatures need an adapter: `from_dones`, `batch_major`, `episode_lists` or `token_level`.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        truncation: ``next_values`` if the function bootstraps at a truncation, or ``in_rewards`` if its caller adds
            ``gamma * next_values`` to the reward there, as some libraries do.
        valid: whether to check rows that are not transitions; by default, if the function has a parameter ``valid``,
            which is then passed.
        max_examples: number of trajectories for each property.
        seed: seed of the trajectories; equal seeds give equal trajectories.
        seconds: time limit of a call.
        properties: names from `ppocore.testing.gae.properties`; all by default.
        raise_on_failure: whether to raise an error if a property does not hold.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold.
        UsageError: the candidate is not a function, a property or a choice is unknown, or a framework is not installed.
    """
    if truncation not in TRUNCATIONS:
        raise UsageError(f"truncation={truncation!r} is unknown: use one of {', '.join(TRUNCATIONS)}")
    name = str(getattr(function, "__qualname__", type(function).__name__))
    if truncation == "in_rewards":
        function = truncation_in_rewards(function)
    candidate = Candidate(function, arrays=arrays, valid=valid, seconds=seconds)
    results: list[GAEResult] = []
    for checked in _select(properties):
        if checked.needs_valid and not candidate.takes_valid:
            results.append(GAEResult(checked.name, checked.says, None, "it has no parameter valid"))
            continue
        first = all(result.passed is not False for result in results)
        results.append(_check(checked, candidate, max_examples, seed, shrink=first))
        failure = results[-1].failure
        if failure is not None and not failure.has_advantages:
            break  # without advantages every other property would fail in the same way
    report = GAEReport(name, arrays, truncation, seed, max_examples, tuple(results), _diagnose(candidate, results))
    if raise_on_failure:
        report.raise_if_failed()
    return report


def _select(names: Iterable[str] | None) -> list[Property]:
    if names is None:
        return PROPERTIES
    known = {checked.name: checked for checked in PROPERTIES}
    selected = list(names)
    unknown = [name for name in selected if name not in known]
    if unknown:
        raise UsageError(f"there is no property {unknown[0]!r}: choose from {', '.join(known)}")
    return [known[name] for name in selected]


def _check(checked: Property, candidate: Candidate, max_examples: int, seed: int, *, shrink: bool) -> GAEResult:
    """Check one property on trajectories that hypothesis draws, and shrink a counterexample if ``shrink``."""
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
    return GAEResult(checked.name, checked.says, held, "" if held else "it applied to no example")


def _diagnose(candidate: Candidate, results: list[GAEResult]) -> Diagnosis | None:
    failures = [result.failure for result in results if result.failure is not None]
    if not failures:
        return None
    if not failures[0].has_advantages:
        return Diagnosis((), attempted=False)
    found = diagnose(candidate, failures[0].trajectory)
    return Diagnosis(tuple((defect.name, defect.says) for defect in found))


def gae_suite(function: Callable[..., Any], **settings: Any) -> type:
    """Make a class of pytest tests, one for each property of an advantage function.

    ::

        from ppocore.testing import gae_suite
        TestGAE = gae_suite(my_gae)

    Args:
        function: the candidate, as for `check_gae`.
        settings: other arguments of `check_gae`.
    """

    def test(name: str) -> Callable[[Any], None]:
        def run(self: Any) -> None:
            check_gae(function, properties=[name], **settings)

        return run

    tests = {f"test_{checked.name}": test(checked.name) for checked in PROPERTIES}
    for name, test_function in tests.items():
        test_function.__name__, test_function.__doc__ = name, None
    return type("TestGAE", (), {"__doc__": f"Properties of {getattr(function, '__name__', 'a candidate')}.", **tests})
