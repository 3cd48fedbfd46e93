"""Compute discounted, n-step and lambda returns.

`ppocore.advantages` describes the arguments. All three bootstrap from ``next_values[t]`` where an episode was truncated
and after the last (valid) row of a column, and not where it terminated; ``next_values=0.0`` sums rewards alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ppocore.advantages.arguments import positive_integer, unit_interval
from ppocore.advantages.calls import estimator
from ppocore.advantages.rows import one_step_returns
from ppocore.advantages.scan import reverse_scan
from ppocore.advantages.sequences import Sequences
from ppocore.typing import AnyArray, ArrayT, Bools, Floats


@overload
def discounted_returns(
    rewards: ArrayT,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> ArrayT: ...


@overload
def discounted_returns(
    rewards: Sequence[Any],
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> Any: ...


@estimator
def discounted_returns(
    rewards: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> AnyArray:
    """Compute discounted sums of the rewards up to the end of the episode.

    ::

        G[t] = rewards[t]                            where terminated[t]
               rewards[t] + gamma * next_values[t]   where truncated[t], and after the last row
               rewards[t] + gamma * G[t+1]           elsewhere

    ``next_values`` is read in the second case only.

    Args:
        rewards: r[t], ``(T, N)`` or ``(T,)``.
        next_values: V(s[t+1]) of the true successor, shaped as ``rewards``, or one number for all.
        terminated: flags, shaped as ``rewards``.
        truncated: flags, shaped as ``rewards``.
        gamma: discount, in [0, 1].
        valid: flags, shaped as ``rewards``; None for all True.
        time_axis: time axis of the arrays.

    Returns:
        The returns, shaped as ``rewards``.

    Raises:
        ValueError: a shape does not match, a flag is neither 0 nor 1, or a number is out of range.
        TypeError: one ``done`` in place of the two flags, arrays of two frameworks, or ``gamma`` is not a number.
    """
    return _lambda_returns(rewards, next_values, terminated, truncated, gamma, 1.0, valid, time_axis)


@overload
def lambda_returns(
    rewards: ArrayT,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    lam: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> ArrayT: ...


@overload
def lambda_returns(
    rewards: Sequence[Any],
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    lam: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> Any: ...


@estimator
def lambda_returns(
    rewards: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    lam: float,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> AnyArray:
    """Compute TD(lambda) targets, geometric averages of n-step returns (Sutton and Barto 2018, section 12.1).

    ::

        G[t] = rewards[t]                            where terminated[t]
               rewards[t] + gamma * next_values[t]   where truncated[t], and after the last row
               rewards[t] + gamma * ((1 - lam) * next_values[t] + lam * G[t+1])   elsewhere

    With ``lam=0`` they are the one-step returns, with ``lam=1`` the `discounted_returns`. They equal the returns of
    `gae` if ``next_values[t] == values[t+1]`` inside episodes. Arguments and errors are those of `discounted_returns`;
    ``lam`` lies in [0, 1].
    """
    return _lambda_returns(rewards, next_values, terminated, truncated, gamma, lam, valid, time_axis)


def _lambda_returns(
    rewards: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    gamma: float,
    lam: float,
    valid: AnyArray | None,
    time_axis: int,
) -> AnyArray:
    gamma, lam = unit_interval("gamma", gamma), unit_interval("lam", lam)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    next_v = call.numbers("next_values", next_values, scalar=True)
    terminal = call.flags("terminated", terminated)
    cut = call.with_last_rows(terminal | call.flags("truncated", truncated))
    # Not multiplied by (1 - lam) if lam is 1: successors inside an episode may then be NaN.
    inside = 0.0 if lam == 1.0 else np.multiply(next_v, 1.0 - lam, dtype=np.float64)
    x = one_step_returns(call.first, np.where(cut, next_v, inside), terminal, gamma)
    return call.give_back(reverse_scan(x, gamma * lam, cut=cut))


@overload
def n_step_returns(
    rewards: ArrayT,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    n: int,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> ArrayT: ...


@overload
def n_step_returns(
    rewards: Sequence[Any],
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    n: int,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> Any: ...


@estimator
def n_step_returns(
    rewards: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float,
    n: int,
    valid: AnyArray | None = None,
    time_axis: int = 0,
) -> AnyArray:
    """Sum n discounted rewards and the discounted value of the state after them (Sutton and Barto 2018, chapter 7).

    ::

        G[t, 1] = rewards[t] + gamma * (1 - terminated[t]) * next_values[t]
        G[t, n] = G[t, 1]                           where terminated[t] or truncated[t], and in the last row
                  rewards[t] + gamma * G[t+1, n-1]  elsewhere

    So fewer than n rewards are summed where the episode or the rollout ends earlier. Arguments and errors are those of
    `discounted_returns`; ``n`` is at least 1.
    """
    gamma, n = unit_interval("gamma", gamma), positive_integer("n", n)
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    next_v = call.numbers("next_values", next_values, scalar=True)
    terminal = call.flags("terminated", terminated)
    cut = call.with_last_rows(terminal | call.flags("truncated", truncated))

    returns = one_step_returns(call.first, next_v, terminal, gamma)
    # A window sums `width` rewards, up to the first cut and with the bootstrap there. Windows are doubled, and those in
    # the binary representation of n - 1 are prepended to the one-step return: log2(n) passes, not n.
    window, width = np.where(cut, returns, call.first), 1
    steps = min(n, call.length) - 1
    while steps > 0 and gamma > 0.0:  # what follows does not count without gamma, even if it is infinite
        if steps % 2 == 1:
            returns = _prepend(window, cut, width, gamma, returns)
        window = _prepend(window, cut, width, gamma, window)
        cut = cut.copy()
        cut[:-width] |= cut[width:].copy()
        steps, width = steps // 2, width * 2
    return call.give_back(returns)


def _prepend(window: Floats, cut: Bools, width: int, gamma: float, then: Floats) -> Floats:
    """Compute ``window[t] + gamma**width * then[t + width]``, or the window alone where ``cut``."""
    following = then[width:] * gamma**width
    np.copyto(following, 0.0, where=cut[:-width])
    joined = window.copy()
    joined[:-width] += following
    return joined
