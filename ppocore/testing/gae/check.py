"""Check every property of an advantage function, and report which known mistake it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.gae.adapters import Adapted, canonical, flags_as, truncation_in_rewards
from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.guess import guess
from ppocore.testing.gae.meaning import Meaning, read_results
from ppocore.testing.gae.precision import find_working
from ppocore.testing.gae.properties import PROPERTIES, Property
from ppocore.testing.gae.report import GAEReport
from ppocore.testing.gae.run import EXAMPLES, Run

TRUNCATIONS = ("next_values", "in_rewards")


def check_gae(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    dtype: str | None = None,
    flags: str | None = None,
    truncation: str = "next_values",
    results: str | Mapping[Any, str] | None = None,
    returns: str = "lambda",
    normalized: bool = False,
    whole_episodes: bool = False,
    estimator: str = "gae",
    gamma: float | None = None,
    lam: float | None = None,
    valid: bool | None = None,
    max_examples: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> GAEReport:
    """Check an implementation of generalized advantage estimation.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, gamma, lam), time-major arrays (T, N) as
            described in `ppocore.advantages`, and returns the advantages, or the advantages and the returns. Another
            signature is guessed from the names and the number of its parameters and from calls; the report says what it
            was taken for. An adapter, such as `from_dones`, tells it.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: floating-point format of its arrays: ``float64``, ``float32``, ``float16`` or ``bfloat16``; the
            framework's default by default. It is judged in this format, or in a coarser one that it computes in.
        flags: what flags are handed out as: ``bool``, ``float`` (the format of the values) or ``int``; by default the
            first of these that it takes.
        truncation: ``next_values`` if the function bootstraps at a truncation, or ``in_rewards`` if its caller adds
            ``gamma * next_values`` to the reward there, as some libraries do.
        results: what it returns, if not the advantages, or the advantages and the returns: ``"returns, advantages"``,
            ``"returns"``, ``"advantages, returns, _"``, or for a dictionary ``{"adv": "advantages"}``.
        returns: what its returns are: ``lambda`` for advantages and values, ``rewards_to_go``, or ``any``, which is not
            checked.
        normalized: whether it normalizes the advantages over the rollout.
        whole_episodes: whether it is meant for whole episodes, so that nothing follows the last row.
        estimator: ``gae``, or ``vtrace`` for the policy-gradient advantage of V-trace on policy.
        gamma: the only discount that it is meant for, from 0 to 1; any by default.
        lam: the only lambda that it is meant for, from 0 to 1, such as 1.0 for a Monte Carlo estimate; any by default.
        valid: whether to check rows that are not transitions; by default, if the function has a parameter ``valid``,
            which is then passed.
        max_examples: number of trajectories for each property; 50, and 12 for JAX, by default.
        seed: seed of the trajectories; equal seeds give equal trajectories.
        seconds: time limit of a call; 5, and 60 for JAX, by default.
        properties: names from `ppocore.testing.gae.properties`; all by default.
        raise_on_failure: whether to raise an error if a property does not hold, or a choice is not declared.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: the candidate is not a function, its signature cannot be guessed, a property or a choice is unknown,
            or a framework is not installed.
    """
    if truncation not in TRUNCATIONS:
        raise UsageError(f"truncation={truncation!r} is unknown: use one of {', '.join(TRUNCATIONS)}")
    meaning = Meaning(read_results(results), returns, normalized, whole_episodes, estimator, gamma, lam)
    selected = _select(properties)
    adapted, guessed = _adapted(function, arrays, dtype, meaning, valid, flags)
    if flags is not None:
        adapted = flags_as(adapted, flags)
    if truncation == "in_rewards":
        adapted = truncation_in_rewards(adapted)
    candidate = Candidate(
        adapted.function, arrays=arrays, dtype=dtype, signature=adapted.signature, meaning=meaning, seconds=seconds
    )
    candidate.choose_flags()
    candidate.working = find_working(candidate)
    run = Run(candidate, EXAMPLES[arrays] if max_examples is None else max_examples, seed)
    report = run.report(selected, adapted.__qualname__, truncation, guessed)
    if raise_on_failure:
        report.raise_if_failed()
    return report


def check_returns(function: Callable[..., Any], **options: Any) -> GAEReport:
    """Check an implementation of discounted returns, with or without lambda.

    The return of a step is its advantage plus its value, whatever the values are: for a function without a parameter
    lambda that of a Monte Carlo estimate, bootstrapped where the episode did not terminate.

    ::

        check_returns(f)  # f(rewards, dones, last_values, gamma), for instance

    Args:
        function: the candidate, as for `check_gae`, but that it returns the returns alone; values may be missing among
            its arguments.
        options: other arguments of `check_gae`.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: as for `check_gae`.
    """
    options = {"results": "returns", **options}
    if not isinstance(function, Adapted) and callable(function):
        arrays, dtype = options.get("arrays", "numpy"), options.get("dtype")
        found = guess(function, arrays, dtype, Meaning(read_results(options["results"])), options.get("flags"))
        function = function if found is None else found[0]
    if "lam" not in options and isinstance(function, Adapted) and not function.signature.has("lam"):
        options["lam"] = 1.0
    return check_gae(function, **options)


def _adapted(
    function: Callable[..., Any],
    arrays: str,
    dtype: str | None,
    meaning: Meaning,
    valid: bool | None,
    flags: str | None,
) -> tuple[Adapted, str]:
    """Return a function with its signature, and what it was taken for if that was guessed."""
    if isinstance(function, Adapted):
        return function, ""
    if not callable(function):
        raise UsageError(f"the candidate is {function!r}, expected a function that returns advantages")
    found = guess(function, arrays, dtype, meaning, flags)
    return (canonical(function, valid), "") if found is None else found


def _select(names: Iterable[str] | None) -> list[Property]:
    if names is None:
        return PROPERTIES
    known = {checked.name: checked for checked in PROPERTIES}
    selected = list(names)
    unknown = [name for name in selected if name not in known]
    if unknown:
        raise UsageError(f"there is no property {unknown[0]!r}: choose from {', '.join(known)}")
    return [known[name] for name in selected]


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
