"""Check what language models are trained with, and name the known mistakes that a function makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.formulas.check import interface_of, run_check
from ppocore.testing.formulas.report import FormulaReport
from ppocore.testing.language.kl import ESTIMATORS, OUTSIDE, KLRewards
from ppocore.testing.language.masked_whitening import MaskedWhitening
from ppocore.testing.language.token_gae import TokenGAE
from ppocore.testing.language.tokens import PADDINGS
from ppocore.testing.language.whitening import PLACES


def check_token_gae(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    dtype: str | None = None,
    arguments: str | None = None,
    results: str | Mapping[Any, str] | None = None,
    layout: str = "batch",
    gamma: float | None = None,
    lam: float | Callable[[int], float] | None = None,
    lam_at: str = "token",
    padding: str = "both",
    holes: bool = True,
    returns: str = "lambda",
    whitened: bool = False,
    max_examples: int = 50,
    seed: int = 0,
    seconds: float | None = None,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> FormulaReport:
    """Check advantages of the tokens of padded sequences, as language models are trained with.

    The tokens that count are those where the mask is True; padding, and tokens of a tool or an observation between
    turns, count as if they were deleted. Nothing follows the last token.

    Args:
        function: takes (rewards, values, mask, gamma, lam), arrays (B, T), and returns the advantages, or these and the
            returns. Other arguments are told from the names of its parameters, or by ``arguments``. Without a
            mask, padding on the right holds zeros.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: floating-point format of its arrays; the framework's default by default.
        arguments: what it takes, in order, as in ``"values, rewards, mask, gamma, lam=lambd"``; ``lambdas`` for one
            (B, T) for each token, ``lengths`` for the numbers of tokens, ``all_values`` for (B, T + 1).
        results: what it returns, if not the advantages and the returns: ``"returns, advantages"``, ``"returns"``, or
            for a dictionary ``{"adv": "advantages"}``.
        layout: ``batch`` for (B, T), ``time`` for (T, B), ``single`` for a call with (T,) for each sequence, or
            ``trailing`` for (B, T, 1).
        gamma: the only discount that it is meant for; without this and a parameter, 1.
        lam: the only lambda that it is meant for; or a function of the number of tokens, if it computes lambda from it.
        lam_at: whose lambda carries the advantage of the next token: that of the ``token``, or of the ``next``.
        padding: where padding may be: ``right``, ``left`` or ``both``.
        holes: whether tokens between others may be masked out.
        returns: what its returns are: ``lambda`` for advantages and values, ``rewards_to_go``, or ``any``, which is not
            checked.
        whitened: whether its advantages are whitened over the mask of the batch.
        max_examples: number of batches that are drawn.
        seed: seed of the batches; equal seeds give equal batches.
        seconds: time limit of a call; 5, and 60 for JAX, by default.
        properties: names of properties; all by default.
        raise_on_failure: whether to raise an error if a property does not hold, or a choice is not declared.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: the candidate is not a function, there is no telling what it takes, an option is unknown, or a
            framework is not installed.
    """
    _require("padding", padding, PADDINGS)
    _require("lam_at", lam_at, ("token", "next"))
    _require("returns", returns, ("lambda", "rewards_to_go", "any"))
    interface = interface_of(function, TokenGAE, arguments, layout)
    if gamma is None and not interface.has("gamma"):
        gamma = 1.0
    if lam is None and not (interface.has("lam") or interface.has("lambdas")):
        raise UsageError("the function takes neither lam nor lambdas: pass lam=, the one it has inside")
    subject = TokenGAE(
        interface,
        lam=lam,
        gamma=gamma,
        padding=padding,
        holes=holes,
        lam_at=lam_at,
        returns=returns,
        whitened=whitened,
    )
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


def check_kl_rewards(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    dtype: str | None = None,
    arguments: str | None = None,
    results: str | Mapping[Any, str] | None = None,
    layout: str = "batch",
    estimator: str = "k1",
    beta: float | None = None,
    padding: str = "both",
    holes: bool = True,
    outside: str = "zero",
    max_examples: int = 50,
    seed: int = 0,
    seconds: float | None = None,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> FormulaReport:
    """Check the rewards of tokens with a KL penalty: the score at the last token, minus beta times KL at each.

    Args:
        function: takes (scores, log_probs, ref_log_probs, mask, beta), scores (B,) and arrays (B, T), and returns the
            rewards (B, T), or the rewards and the estimates of the divergence. Other arguments are told from the names
            of its parameters, or by ``arguments``.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: floating-point format of its arrays; the framework's default by default.
        arguments: what it takes, in order; ``kl`` for estimates (B, T) in place of the log-probabilities,
            ``token_scores`` for scores (B, T), ``lengths`` for the numbers of tokens.
        results: what it returns, if not the rewards and the estimates: ``"_, rewards"``, or ``{"r": "rewards"}``.
        layout: ``batch`` for (B, T), ``time`` for (T, B), ``single`` for a call with (T,) for each sequence, or
            ``trailing`` for (B, T, 1).
        estimator: of the divergence, with d = log_probs - ref_log_probs: ``k1`` for d, ``k2`` for d^2 / 2, ``k3`` for
            exp(-d) - 1 + d, or ``abs`` for the magnitude of d.
        beta: the only coefficient that it is meant for.
        padding: where padding may be: ``right``, ``left`` or ``both``.
        holes: whether tokens between others may be masked out.
        outside: what the rewards of masked-out tokens are: ``zero``, or ``any``, which is not checked.
        max_examples: number of batches that are drawn.
        seed: seed of the batches; equal seeds give equal batches.
        seconds: time limit of a call; 5, and 60 for JAX, by default.
        properties: names of properties; all by default.
        raise_on_failure: whether to raise an error if a property does not hold, or a choice is not declared.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: the candidate is not a function, there is no telling what it takes, an option is unknown, or a
            framework is not installed.
    """
    _require("padding", padding, PADDINGS)
    _require("estimator", estimator, ESTIMATORS)
    _require("outside", outside, OUTSIDE)
    interface = interface_of(function, KLRewards, arguments, layout)
    if beta is None and not interface.has("beta"):
        raise UsageError("the function takes no beta: pass beta=, the one it has inside")
    subject = KLRewards(interface, estimator=estimator, beta=beta, padding=padding, holes=holes, outside=outside)
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


def check_masked_whitening(
    function: Callable[..., Any],
    *,
    arrays: str = "numpy",
    dtype: str | None = None,
    arguments: str | None = None,
    results: str | Mapping[Any, str] | None = None,
    layout: str = "batch",
    ddof: int | None = None,
    epsilon: float | None = None,
    place: str | None = None,
    shift_mean: bool = True,
    over: str = "batch",
    max_examples: int = 50,
    seed: int = 0,
    seconds: float | None = None,
    properties: Iterable[str] | None = None,
    raise_on_failure: bool = True,
) -> FormulaReport:
    """Check whitening over a mask: mean 0 and standard deviation 1 of the entries that count.

    The results of masked-out entries are not checked. Of a single entry the function may make any finite number, or an
    error.

    Args:
        function: takes (x, mask), arrays (B, T), and returns the whitened ones. Other arguments are told from the names
            of its parameters, or by ``arguments``.
        arrays: kind of its arrays: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: floating-point format of its arrays; the framework's default by default.
        arguments: what it takes, in order, as in ``"x, mask, shift_mean"``.
        results: what it returns, if not the whitened array: ``"whitened, _"``.
        layout: ``batch`` for (B, T), ``time`` for (T, B), or ``trailing`` for (B, T, 1).
        ddof: degrees of freedom: 0 for the population's deviation, 1 for the sample's; either by default.
        epsilon: what keeps from dividing by 0; by default what is in use, from 0 to 1e-5. The report says which.
        place: whether that is added to the ``variance``, to the ``deviation``, or is the ``least`` variance; any by
            default.
        shift_mean: whether the mean is subtracted, if the function does not take that.
        over: what is whitened together: the ``batch``, or each ``sequence``.
        max_examples: number of batches that are drawn.
        seed: seed of the batches; equal seeds give equal batches.
        seconds: time limit of a call; 5, and 60 for JAX, by default.
        properties: names of properties; all by default.
        raise_on_failure: whether to raise an error if a property does not hold, or a choice is not declared.

    Returns:
        The report; ``str(report)`` is the message of a failure.

    Raises:
        AssertionError: A property does not hold, or only under a choice that nobody declared.
        UsageError: the candidate is not a function, there is no telling what it takes, an option is unknown, or a
            framework is not installed.
    """
    _require("over", over, ("batch", "sequence"))
    _require("ddof", ddof, (None, 0, 1))
    _require("place", place, (None, *PLACES))
    interface = interface_of(function, MaskedWhitening, arguments, layout)
    subject = MaskedWhitening(interface, ddof=ddof, epsilon=epsilon, place=place, shift_mean=shift_mean, over=over)
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


def _require(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name}={value!r} is unknown: use one of {', '.join(map(str, known))}")
