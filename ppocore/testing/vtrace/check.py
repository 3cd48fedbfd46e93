"""Check an implementation of V-trace, and name the known mistakes that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.formulas.check import interface_of, run_check
from ppocore.testing.formulas.report import FormulaReport
from ppocore.testing.vtrace.subject import VTrace, fixed_numbers, with_all_values

BOOTSTRAPS = ("vs", "lambda")


def check_vtrace(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    dtype: str | None = None,
    arguments: str | None = None,
    results: str | Mapping[Any, str] | None = None,
    layout: str = "time",
    gamma: float | None = None,
    lam: float | None = None,
    rho_clip: float | None = None,
    pg_rho_clip: float | None = None,
    c_clip: float | None = None,
    bootstrap: str = "vs",
    max_examples: int = 50,
    seed: int = 0,
    seconds: float | None = None,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> FormulaReport:
    """Check an implementation of V-trace (Espeholt et al. 2018, arXiv:1802.01561) against its definition.

    Args:
        function: takes (rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip),
            time-major arrays (T, N) as `ppocore.vtrace`, and returns the targets and the advantages, or the targets.
            Other arguments are told from the names of its parameters, or by ``arguments``.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: floating-point format of its arrays; the framework's default by default.
        arguments: what it takes, in order, as in ``"log_ratios, discounts, rewards, values, last_values,
            rho_clip=clip_rho_threshold"``, with the names by which arguments are passed; those on the left are from
            ``ROLES`` in ``ppocore.testing.vtrace.subject``.
        results: what it returns, if not the targets and the advantages: ``"advantages, vs"``, ``"errors"`` for the
            targets minus the values, ``"vs, _"``, or for a dictionary ``{"pg": "advantages"}``.
        layout: ``time`` for (T, N), ``batch`` for (N, T), ``column`` for a call with (T,) for each environment, or
            ``trailing`` for (T, N, 1).
        gamma: the only discount that it is meant for.
        lam: the only factor of the traces that it is meant for; without this and a parameter, 1.
        rho_clip: the only bound of rho that it is meant for, ``math.inf`` for none; without this and a parameter, 1.
        pg_rho_clip: the same in the advantages; without this and a parameter, ``rho_clip``.
        c_clip: the only bound of c that it is meant for, as ``rho_clip``.
        bootstrap: what an advantage bootstraps from: ``vs``, as in the paper, or ``lambda`` for ``lam * vs + (1 - lam)
            * values``, as some programs do.
        max_examples: number of rollouts that are drawn.
        seed: seed of the rollouts; equal seeds give equal rollouts.
        seconds: time limit of a call; 5, and 60 for JAX, by default.
        properties: names from ``ppocore.testing.vtrace.properties``; all by default.
        raise_on_failure: whether to raise an error if a property does not hold, or a choice is not declared.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: the candidate is not a function, there is no telling what it takes, an option is unknown, or a
            framework is not installed.
    """
    if bootstrap not in BOOTSTRAPS:
        raise UsageError(f"bootstrap={bootstrap!r} is unknown: use one of {', '.join(BOOTSTRAPS)}")
    interface = interface_of(function, VTrace, arguments, layout)
    if arguments is None:
        interface = with_all_values(interface)
    declared = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "pg_rho_clip": pg_rho_clip, "c_clip": c_clip}
    subject = VTrace(interface, fixed_numbers(interface, declared), bootstrap)
    return run_check(
        function,
        subject,
        interface,
        arrays=arrays,
        dtype=dtype,
        results=results,
        max_examples=max_examples,
        seed=seed,
        seconds=seconds,
        properties=properties,
        raise_on_failure=raise_on_failure,
    )
