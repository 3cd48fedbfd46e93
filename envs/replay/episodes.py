"""Describe the episodes that restore every environment: their seeds and actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.envs.replay.action_log import Joined
from ppocore.files.schema import tensor
from ppocore.typing import Array

_COUNTS = ("seeds", "counts", "lengths")


class Episodes(NamedTuple):
    """Describe the current episodes of N environments; ``actions`` is None if they cannot be replayed.

    An environment at the start of an episode has nothing to replay that would show whether its rewards depend on
    earlier episodes. So there the previous episode is kept, too.
    """

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
    previous: list[Array] | None = None
    """Actions of each previous episode, (L, *A), where the current one has none; else none."""

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
        if self.previous is not None and any(len(part) for part in self.previous):
            tensors["previous_lengths"] = np.array([len(part) for part in self.previous], np.int64)
            tensors["previous_actions"] = Joined(self.previous)
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
        parts = _split(actions, kept)
        previous = None
        if "previous_actions" in tensors:  # not in older files
            before = tensor(tensors, "previous_lengths", (num_envs,), "int64", least=0).tolist()
            if any(b and (length or not count) for b, length, count in zip(before, lengths, counts, strict=True)):
                raise ValueError("previous_lengths has that of an environment that is not at the start of an episode")
            previous = _split(np.asarray(tensors["previous_actions"]), before)
        return cls(seeds, counts, lengths, steps, parts, previous)


def _split(actions: Array, lengths: list[int]) -> list[Array]:
    """Split the actions of all episodes into those of each."""
    if actions.ndim == 0 or sum(lengths) != len(actions):
        raise ValueError("the number of actions is not the sum of the episodes' lengths")
    return np.split(actions, np.cumsum(lengths)[:-1])
