"""Compute generalized advantage estimation, one-step residuals and successor values."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ppocore.advantages.arguments import Sequences, needs_both_flags, unit_interval
from ppocore.advantages.returns import one_step_returns
from ppocore.advantages.scan import pieces, reverse_scan, workspace
from ppocore.typing import AnyArray


class AdvantageEstimate(NamedTuple):
    """Hold the result of `gae`: advantages, and ``returns = advantages + values``."""

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
    """Compute generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    ::

        delta[t] = rewards[t] + gamma * (1 - terminated[t]) * next_values[t] - values[t]
        A[t]     = delta[t] + gamma * lam * (1 - (terminated[t] | truncated[t])) * A[t+1],   A[T] = 0
        returns  = A + values

    Args:
        rewards: r[t], ``(T, N)`` or ``(T,)``.
        values: V(s[t]), shaped as ``rewards``.
        next_values: V(s[t+1]) of the true successor, shaped as ``rewards``, or one number for all.
        terminated: flags, shaped as ``rewards``.
        truncated: flags, shaped as ``rewards``.
        gamma: discount, in [0, 1].
        lam: weight of later residuals, in [0, 1]; 0 gives `td_residuals`, 1 gives returns minus ``values``.
        valid: flags, shaped as ``rewards``; None for all True.
        time_axis: time axis of the arrays.

    Returns:
        The advantages, and the targets of the value function, both shaped as ``rewards``.

    Raises:
        ValueError: a shape does not match, a flag is neither 0 nor 1, or a number is out of range.
        TypeError: one ``done`` in place of the two flags, arrays of two frameworks, or ``gamma`` or ``lam`` is not a
            number.
    """
    gamma, lam = unit_interval("gamma", gamma), unit_interval("lam", lam)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    r, v = call.first, call.numbers("values", values)
    next_v = call.numbers("next_values", next_values, scalar=True)
    terminal = call.flags("terminated", terminated)
    ended = terminal | call.flags("truncated", truncated)
    advantages, returns = call.empty_result(), call.empty_result()

    # Computed piece by piece in the same float64 memory, so that the numbers stay in the cache.
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
    """Compute the one-step temporal-difference residuals of the value function.

    ::

        delta[t] = rewards[t] + gamma * (1 - terminated[t]) * next_values[t] - values[t]

    ``next_values`` holds the value of what follows a truncated step, so ``truncated`` is not needed. Arguments and
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
    """Build the ``next_values`` of the estimators from the values of a rollout.

    ::

        next_values[t] = final_values[t]   where ended[t]
                         values[t+1]       elsewhere, with values[T] = last_values

    ============ ============ =============================================================================
    values       (T, N)       V(s[t]) of the observations acted on
    last_values  (N,)         V of the observation after the last step; one number if ``values`` is ``(T,)``
    final_values (T, N)       V of the final observation where an episode ended; elsewhere it may be NaN
    ended        (T, N) flags terminated or truncated
    ============ ============ =============================================================================

    Without ``final_values``, row t+1 must hold the value of the true successor of row t: nothing was truncated, or the
    environment returns the final observation in a row of its own before it resets (Gymnasium's ``NEXT_STEP``).

    Raises:
        ValueError: a shape does not match, or a flag is neither 0 nor 1.
        TypeError: only one of ``final_values`` and ``ended`` is given, or arrays are of two frameworks.
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
