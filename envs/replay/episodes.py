"""The current episode of every environment, as what it takes to come to where it stands: its seed and its actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ppocore.typing import Array


class Episodes(NamedTuple):
    """Where N environments stand.  ``actions`` is None where they cannot be brought back there."""

    seeds: list[int]
    """With which each current episode began; -1 where it is not known."""
    counts: list[int]
    """How many episodes came before, each."""
    lengths: list[int]
    """Steps since each began."""
    steps: int
    """Calls of ``step`` since the first reset."""
    actions: list[Array] | None
    """Of each environment, those of its current episode (L, *A)."""

    def to_tensors(self) -> dict[str, Array]:
        """As arrays by name, for a file."""
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
        """The inverse of `to_tensors`.

        Raises:
            KeyError: an array is missing.
            ValueError: arrays that do not fit together, or another number of environments.
        """
        seeds, counts, lengths = (tensors[name].tolist() for name in ("seeds", "counts", "lengths"))
        actions = tensors.get("actions")
        if any(tensors[name].shape != (num_envs,) for name in ("seeds", "counts", "lengths")) or min(lengths) < 0:
            raise ValueError(f"it is not of {num_envs} environments")
        if actions is None:
            return cls(seeds, counts, lengths, int(tensors["steps"]), None)
        if actions.ndim == 0 or sum(lengths) != len(actions):
            raise ValueError("the actions of its episodes are not as many as the episodes are long")
        parts = np.split(actions, np.cumsum(lengths)[:-1])
        return cls(seeds, counts, lengths, int(tensors["steps"]), parts)


class ActionLog:
    """The actions of the last steps of N environments.

    What was handed out stays as it is: rows are only added behind it, and what is forgotten is not overwritten.
    """

    def __init__(self) -> None:
        self._rows: Array | None = None  # (capacity, N, *A)
        self._first = 0  # the step of row 0
        self._count = 0

    def append(self, actions: Array) -> None:
        """One step's actions, (N, *A); copied."""
        rows = self._rows
        if rows is None or self._count == len(rows):
            rows = self._grown(np.asarray(actions), self._count)
        rows[self._count] = actions
        self._count += 1

    def clear(self) -> None:
        """Forget everything; the next action is that of step 0."""
        self._rows, self._first, self._count = None, 0, 0

    def since(self, began: Sequence[int]) -> list[Array]:
        """For each environment its actions since a step, (L, *A); those before the earliest of them are forgotten."""
        if self._rows is None:
            return [np.zeros(0)] * len(began)
        kept = [self._rows[start - self._first : self._count, i] for i, start in enumerate(began)]
        earliest = min(began)
        if earliest > self._first:
            rest = self._rows[earliest - self._first : self._count]
            self._first, self._count = earliest, len(rest)
            self._rows = self._grown(self._rows[0], len(rest), rest)
        return kept

    def load(self, actions: Sequence[Array], steps: int) -> None:
        """Continue after ``steps`` steps, of which the last ones of each environment were these."""
        longest = max(len(part) for part in actions)
        rows = np.zeros((longest, len(actions), *actions[0].shape[1:]), actions[0].dtype)
        for i, part in enumerate(actions):
            rows[longest - len(part) :, i] = part
        self._first, self._count, self._rows = steps - longest, longest, rows

    def _grown(self, like: Array, count: int, rows: Array | None = None) -> Array:
        """Room for as many rows again, with the ``count`` rows there are."""
        rows = self._rows if rows is None else rows
        grown = np.zeros((max(256, 2 * count), *like.shape), like.dtype)
        if rows is not None:
            grown[:count] = rows[:count]
        self._rows = grown
        return grown
