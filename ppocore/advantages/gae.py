"""Compute generalized advantage estimation, one-step residuals and successor values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, overload

import numpy as np

from ppocore.advantages import graphs, kernel
from ppocore.advantages.arguments import unit_interval
from ppocore.advantages.calls import estimator
from ppocore.advantages.rows import Rows, gae_rows, one_step_returns
from ppocore.advantages.sequences import Sequences
from ppocore.errors import RunWarning
from ppocore.typing import AnyArray, ArrayT, Bools


class AdvantageEstimate(NamedTuple, Generic[ArrayT]):
    """Hold the result of `gae`: advantages, and ``returns = advantages + values``."""

    advantages: ArrayT
    returns: ArrayT


graphs.gives("gae", AdvantageEstimate)


@overload
def gae(
    rewards: ArrayT,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float = ...,
    lam: float = ...,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> AdvantageEstimate[ArrayT]: ...


@overload
def gae(
    rewards: Sequence[Any],
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float = ...,
    lam: float = ...,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> AdvantageEstimate[Any]: ...


@estimator
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
) -> AdvantageEstimate[Any]:
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
    if valid is None and time_axis == 0 and kernel.takes(rewards, values, next_values, terminated, truncated):
        whole = Rows(rewards, values, next_values, terminated, truncated)
        return AdvantageEstimate(*kernel.of_arrays(whole, gamma, lam))
    call = Sequences("rewards", rewards, valid=valid, time_axis=time_axis)
    arguments = _read(call, values, next_values, terminated, truncated)
    if call.has_invalid:
        every = Sequences("rewards", rewards, time_axis=time_axis)
        _warn_of_invalid_successors(
            _read(every, values, next_values, terminated, truncated), every.flags("valid", valid)
        )
    found = kernel.of_rows(arguments, gamma, lam)
    if found is None:
        return _in_numpy(call, arguments, gamma, lam)
    dtype = call.empty_result().dtype
    return AdvantageEstimate(*[call.give_back(a.astype(dtype, copy=False)) for a in found])


def _warn_of_invalid_successors(arrays: Rows, valid: Bools) -> None:
    """Warn where ``next_values`` inside an episode is the value of a row that is not valid, and not of the next one."""
    inside = valid[:-1] & ~valid[1:] & ~(arrays.terminated | arrays.truncated)[:-1]
    taken = inside & np.equal(arrays.next_values[:-1], arrays.values[1:])
    if not taken.any():
        return
    nothing = np.full(valid.shape[1], np.nan)
    call = Sequences("values", arrays.values, valid=valid)
    right = call.give_back(call.following(nothing))[:-1]
    wrong = taken & ~np.isnan(right) & np.not_equal(arrays.next_values[:-1], right)
    if wrong.any():
        step, column = np.argwhere(wrong)[0]
        warnings.warn(
            f"next_values at step {step} of column {column} is the value of the next row, which is not valid and so "
            "counts as if it were deleted: pass valid= to successor_values, too",
            RunWarning,
            stacklevel=4,  # whoever called gae
        )


def numpy_gae(
    rewards: AnyArray,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    truncated: AnyArray,
    *,
    gamma: float = 0.99,
    lam: float = 0.95,
    valid: AnyArray | None = None,
) -> AdvantageEstimate[Any]:
    """Compute `gae` in NumPy, whether or not Numba is installed: for training, where it would not be noticed."""
    gamma, lam = unit_interval("gamma", gamma), unit_interval("lam", lam)
    call = Sequences("rewards", rewards, valid=valid)
    return _in_numpy(call, _read(call, values, next_values, terminated, truncated), gamma, lam)


def _read(call: Sequences, values: AnyArray, next_values: AnyArray, terminated: AnyArray, truncated: AnyArray) -> Rows:
    v, next_v = call.numbers("values", values), call.numbers("next_values", next_values, scalar=True)
    return Rows(call.first, v, next_v, call.flags("terminated", terminated), call.flags("truncated", truncated))


def _in_numpy(call: Sequences, arguments: Rows, gamma: float, lam: float) -> AdvantageEstimate[Any]:
    advantages, returns = call.empty_result(), call.empty_result()
    gae_rows(arguments, gamma, lam, advantages, returns)
    return AdvantageEstimate(call.give_back(advantages), call.give_back(returns))


@overload
def td_residuals(
    rewards: ArrayT,
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> ArrayT: ...


@overload
def td_residuals(
    rewards: Sequence[Any],
    values: AnyArray,
    next_values: AnyArray,
    terminated: AnyArray,
    *,
    gamma: float,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> Any: ...


@estimator
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


@overload
def successor_values(
    values: ArrayT,
    last_values: AnyArray,
    final_values: AnyArray | None = ...,
    ended: AnyArray | None = ...,
    *,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> ArrayT: ...


@overload
def successor_values(
    values: Sequence[Any],
    last_values: AnyArray,
    final_values: AnyArray | None = ...,
    ended: AnyArray | None = ...,
    *,
    valid: AnyArray | None = ...,
    time_axis: int = ...,
) -> Any: ...


@estimator
def successor_values(
    values: AnyArray,
    last_values: AnyArray,
    final_values: AnyArray | None = None,
    ended: AnyArray | None = None,
    *,
    valid: AnyArray | None = None,
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
    valid        (T, N) flags False where a row is not a step
    ============ ============ =============================================================================

    With ``valid``, as the estimators take it, the rows that are not valid count as if they were deleted: row t+1 is the
    next valid row, and ``last_values`` follows the last one. Give it to this function if the estimator has it.

    Without ``final_values``, row t+1 must hold the value of the true successor of row t: nothing was truncated, or the
    environment returns the final observation in a row of its own before it resets (Gymnasium's ``NEXT_STEP``).

    Raises:
        ValueError: a shape does not match, or a flag is neither 0 nor 1.
        TypeError: only one of ``final_values`` and ``ended`` is given, or arrays are of two frameworks.
    """
    if (final_values is None) != (ended is None):
        raise TypeError("successor_values needs final_values and ended together, or neither")
    call = Sequences("values", values, valid=valid, time_axis=time_axis)
    last = call.row("last_values", last_values)
    following = call.following(last)
    if final_values is not None:
        final = call.numbers("final_values", final_values)
        np.copyto(following, final, where=call.flags("ended", ended))
    return call.give_back(following)
