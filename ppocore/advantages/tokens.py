"""Compute generalized advantage estimation of the tokens that a language model has written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ppocore.advantages import graphs
from ppocore.advantages.arguments import unit_interval
from ppocore.advantages.calls import estimator
from ppocore.advantages.gae import AdvantageEstimate
from ppocore.advantages.scan import reverse_scan
from ppocore.advantages.sequences import Sequences
from ppocore.typing import AnyArray, Array, ArrayT

graphs.gives("token_gae", AdvantageEstimate)


@overload
def token_gae(
    rewards: ArrayT,
    values: AnyArray,
    mask: AnyArray,
    *,
    last_values: AnyArray = ...,
    gamma: float = ...,
    lam: float | AnyArray = ...,
) -> AdvantageEstimate[ArrayT]: ...


@overload
def token_gae(
    rewards: Sequence[Any],
    values: AnyArray,
    mask: AnyArray,
    *,
    last_values: AnyArray = ...,
    gamma: float = ...,
    lam: float | AnyArray = ...,
) -> AdvantageEstimate[Any]: ...


@estimator
def token_gae(
    rewards: AnyArray,
    values: AnyArray,
    mask: AnyArray,
    *,
    last_values: AnyArray = 0.0,
    gamma: float = 1.0,
    lam: float | AnyArray = 0.95,
) -> AdvantageEstimate[Any]:
    """Compute `gae` of sequences of tokens, of which only those where ``mask`` is set are actions.

    ::

        delta[t] = rewards[t] + gamma * values[next(t)] - values[t]
        A[t]     = delta[t] + gamma * lam * A[next(t)]
        returns  = A + values

    ``next(t)`` is the next token of the row where ``mask`` is set. The others count as if they were deleted: the
    prompt, padding on either side, and the words of tools or of users between the model's turns. What they hold is not
    read, so a reward given there does not count: give it to the action before. After the last action of a row nothing
    follows, ``A = 0``, and its successor's value is ``last_values``.

    Args:
        rewards: reward of each token, usually a penalty on each and a score on the last, ``(B, T)`` or ``(T,)``.
        values: value of the text before each token, shaped as ``rewards``.
        mask: flags, shaped as ``rewards``: the tokens that the policy has drawn.
        last_values: value of the text after the last action, ``(B,)`` or one number for all: 0 where the text has
            ended, and the value where it was cut off at the length allowed.
        gamma: discount of each action, in [0, 1].
        lam: weight of later residuals, in [0, 1]: one number, ``(B,)`` for one of each sequence, or shaped as
            ``rewards``, ``lam[t]`` being the weight of ``A[next(t)]`` in ``A[t]``.

    Returns:
        The advantages, and the targets of the value function, both shaped as ``rewards`` and 0 where ``mask`` is not.

    Raises:
        ValueError: a shape does not match, a flag is neither 0 nor 1, or a number is out of range.
        TypeError: arrays of two frameworks, or ``gamma`` is not a number.
    """
    gamma = unit_interval("gamma", gamma)
    call = Sequences("rewards", rewards, valid=mask, time_axis=-1)
    v = call.numbers("values", values).astype(np.float64)
    following = call.following(call.row("last_values", last_values, scalar=True), v)
    delta = np.zeros(v.shape)
    np.copyto(delta, call.first)
    if gamma > 0.0:
        np.add(delta, np.multiply(following, gamma, out=following), out=delta)
    np.subtract(delta, v, out=delta)
    factors = _factors(call, lam) * gamma
    advantages = np.zeros(v.shape)
    used = slice(0, call.longest)  # so that padding does not change how sums are grouped, and so their last bits
    advantages[used] = reverse_scan(delta[used], factors[used])
    return AdvantageEstimate(call.give_back(advantages), call.give_back(advantages + v))


def _factors(call: Sequences, lam: float | AnyArray) -> Array:
    """Return lambda of each token, ``(T, B)``."""
    if isinstance(lam, int | float):
        return np.full((call.length, call.columns), unit_interval("lam", lam))
    factors = call.parameter("lam", lam)
    if not ((factors >= 0.0) & (factors <= 1.0)).all():
        raise ValueError("lam must lie in [0, 1], but an element does not")
    return factors
