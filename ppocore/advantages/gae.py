"""Advantage estimates: how much better an action turned out than the value of its state.

Arrays are time-major, ``(T, N)`` for T steps of N environments, or ``(T,)``; `time_axis` says where time is.
NumPy, torch, paddle and JAX arrays are taken, and results come back in the library, on the device and in the
shape of the first argument. Everything is computed in float64; results are float32 (or float16, bfloat16) when
all the arrays of numbers are, and float64 otherwise. Arguments are never written to, and no gradient flows
through a result: a tensor that requires grad is detached.

What the estimators have in common:

=========== ============== ================================================================================
rewards     (T, N)         r[t], received for the action taken at step t
values      (T, N)         V(s[t]), the value of the state in which that action was taken
next_values (T, N), number V(s[t+1]) of the *true* successor: the final observation where an episode ended,
                           never the observation after a reset. Unread, so free to be NaN, where terminated.
terminated  (T, N) flags   the episode ended at step t: nothing follows, whatever `truncated` says
truncated   (T, N) flags   the episode was cut short at step t: it would have gone on, worth next_values[t]
valid       (T, N) flags   False marks a row that is not a step (such as a reset). Valid rows get what they
                           would get if those rows were deleted, invalid rows get 0, and what they hold
                           reaches nothing.
=========== ============== ================================================================================

Flags are bool, or 0 and 1. A shape that does not match, or a flag that is neither 0 nor 1, is a `ValueError`;
a lone ``done`` in place of the two flags, or arrays of two frameworks, a `TypeError`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ppocore.advantages.arguments import Sequences, needs_both_flags, unit_interval
from ppocore.advantages.returns import discounted_returns, lambda_returns, n_step_returns, one_step_returns
from ppocore.advantages.scan import pieces, reverse_scan, workspace
from ppocore.advantages.vtrace import VTraceEstimate, vtrace
from ppocore.typing import AnyArray

__all__ = [
    "AdvantageEstimate",
    "VTraceEstimate",
    "discounted_returns",
    "gae",
    "lambda_returns",
    "n_step_returns",
    "successor_values",
    "td_residuals",
    "vtrace",
]


class AdvantageEstimate(NamedTuple):
    """What `gae` returns: the advantages, and ``returns = advantages + values``."""

    advantages: AnyArray
    returns: AnyArray


@needs_both_flags
def gae(
    rewards: AnyArray,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float = 0.99,
    lam: float = 0.95,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> AdvantageEstimate:
    """Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    ::

        delta[t] = rewards[t] + gamma * (1 - terminated[t]) * next_values[t] - values[t]
        A[t]     = delta[t] + gamma * lam * (1 - (terminated[t] | truncated[t])) * A[t+1],   A[T] = 0
        returns  = A + values

    Args:
        rewards: r[t], ``(T, N)`` or ``(T,)``.
        values: V(s[t]), shaped as `rewards`.
        next_values: V(s[t+1]) of the true successor, shaped as `rewards`, or one number for all.
        terminated: flags, shaped as `rewards`.
        truncated: flags, shaped as `rewards`.
        gamma: the discount, in [0, 1].
        lam: the weight of later residuals, in [0, 1]; 0 gives `td_residuals`, 1 returns minus `values`.
        valid: flags, shaped as `rewards`; None for all True.
        time_axis: the axis of the arrays that is time.

    Returns:
        The advantages, and the targets for the value function, both shaped as `rewards`.

    Raises:
        ValueError: a shape, a flag or a number out of range.
        TypeError: a lone ``done``, arrays of two frameworks, or `gamma` or `lam` not a number.
    """
    gamma, lam = unit_interval("gamma", gamma), unit_interval("lam", lam)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    r, v = call.first, call.numbers("values", values)
    next_v = call.numbers("next_values", next_values, scalar=True)
    terminal = call.flags("terminated", terminated)
    ended = terminal | call.flags("truncated", truncated)
    advantages, returns = call.empty_result(), call.empty_result()

    # In float64 one piece at a time, in the same memory: the numbers stay in the cache.
    carry = np.zeros(call.columns)
    for piece in pieces(call.length, call.columns):
        shape = r[piece].shape
        value, advantage = workspace("gae", 2, math.prod(shape)).reshape(2, *shape)
        delta = one_step_returns(r[piece], next_v[piece], terminal[piece], gamma, out=advantage)
        np.copyto(value, v[piece])
        np.subtract(delta, value, out=delta)
        reverse_scan(delta, gamma * lam, cut=ended[piece], carry=carry, out=advantage)
        np.copyto(carry, advantage[0])
        np.copyto(advantages[piece], advantage)
        np.add(value, advantage, out=value)
        np.copyto(returns[piece], value)
    return AdvantageEstimate(call.give_back(advantages), call.give_back(returns))


@needs_both_flags
def td_residuals(
    rewards: AnyArray,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> AnyArray:
    """One-step residuals of the value function.

    ::

        delta[t] = rewards[t] + gamma * (1 - terminated[t]) * next_values[t] - values[t]

    `next_values` already tells what follows a truncated step, so `truncated` is not asked for. Arguments and
    errors are those of `gae`.
    """
    gamma = unit_interval("gamma", gamma)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    v = call.numbers("values", values)
    next_v = call.numbers("next_values", next_values, scalar=True)
    delta = one_step_returns(call.first, next_v, call.flags("terminated", terminated), gamma)
    np.subtract(delta, v, out=delta)
    return call.give_back(delta)


def successor_values(
    values: AnyArray,
    last_values: AnyArray,
    final_values: AnyArray | None = None,
    ended: AnyArray | None = None,
    *,
    time_axis: int = 0,
) -> AnyArray:
    """Build the `next_values` of the estimators from what a rollout has.

    ::

        next_values[t] = final_values[t]   where ended[t]
                         values[t+1]       elsewhere, with values[T] = last_values

    ============ ============ =============================================================================
    values       (T, N)       V(s[t]) of the observations acted on
    last_values  (N,)         V of the observation after the last step; one number for a ``(T,)`` `values`
    final_values (T, N)       V of the final observation where an episode ended; elsewhere free to be NaN
    ended        (T, N) flags terminated or truncated
    ============ ============ =============================================================================

    Without `final_values`, row t+1 must hold the value of the true successor of row t: nothing was truncated, or
    the environment shows the final observation in a row of its own before it resets (Gymnasium's ``NEXT_STEP``).

    Raises:
        ValueError: a shape that does not match, or a flag that is neither 0 nor 1.
        TypeError: only one of `final_values` and `ended`, or arrays of two frameworks.
    """
    if (final_values is None) != (ended is None):
        raise TypeError("successor_values needs final_values and ended together, or neither")
    call = Sequences("values", values, time_axis=time_axis)
    last = call.row("last_values", last_values)
    following = np.empty((call.length, call.columns))
    following[:-1] = call.first[1:]
    following[-1:] = last
    if final_values is not None:
        final = call.numbers("final_values", final_values)
        np.copyto(following, final, where=call.flags("ended", ended))
    return call.give_back(following)
