"""Vector environments that can be brought back to where they stood, and what can be done where they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from ppocore.envs.base import VectorEnvironments, episode_seed
from ppocore.envs.replay.episodes import Episodes
from ppocore.envs.replay.replaying import Arrival, Order, replay_one
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.errors import EnvironmentFault
from ppocore.typing import Array


class Restoring(VectorEnvironments):
    """`state` and `restore` for every autoreset mode."""

    def log_actions(self) -> None:
        """Remember the actions of every episode, if that is all it takes to repeat one.

        It is where each begins with a reset of its own. A wrapper around the vector may have a state of its own.
        """
        vector = self._vector
        self._logging = self._seeds_each and isinstance(vector, SyncVectorEnv | WorkerVectorEnv)

    def state(self) -> dict[str, Array]:
        """See `VectorEnvironments.state`."""
        episodes = Episodes(
            [-1 if seed is None else seed for seed in self.episode_seeds],
            list(self._episodes),
            [self._steps - began for began in self._began],
            self._steps,
            self._log.since(self._began) if self._logging else None,
        )
        return episodes.to_tensors()

    def restore(self, state: Mapping[str, Array], observations: Array) -> tuple[Array, dict[int, str]]:
        """See `VectorEnvironments.restore`."""
        episodes = Episodes.from_tensors(state, self.num_envs)
        self._steps = episodes.steps
        self._episodes = list(episodes.counts)
        self._began = [episodes.steps - length for length in episodes.lengths]
        self.episode_seeds = [None if seed < 0 else seed for seed in episodes.seeds]
        if not self._logging or episodes.actions is None:
            reason = "its state cannot be read, nor its episode be repeated from its seed"
            return self._restart(), dict.fromkeys(range(self.num_envs), reason)
        orders: list[Order] = list(zip(episodes.seeds, episodes.actions, strict=True))
        arrivals = _replay(self._vector, orders)
        found, masks, lost = observations.copy(), [None] * self.num_envs, dict[int, str]()
        for index, arrival in enumerate(arrivals):
            why = self._arrived(arrival, observations[index], found, masks, index)
            if why:
                lost[index] = why
                self._begin_episode(
                    index, at=self._steps, seed=episode_seed(self._seed, index, self._episodes[index] + 1)
                )
        if lost:
            nothing = episodes.actions[0][:0]
            anew = _replay(
                self._vector, [(self.episode_seeds[i], nothing) if i in lost else None for i in range(self.num_envs)]
            )
            for index in lost:
                why = self._arrived(anew[index], None, found, masks, index)
                if why:
                    raise EnvironmentFault(f"{self.name}: environment {index} could not be reset: {why}")
        self._log.load([part[:0] if i in lost else part for i, part in enumerate(episodes.actions)], self._steps)
        self._masks.read({"action_mask": masks} if any(mask is not None for mask in masks) else {})
        self._check_observations(found)
        self._check_masks()
        return found, lost

    def _arrived(self, arrival: Any, expected: Array | None, found: Array, masks: list[Any], index: int) -> str:
        """Keeps where a replay led, or says why it is not where it was to lead."""
        observation, mask, why = arrival
        if why:
            return str(why)
        if self._as_it_is:
            flat = np.asarray(observation, found.dtype)
        else:
            flat = self.observation_mapping.flatten_one(observation)
        if expected is not None and not np.array_equal(flat, expected):
            return "its actions, replayed from its seed, lead to another observation"
        found[index], masks[index] = flat, mask
        return ""

    def _restart(self) -> Array:
        """The next episode of every environment."""
        for index in range(self.num_envs):
            seed = episode_seed(self._seed, index, self._episodes[index] + 1)
            self._begin_episode(index, at=self._steps, seed=seed if self._seeds_each else None)
        seeds: Any = self.episode_seeds if self._seeds_each else episode_seed(self._seed, 0, self._steps + 1)
        try:
            structured, info = self._vector.reset(seed=seeds)
            observations = self._array(structured)
            self._masks.read(info)
        except Exception as error:
            raise self._raised("reset", error) from error
        self._check_observations(observations)
        self._check_masks()
        return observations


def _replay(vector: VectorEnv[Any, Any, Any], orders: Sequence[Order]) -> list[Arrival]:
    """Bring each environment of ``vector`` to where its order leads."""
    if isinstance(vector, SyncVectorEnv):
        return [replay_one(environment, order) for environment, order in zip(vector.envs, orders, strict=True)]
    assert isinstance(vector, WorkerVectorEnv)
    return list(vector.call("replay", list(orders)))
