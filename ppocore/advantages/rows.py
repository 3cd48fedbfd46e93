"""Compute generalized advantage estimation of ``(T, N)`` arrays in NumPy, without checks."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ppocore.advantages.scan import WIDE, pieces, reverse_scan, workspace
from ppocore.typing import Array, Bools, Floats

_NOTHING = np.zeros(())


def one_step_returns(
    rewards: Array,
    next_values: Array,
    terminated: Bools,
    gamma: float,
    out: Floats | None = None,
    scratch: Floats | None = None,
) -> Floats:
    """Compute ``rewards + gamma * next_values`` in float64, or the rewards alone where ``terminated``.

    With ``gamma = 0`` what follows does not count, even if it is infinite. ``scratch`` is memory of the result's shape.
    """
    target = np.empty(rewards.shape) if out is None else out
    if gamma == 0.0:
        np.copyto(target, rewards)
        return target
    np.copyto(target, next_values)
    np.multiply(target, gamma, out=target)
    np.copyto(target, _NOTHING, where=terminated)
    if scratch is not None:  # converted first, because NumPy adds numbers of two formats at half the speed
        np.copyto(scratch, rewards)
        rewards = scratch
    np.add(target, rewards, out=target)
    return target


class Rows(NamedTuple):
    """Hold the ``(T, N)`` arrays that `gae` computes from."""

    rewards: Array
    values: Array
    next_values: Array
    terminated: Bools
    truncated: Bools


def gae_rows(arrays: Rows, gamma: float, lam: float, advantages: Array, returns: Array) -> None:
    """Write advantages and returns, computed in float64."""
    r, v, next_v, terminal, truncated = arrays
    rows, columns = r.shape
    factor = gamma * lam
    ended = terminal | truncated
    cuts = FewCuts.of(terminal, ended) if columns >= WIDE and factor > 0.0 else None
    # Computed piece by piece in the same float64 memory, so that the numbers stay in the cache.
    carry, kept = np.zeros(columns), np.empty(columns)
    for piece in pieces(rows, columns):
        shape = r[piece].shape
        value, advantage = workspace("gae", 2, math.prod(shape)).reshape(2, *shape)
        if cuts is None:
            one_step_returns(r[piece], next_v[piece], terminal[piece], gamma, out=advantage, scratch=value)
        else:
            np.copyto(advantage, next_v[piece])
            np.multiply(advantage, gamma, out=advantage)
            cuts.clear_terminal(advantage, piece)
            np.copyto(value, r[piece])  # converted first: NumPy adds numbers of two formats at half the speed
            np.add(advantage, value, out=advantage)
        np.copyto(value, v[piece])
        np.subtract(advantage, value, out=advantage)
        if cuts is None:
            reverse_scan(advantage, factor, cut=ended[piece], carry=carry, out=advantage)
        else:
            cuts.scan(advantage, factor, carry, kept, piece)
        np.copyto(carry, advantage[0])
        np.copyto(advantages[piece], advantage)
        np.add(value, advantage, out=value)
        np.copyto(returns[piece], value)


class FewCuts:
    """Hold where episodes end in wide rows, as positions: setting few numbers to 0 takes less than a look at each."""

    def __init__(self, terminal: Array, at: Array, shape: tuple[int, int]) -> None:
        rows, self._columns = shape
        firsts = np.arange(rows + 1) * self._columns
        self._terminal, self._cut = terminal, at % self._columns
        self._terminal_rows = np.searchsorted(terminal, firsts).tolist()
        self._cut_rows = np.searchsorted(at, firsts).tolist()

    @classmethod
    def of(cls, terminal: Bools, ended: Bools) -> FewCuts | None:
        """Return the ends of ``(T, N)`` flags, or None where they are not few."""
        at = np.flatnonzero(ended)
        if at.size * 16 > ended.size:  # measured
            return None
        return cls(at[terminal.reshape(-1)[at]], at, ended.shape)

    def clear_terminal(self, x: Floats, piece: slice) -> None:
        """Set ``x``, rows of ``piece``, to 0 where an episode terminated."""
        at = self._terminal[self._terminal_rows[piece.start] : self._terminal_rows[piece.stop]]
        x.reshape(-1)[at - piece.start * self._columns] = 0.0

    def scan(self, x: Floats, factor: float, carry: Floats, kept: Floats, piece: slice) -> None:
        """Solve `scan.reverse_scan` in place; ``kept`` is memory of one row."""
        rows, factors = self._cut_rows, np.array(factor)
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(piece.stop - 1, piece.start - 1, -1):
                np.multiply(carry, factors, kept)
                kept[self._cut[rows[t] : rows[t + 1]]] = 0.0
                carry = x[t - piece.start]
                np.add(carry, kept, carry)
