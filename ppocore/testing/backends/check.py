"""Check every property of a backend on problems that hypothesis generates, and report the results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from threadpoolctl import threadpool_limits

from ppocore.backend import BackendFactory
from ppocore.networks import NetworkSpec
from ppocore.registry import backend_factory
from ppocore.testing.backends.comparison import Inapplicable, Property
from ppocore.testing.backends.problems import Problem
from ppocore.testing.backends.properties import PROPERTIES
from ppocore.testing.backends.report import BackendReport, Failure, PropertyResult
from ppocore.testing.backends.reproduction import reproduction
from ppocore.testing.backends.strategies import edge_problems, runs_of_steps
from ppocore.testing.backends.unfinished import check_finished

DEFAULT_EXAMPLES = 50
PRECISIONS = ("exact", "float32")


def check_backend(
    name_or_factory: str | BackendFactory,
    *,
    max_examples: int = DEFAULT_EXAMPLES,
    seed: int = 0,
    device: str = "cpu",
    precisions: Iterable[str] = PRECISIONS,
    properties: Iterable[str] | None = None,
    progress: Callable[[PropertyResult], object] | None = None,
) -> BackendReport:
    """Compare a backend with the NumPy oracle, property by property.

    Equal arguments give equal problems. Computation is limited to one thread.

    Args:
        name_or_factory: the name of a registered backend, or its factory.
        max_examples: number of problems for each property and precision.
        seed: seed of the problems.
        device: device on which the backend computes.
        precisions: ``exact``, ``float32`` or both.
        properties: names from `ppocore.testing.backends.properties.PROPERTIES`; all by default.
        progress: function called with each result.

    Returns:
        The report, with one result for each property and precision.

    Raises:
        UsageError: there is no such backend, its framework is not installed, or it lacks methods.
        ValueError: there is no such property.
    """
    if isinstance(name_or_factory, str):
        factory, label = backend_factory(name_or_factory), name_or_factory
    else:
        factory, label = name_or_factory, getattr(name_or_factory, "__qualname__", type(name_or_factory).__name__)
    names = [p.name for p in PROPERTIES] if properties is None else list(properties)
    unknown = set(names) - {p.name for p in PROPERTIES}
    if unknown:
        raise ValueError(
            f"there is no property {sorted(unknown)[0]!r}: choose from {', '.join(p.name for p in PROPERTIES)}"
        )
    check_finished(factory, device)
    results = []
    with _one_thread(factory, device):
        for checked in (p for p in PROPERTIES if p.name in names):
            for precision in precisions:
                if precision in checked.precisions:
                    results.append(_check(checked, name_or_factory, factory, precision, device, max_examples, seed))
                    if progress is not None:
                        progress(results[-1])
    return BackendReport(label, device, max_examples, seed, tuple(results))


@contextmanager
def _one_thread(factory: BackendFactory, device: str) -> Iterator[None]:
    """Limit computation to one thread: for small networks more are slower, above all on a busy machine."""
    try:
        probe = factory(NetworkSpec(1, "categorical", 2, ()), precision="exact", adam_epsilon=1e-5, device=device)
        using_threads: Any = probe.using_threads
    except (AttributeError, TypeError):  # the properties report what is wrong with it
        using_threads = None
    with threadpool_limits(1):
        if using_threads is None:
            yield
        else:
            with using_threads(1):
                yield


def _check(
    checked: Property,
    name_or_factory: str | BackendFactory,
    factory: BackendFactory,
    precision: str,
    device: str,
    max_examples: int,
    seed: int,
) -> PropertyResult:
    """Check one property in one precision, and shrink a problem on which it fails."""
    errors: dict[str, float] = {}
    tried, failed = 0, False
    smallest: tuple[Problem, Exception] | None = None

    @seeded(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given({"edges": edge_problems, "steps": runs_of_steps}[checked.problems]())
    def attempt(problem: Problem) -> None:
        nonlocal tried, failed, smallest
        try:
            seen = checked.check(factory, problem, precision=precision, device=device)
        except Inapplicable:
            reject()
        except Exception as error:
            failed, smallest = True, (problem, error)  # hypothesis runs the smallest failing problem last
            raise
        if not failed:
            tried += 1
            for quantity, largest in seen.items():
                errors[quantity] = max(errors.get(quantity, 0.0), largest)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # overflow is expected at the edges of the loss
            attempt()
    except Unsatisfiable:
        pass  # the result has no example and counts as failed
    except Exception as error:
        if smallest is None:
            raise
        problem, cause = smallest
        code = reproduction(name_or_factory, checked.name, problem, precision, device)
        flaky = "" if error is cause else f" (flaky: {type(error).__name__})"
        failure = Failure(f"{type(cause).__name__}: {cause}{flaky}", code)
        for field in ("quantity", "expected", "actual"):
            setattr(failure, field, str(getattr(cause, field, "")))
        return PropertyResult(checked.name, precision, tried, errors, checked.unit, checked.bound, failure)
    return PropertyResult(checked.name, precision, tried, errors, checked.unit, checked.bound, None)
