"""Compute V-trace, values and advantages of another policy than the one that acted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, overload

import numpy as np

from ppocore.advantages import graphs
from ppocore.advantages.arguments import positive, unit_interval
from ppocore.advantages.calls import estimator
from ppocore.advantages.rows import one_step_returns
from ppocore.advantages.scan import reverse_scan
from ppocore.advantages.sequences import Sequences
from ppocore.typing import AnyArray, ArrayT


class VTraceEstimate(NamedTuple, Generic[ArrayT]):
    """Hold the result of `vtrace`: value targets, and advantages for the policy gradient."""

    vs: ArrayT
    advantages: ArrayT


graphs.gives("vtrace", VTraceEstimate)


@overload
def vtrace(
    rewards: ArrayT,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    log_ratios: AnyArray,
    *,
    gamma: float,
    lam: float = ...,
    rho_clip: float = ...,
    c_clip: float = ...,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> VTraceEstimate[ArrayT]: ...


@overload
def vtrace(
    rewards: Sequence[Any],
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    log_ratios: AnyArray,
    *,
    gamma: float,
    lam: float = ...,
    rho_clip: float = ...,
    c_clip: float = ...,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> VTraceEstimate[Any]: ...


@estimator
def vtrace(
    rewards: AnyArray,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    log_ratios: AnyArray,
    *,
    gamma: float,
    lam: float = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> VTraceEstimate[Any]:
    """Compute V-trace targets and advantages (Espeholt et al. 2018, arXiv:1802.01561, section 4.1).

    ::

        rho[t]   = min(rho_clip, exp(log_ratios[t]))
        c[t]     = lam * min(c_clip, exp(log_ratios[t]))
        delta[t] = rho[t] * (rewards[t] + gamma * (1 - terminated[t]) * next_values[t] - values[t])
        B[t]     = delta[t] + gamma * c[t] * (1 - (terminated[t] | truncated[t])) * B[t+1],   B[T] = 0
        vs       = values + B
        advantages[t] = rho[t] * (rewards[t] + gamma * after[t] - values[t])

        after[t] = 0                where terminated[t]
                   next_values[t]   where truncated[t], and in the last (valid) row of a column
                   vs[t+1]          elsewhere

    This is the paper's recursion (Remark 1) with ``B[t] = vs[t] - values[t]``. The paper has neither truncation nor
    separate values of true successors. Here, at a truncation and after the last row, the trace is cut and what follows
    is worth ``next_values``, which is not read where ``terminated``. On policy (``log_ratios = 0``, clips of at least
    1), ``vs`` equal the returns of `gae`.

    Args:
        rewards: r[t], ``(T, N)`` or ``(T,)``.
        values: V(s[t]), shaped as ``rewards``.
        next_values: V(s[t+1]) of the true successor, shaped as ``rewards``, or one number for all.
        terminated: flags, shaped as ``rewards``.
        truncated: flags, shaped as ``rewards``.
        log_ratios: log of the learner's probability of the action over the actor's, shaped as ``rewards``.
        gamma: discount, in [0, 1].
        lam: factor of the traces (Remark 2), in [0, 1].
        rho_clip: upper bound of rho, above 0; decides which policy's value ``vs`` converges to.
        c_clip: upper bound of c, above 0; limits how far back later residuals count.
        valid: flags, shaped as ``rewards``; None for all True.
        time_axis: time axis of the arrays.

    Returns:
        The value targets and the advantages, both shaped as ``rewards``.

    Raises:
        ValueError: a shape does not match, a flag is neither 0 nor 1, or a number is out of range.
        TypeError: one ``done`` in place of the two flags, arrays of two frameworks, or a parameter is not a number.
    """
    gamma, lam = unit_interval("gamma", gamma), unit_interval("lam", lam)
    rho_clip, c_clip = positive("rho_clip", rho_clip), positive("c_clip", c_clip)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    r, v = call.first, call.numbers("values", values)
    next_v = call.numbers("next_values", next_values, scalar=True)
    terminal = call.flags("terminated", terminated)
    ended = terminal | call.flags("truncated", truncated)
    log_ratio = call.numbers("log_ratios", log_ratios).astype(np.float64)

    # Clipped before exp, so that it cannot overflow.
    rho = np.exp(np.minimum(log_ratio, math.log(rho_clip)))
    c = np.exp(np.minimum(log_ratio, math.log(c_clip)))
    np.multiply(c, gamma * lam, out=c)
    delta = one_step_returns(r, next_v, terminal, gamma)
    np.subtract(delta, v, out=delta)
    np.multiply(delta, rho, out=delta)
    vs = reverse_scan(delta, c, cut=ended | np.equal(c, 0.0))
    np.add(vs, v, out=vs)

    after = next_v.astype(np.float64)
    np.copyto(after[:-1], vs[1:], where=~call.with_last_rows(ended)[:-1])
    advantages = one_step_returns(r, after, terminal, gamma)
    np.subtract(advantages, v, out=advantages)
    np.multiply(advantages, rho, out=advantages)
    return VTraceEstimate(call.give_back(vs), call.give_back(advantages))
