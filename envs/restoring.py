"""Restore vector environments by replay, and restart those that cannot be restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from ppocore.envs.base import VectorEnvironments, episode_seed
from ppocore.envs.replay import Episodes, ReplayRequest, ReplayResult, replay_one
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.errors import EnvironmentFault
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

    def state(self) -> dict[str, Array]:
        """See `VectorEnvironments.state`."""
        episodes = Episodes(
            [-1 if seed is None else seed for seed in self.episode_seeds],
            list(self._episodes),
            [self._steps - start for start in self._starts],
            self._steps,
            self._log.since(self._starts) if self._logging else None,
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
        self.episode_seeds = [None if seed < 0 else seed for seed in episodes.seeds]
        if not self._logging or episodes.actions is None:
            reason = "its state cannot be read, and its episode cannot be replayed from its seed"
            return self._restart(), dict.fromkeys(range(self.num_envs), reason)
        requests: list[ReplayRequest] = list(zip(episodes.seeds, episodes.actions, strict=True))
        results = _replay(self._vector, requests)
        found, masks, lost = observations.copy(), [None] * self.num_envs, dict[int, str]()
        for index, result in enumerate(results):
            reason = self._accept(result, observations[index], found, masks, index)
            if not reason and returns is not None and result is not None and result[3] != returns[index]:
                reason = "replaying its actions from its seed leads to other rewards"
            if reason:
                lost[index] = reason
                self._begin_episode(
                    index, at=self._steps, seed=episode_seed(self._seed, index, self._episodes[index] + 1)
                )
        if lost:
            no_actions = episodes.actions[0][:0]
            restarted = _replay(
                self._vector, [(self.episode_seeds[i], no_actions) if i in lost else None for i in range(self.num_envs)]
            )
            for index in lost:
                reason = self._accept(restarted[index], None, found, masks, index)
                if reason:
                    raise EnvironmentFault(f"{self.name}: environment {index} could not be reset: {reason}")
        self._log.load([part[:0] if i in lost else part for i, part in enumerate(episodes.actions)], self._steps)
        self._masks.read({"action_mask": masks} if any(mask is not None for mask in masks) else {})
        self._check_observations(found)
        self._check_masks()
        return found, lost

    def _accept(self, result: Any, expected: Array | None, found: Array, masks: list[Any], index: int) -> str:
        """Store the result of a replay, or return why it is not the expected one."""
        observation, mask, reason, _ = result
        if reason:
            return str(reason)
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


def _replay(vector: VectorEnv[Any, Any, Any], requests: Sequence[ReplayRequest]) -> list[ReplayResult]:
    """Send each environment of ``vector`` its request."""
    if isinstance(vector, SyncVectorEnv):
        return [replay_one(environment, request) for environment, request in zip(vector.envs, requests, strict=True)]
    assert isinstance(vector, WorkerVectorEnv)
    return list(vector.call("replay", list(requests)))
