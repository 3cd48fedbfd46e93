"""Record the actions of environments, in memory that is bounded and at a cost that does not grow with an episode."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ppocore.spaces import ActionSpace, BoxAction, DiscreteAction, MultiBinaryAction, MultiDiscreteAction
from ppocore.typing import Array

LIMIT_BYTES = 16 * 2**20
"""Bytes that the actions of all current episodes of a run may take in a checkpoint."""


class Joined:
    """Hold parts of an array, and concatenate them only when it is converted to an array.

    A snapshot is taken after every iteration, but few are written: what only a file needs is not computed before.
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = list(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the parts as one array."""
        whole = np.concatenate(self.parts)
        return whole if dtype is None else whole.astype(dtype, copy=False)


class ActionLog:
    """Record the actions of the last steps of N environments.

    Arrays that were returned do not change: rows are only appended, and dropped rows are not overwritten. An episode
    that is too long to be kept is dropped, and its environment is recorded again from its next episode on.

    Args:
        dtype: what the actions are stored as; None for the dtype that they have.
    """

    def __init__(self, dtype: Any = None) -> None:
        self._dtype = dtype
        self._rows: Array | None = None  # (capacity, N, *A)
        self._first = 0  # the step of row 0
        self._count = 0

    def append(self, actions: Array) -> None:
        """Append a copy of one step's actions, (N, *A)."""
        rows = self._rows
        if rows is None or self._count == len(rows):
            rows = self._grown(np.asarray(actions, self._dtype), self._count)
        rows[self._count] = actions
        self._count += 1

    def clear(self) -> None:
        """Drop all actions; the next one is that of step 0."""
        self._rows, self._first, self._count = None, 0, 0

    @property
    def limit(self) -> int | None:
        """The number of steps of the longest episode that is kept; None before the first step."""
        if self._rows is None:
            return None
        row = prod(self._rows.shape[1:]) * self._rows.itemsize
        return max(1, LIMIT_BYTES // max(1, row))

    def since(self, starts: Sequence[int]) -> list[Array]:
        """Return each environment's actions since a step, (L, *A), and drop rows that are not needed any more.

        Episodes that are longer than `limit` have no actions. No more rows are copied, over a run, than were appended.
        """
        limit = self.limit
        if self._rows is None or limit is None:
            return [np.zeros(0)] * len(starts)
        end = self._first + self._count
        kept = [start if end - start <= limit else end for start in starts]
        parts = [self._rows[start - self._first : self._count, i] for i, start in enumerate(kept)]
        unneeded = min(kept) - self._first
        if unneeded > 0 and 2 * unneeded >= self._count:
            rest = self._rows[unneeded : self._count]
            self._first, self._count = self._first + unneeded, len(rest)
            self._grown(self._rows[0], len(rest), rest)
        return parts

    def load(self, actions: Sequence[Array], steps: int) -> None:
        """Continue after ``steps`` steps, with ``actions`` as the last ones of each environment."""
        longest = max(len(part) for part in actions)
        rows = np.zeros((longest, len(actions), *actions[0].shape[1:]), self._dtype or actions[0].dtype)
        for i, part in enumerate(actions):
            rows[longest - len(part) :, i] = part
        self._first, self._count, self._rows = steps - longest, longest, rows

    def _grown(self, like: Array, count: int, rows: Array | None = None) -> Array:
        """Replace the buffer by one of twice the size, and copy ``count`` rows."""
        rows = self._rows if rows is None else rows
        grown = np.zeros((max(256, 2 * count), *like.shape), like.dtype)
        if rows is not None:
            grown[:count] = rows[:count]
        self._rows = grown
        return grown


def stored_dtype(space: ActionSpace) -> np.dtype[Any]:
    """Return the smallest dtype that holds every action of a space; that of the space itself for numbers."""
    if isinstance(space, BoxAction):
        return np.dtype(space.dtype)
    low, high = _limits(space)
    return np.result_type(np.min_scalar_type(np.min(low)), np.min_scalar_type(np.max(high)))


def are_possible(actions: Array, space: ActionSpace) -> bool:
    """Tell whether stored actions, (L, *A), can have been taken in a space."""
    if isinstance(space, BoxAction):
        return bool(np.isfinite(actions).all())
    low, high = _limits(space)
    return bool(((actions >= low) & (actions <= high)).all())


def _limits(space: ActionSpace) -> tuple[Any, Any]:
    """Return the smallest and the largest action of a space of choices, or of each of its parts."""
    if isinstance(space, DiscreteAction):
        return space.start, space.start + space.n - 1
    if isinstance(space, MultiDiscreteAction):
        start = np.array(space.start, np.int64)
        return start.reshape(space.shape), (start + np.array(space.choices) - 1).reshape(space.shape)
    assert isinstance(space, MultiBinaryAction)
    return 0, 1
