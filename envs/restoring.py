"""Restore vector environments by replay, and restart those that cannot be restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from ppocore.envs.base import VectorEnvironments, episode_seed
from ppocore.envs.replay import (
    ActionLog,
    Episodes,
    ReplayRequest,
    ReplayResult,
    are_possible,
    replay_one,
    stored_dtype,
)
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.errors import EnvironmentFault
from ppocore.files.schema import tensor
from ppocore.spaces import fitted
from ppocore.typing import Array


class Restoring(VectorEnvironments):
    """Implement `state` and `restore` for every autoreset mode."""

    def log_actions(self) -> None:
        """Record the actions of every episode, if a replay needs nothing else.

        Each episode must start with a reset of its own, and a wrapper around the vector environment may have state.
        """
        vector = self._vector
        self._logging = self._seeds_each and isinstance(vector, SyncVectorEnv | WorkerVectorEnv)
        self._log = ActionLog(stored_dtype(self.action_space))

    def state(self) -> dict[str, Any]:
        """See `VectorEnvironments.state`."""
        lengths = [self._steps - start for start in self._starts]
        actions = previous = None
        if self._logging:
            # At the start of an episode, those of the previous one.
            both = zip(lengths, self._starts, self._previous_starts, strict=True)
            kept = self._log.since([start if length else before for length, start, before in both])
            actions = [part[: len(part) if length else 0] for part, length in zip(kept, lengths, strict=True)]
            previous = [part[: 0 if length else len(part)] for part, length in zip(kept, lengths, strict=True)]
        episodes = Episodes(
            [-1 if seed is None else seed for seed in self.episode_seeds],
            list(self._episodes),
            lengths,
            self._steps,
            actions,
            previous,
        )
        return episodes.to_tensors()

    def restore(
        self, state: Mapping[str, Array], observations: Array, returns: Array | None = None
    ) -> tuple[Array, dict[int, str]]:
        """See `VectorEnvironments.restore`."""
        episodes = Episodes.from_tensors(state, self.num_envs)
        self._steps = episodes.steps
        self._episodes = list(episodes.counts)
        self._starts = [episodes.steps - length for length in episodes.lengths]
        self._previous_starts = list(self._starts)
        self.episode_seeds = [None if seed < 0 else seed for seed in episodes.seeds]
        if not self._logging or episodes.actions is None:
            reason = "its state cannot be read, and its episode cannot be replayed from its seed"
            return self._restart(), dict.fromkeys(range(self.num_envs), reason)
        self._check_seeds(episodes)
        dropped = set(episodes.dropped)
        taken, previous = self._taken(episodes.actions), self._previous(episodes)
        before_returns = np.full(self.num_envs, np.nan)
        if episodes.previous is not None:
            before_returns = tensor(state, "previous_returns", (self.num_envs,), "float64")
        results = _replay(
            self._vector,
            [
                None if i in dropped else ReplayRequest(episodes.seeds[i], taken[i], previous[i])
                for i in range(self.num_envs)
            ],
        )
        found, masks, lost = observations.copy(), [None] * self.num_envs, dict[int, str]()
        for index, result in enumerate(results):
            if index in dropped:
                reason = f"its episode is {episodes.lengths[index]} steps long, too long for its actions to be kept"
            else:
                reason = self._accept(result, observations[index], found, masks, index)
            if not reason and result is not None:
                if returns is not None and result.total != returns[index]:
                    reason = "replaying its actions from its seed leads to other rewards"
                elif previous[index] is not None and result.previous_total != before_returns[index]:
                    reason = "replaying its previous episode from its seed leads to other rewards"
            if reason:
                lost[index] = reason
                self._begin_episode(
                    index, at=self._steps, seed=episode_seed(self._seed, index, self._episodes[index] + 1)
                )
                self._previous_starts[index] = self._steps  # what was abandoned is not to be replayed
        if lost:
            no_actions = taken[0][:0]
            restarted = _replay(
                self._vector,
                [ReplayRequest(self.episode_seeds[i], no_actions) if i in lost else None for i in range(self.num_envs)],
            )
            for index in lost:
                reason = self._accept(restarted[index], None, found, masks, index)
                if reason:
                    raise EnvironmentFault(f"{self.name}: environment {index} could not be reset: {reason}")
        kept = [part if before is None else before[1] for part, before in zip(taken, previous, strict=True)]
        self._log.load([part[:0] if i in lost else part for i, part in enumerate(kept)], self._steps)
        self._masks.read({"action_mask": masks} if any(mask is not None for mask in masks) else {})
        self._check_observations(found)
        self._check_masks()
        return found, lost

    def _previous(self, episodes: Episodes) -> list[tuple[int, Array] | None]:
        """Return the seed and the actions of each previous episode that is to be replayed."""
        found: list[tuple[int, Array] | None] = [None] * self.num_envs
        for index, actions in enumerate(self._taken(episodes.previous or [])):
            if len(actions):
                self._previous_starts[index] -= len(actions)
                found[index] = episode_seed(self._seed, index, episodes.counts[index] - 1), actions
        return found

    def _taken(self, actions: Sequence[Array]) -> list[Array]:
        """Return stored actions as the environments took them.

        Raises:
            ValueError: they are not of the action space.
        """
        space = self.action_space
        for part in actions:
            stored = part.dtype in (stored_dtype(space), np.dtype(space.dtype))
            if len(part) and not (stored and part.shape[1:] == space.shape):
                raise ValueError(f"it has actions of dtype {part.dtype} and shape {part.shape[1:]}, not of {space}")
            if not are_possible(part, space):
                raise ValueError(f"it has an action that is not in {space}")
        return [part.astype(space.dtype, copy=False) for part in actions]

    def _check_seeds(self, episodes: Episodes) -> None:
        """Check that each episode's seed is the one that this run gives it.

        Raises:
            ValueError: it is not; the episodes that follow would be others than those of the run.
        """
        for index, (seed, count) in enumerate(zip(episodes.seeds, episodes.counts, strict=True)):
            if seed != episode_seed(self._seed, index, count):
                raise ValueError(f"environment {index} has the seed {seed} in its episode {count}, not that of the run")

    def _accept(
        self, result: ReplayResult | None, expected: Array | None, found: Array, masks: list[Any], index: int
    ) -> str:
        """Store the result of a replay, or return why it is not the expected one."""
        assert result is not None
        observation, mask = result.observation, result.mask
        if result.failure:
            return result.failure
        try:
            if self._is_box:
                flat = fitted(observation, found.dtype, found.shape[1:])
            else:
                flat = self.observation_mapping.flatten_one(observation)
        except ValueError as error:
            return f"its observation {error}"
        if expected is not None and not np.array_equal(flat, expected):
            return "replaying its actions from its seed leads to another observation"
        found[index], masks[index] = flat, mask
        return ""

    def _restart(self) -> Array:
        """Start the next episode of every environment."""
        for index in range(self.num_envs):
            seed = episode_seed(self._seed, index, self._episodes[index] + 1)
            self._begin_episode(index, at=self._steps, seed=seed if self._seeds_each else None)
        seeds: Any = self.episode_seeds if self._seeds_each else episode_seed(self._seed, 0, self._steps + 1)
        return self._reset_vector(seeds, limited=False)


def _replay(vector: VectorEnv[Any, Any, Any], requests: Sequence[ReplayRequest | None]) -> list[ReplayResult | None]:
    """Send each environment of ``vector`` its request."""
    if isinstance(vector, SyncVectorEnv):
        return [replay_one(environment, request) for environment, request in zip(vector.envs, requests, strict=True)]
    assert isinstance(vector, WorkerVectorEnv)
    return list(vector.call("replay", list(requests)))
