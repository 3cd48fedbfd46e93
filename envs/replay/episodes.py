"""Describe the current episode of every environment: its seed and its actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.envs.replay.action_log import Joined
from ppocore.files.schema import tensor
from ppocore.typing import Array

_COUNTS = ("seeds", "counts", "lengths")


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
    """Actions of each current episode (L, *A); none for an episode that was too long to be kept."""

    @property
    def dropped(self) -> list[int]:
        """The environments whose episode is too long to be kept."""
        if self.actions is None:
            return []
        return [i for i, part in enumerate(self.actions) if len(part) < self.lengths[i]]

    def to_tensors(self) -> dict[str, Any]:
        """Return the fields as named arrays, for a file; the actions are joined when they are converted to an array."""
        tensors: dict[str, Any] = {
            "seeds": np.array(self.seeds, np.int64),
            "counts": np.array(self.counts, np.int64),
            "lengths": np.array(self.lengths, np.int64),
            "steps": np.array(self.steps, np.int64),
        }
        if self.actions is not None:
            tensors["actions"] = Joined(self.actions)
            if self.dropped:
                tensors["dropped"] = np.array(self.dropped, np.int64)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any], num_envs: int) -> Episodes:
        """Invert `to_tensors`.

        Raises:
            KeyError: an array is missing.
            ValueError: inconsistent arrays, or another number of environments.
        """
        for name, least in (("seeds", -1), ("counts", 0), ("lengths", 0)):
            tensor(tensors, name, (num_envs,), "int64", least=least)
        seeds, counts, lengths = (tensors[name].tolist() for name in _COUNTS)
        steps = int(tensor(tensors, "steps", (), "int64", least=max(lengths)))
        if "actions" not in tensors:
            return cls(seeds, counts, lengths, steps, None)
        actions = np.asarray(tensors["actions"])
        dropped = np.asarray(tensors.get("dropped", np.zeros(0, np.int64)))
        if dropped.dtype != np.int64 or not set(dropped.ravel().tolist()) <= set(range(num_envs)):
            raise ValueError(f"dropped={dropped.tolist()} are not indices of {num_envs} environments")
        kept = [0 if i in dropped else length for i, length in enumerate(lengths)]
        if actions.ndim == 0 or sum(kept) != len(actions):
            raise ValueError("the number of actions is not the sum of the episodes' lengths")
        parts = np.split(actions, np.cumsum(kept)[:-1])
        return cls(seeds, counts, lengths, steps, parts)
