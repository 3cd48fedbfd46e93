"""Record the current episode of every environment: its seed and its actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ppocore.typing import Array


class Episodes(NamedTuple):
    """Describe the current episodes of N environments; ``actions`` is None if they cannot be replayed."""

    seeds: list[int]
    """Seed of each current episode; -1 where it is not known."""
    counts: list[int]
    """Number of earlier episodes of each environment."""
    lengths: list[int]
    """Steps of each current episode so far."""
    steps: int
    """Calls of ``step`` since the first reset."""
    actions: list[Array] | None
    """Actions of each current episode (L, *A)."""

    def to_tensors(self) -> dict[str, Array]:
        """Return the fields as named arrays, for a file."""
        tensors: dict[str, Array] = {
            "seeds": np.array(self.seeds, np.int64),
            "counts": np.array(self.counts, np.int64),
            "lengths": np.array(self.lengths, np.int64),
            "steps": np.array(self.steps, np.int64),
        }
        if self.actions is not None:
            tensors["actions"] = np.concatenate(self.actions)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], num_envs: int) -> Episodes:
        """Invert `to_tensors`.

        Raises:
            KeyError: an array is missing.
            ValueError: inconsistent arrays, or another number of environments.
        """
        seeds, counts, lengths = (tensors[name].tolist() for name in ("seeds", "counts", "lengths"))
        actions = tensors.get("actions")
        if any(tensors[name].shape != (num_envs,) for name in ("seeds", "counts", "lengths")) or min(lengths) < 0:
            raise ValueError(f"the episodes are not those of {num_envs} environments")
        if actions is None:
            return cls(seeds, counts, lengths, int(tensors["steps"]), None)
        if actions.ndim == 0 or sum(lengths) != len(actions):
            raise ValueError("the number of actions is not the sum of the episodes' lengths")
        parts = np.split(actions, np.cumsum(lengths)[:-1])
        return cls(seeds, counts, lengths, int(tensors["steps"]), parts)


class ActionLog:
    """Record the actions of the last steps of N environments.

    Arrays that were returned do not change: rows are only appended, and dropped rows are not overwritten.
    """

    def __init__(self) -> None:
        self._rows: Array | None = None  # (capacity, N, *A)
        self._first = 0  # the step of row 0
        self._count = 0

    def append(self, actions: Array) -> None:
        """Append a copy of one step's actions, (N, *A)."""
        rows = self._rows
        if rows is None or self._count == len(rows):
            rows = self._grown(np.asarray(actions), self._count)
        rows[self._count] = actions
        self._count += 1

    def clear(self) -> None:
        """Drop all actions; the next one is that of step 0."""
        self._rows, self._first, self._count = None, 0, 0

    def since(self, starts: Sequence[int]) -> list[Array]:
        """Return each environment's actions since a step, (L, *A), and drop those before the earliest step."""
        if self._rows is None:
            return [np.zeros(0)] * len(starts)
        kept = [self._rows[start - self._first : self._count, i] for i, start in enumerate(starts)]
        earliest = min(starts)
        if earliest > self._first:
            rest = self._rows[earliest - self._first : self._count]
            self._first, self._count = earliest, len(rest)
            self._rows = self._grown(self._rows[0], len(rest), rest)
        return kept

    def load(self, actions: Sequence[Array], steps: int) -> None:
        """Continue after ``steps`` steps, with ``actions`` as the last ones of each environment."""
        longest = max(len(part) for part in actions)
        rows = np.zeros((longest, len(actions), *actions[0].shape[1:]), actions[0].dtype)
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
