"""Implement `VectorEnvironments` for each of Gymnasium's autoreset modes.

See https://gymnasium.farama.org/main/api/vector/autoreset/.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from ppocore.envs.base import Step, episode_seed
from ppocore.envs.restoring import Restoring
from ppocore.errors import EnvironmentFault
from ppocore.spaces import fitted
from ppocore.typing import Array


class DisabledAutoreset(Restoring):
    """Reset the environments here, each episode with its own seed."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.log_actions()

    def step(self, actions: Array) -> Step:
        """See `VectorEnvironments.step`."""
        observations, rewards, terminated, truncated, _ = self._advance(actions)
        self._check_rewards(rewards)
        self._check_observations(observations)
        if not np.count_nonzero(self._ended):
            self._check_masks()
            return Step(observations, observations, rewards, terminated, truncated, self._all_valid)
        # The reset may overwrite the array that the step returned.
        np.copyto(self._successors, observations)
        observations = self._reset_ended()
        return Step(observations, self._successors, rewards, terminated, truncated, self._all_valid)

    def _reset_ended(self) -> Array:
        seeds: list[int | None] = [None] * self.num_envs
        for index in np.flatnonzero(self._ended).tolist():
            if self._seeds_each:
                seeds[index] = episode_seed(self._seed, index, self._episodes[index] + 1)
            self._begin_episode(index, at=self._steps, seed=seeds[index])
        seed = seeds if self._seeds_each else None
        return self._reset_vector(seed, {"reset_mask": self._ended.copy()}, keep=~self._ended)


class NextStepAutoreset(Restoring):
    """Wrap environments that reset themselves in the step after an end; that step is no transition."""

    def step(self, actions: Array) -> Step:
        """See `VectorEnvironments.step`; invalid rows have reward 0 and no end."""
        # An episode that ended in the last call is reset in this one, also across rollouts.
        valid = self.acting
        any_reset = valid is not self._all_valid
        if any_reset:
            for index in np.flatnonzero(~valid).tolist():
                self._begin_episode(index, at=self._steps + 1)
        observations, rewards, terminated, truncated, _ = self._advance(actions)
        if any_reset:
            rewards = np.where(valid, rewards, 0.0)
            terminated, truncated = terminated & valid, truncated & valid
        self._check_rewards(rewards)
        self._check_observations(observations)
        self.acting = self._all_valid
        if np.count_nonzero(self._ended):
            self.acting = ~self._ended
            self.acting.flags.writeable = False
        self._check_masks()
        return Step(observations, observations, rewards, terminated, truncated, valid)


class SameStepAutoreset(Restoring):
    """Wrap environments that reset themselves within the step that ends an episode.

    The final observation is read from the info dictionary. An environment that returns the same array at every step
    overwrites it there, because Gymnasium keeps a reference and no copy.
    """

    def step(self, actions: Array) -> Step:
        """See `VectorEnvironments.step`."""
        observations, rewards, terminated, truncated, info = self._advance(actions)
        self._check_rewards(rewards)
        if not np.count_nonzero(self._ended):
            self._check_observations(observations)
            self._check_masks()
            return Step(observations, observations, rewards, terminated, truncated, self._all_valid)
        ended = np.flatnonzero(self._ended).tolist()
        np.copyto(self._successors, observations)
        for index in ended:
            self._successors[index] = self._final_observation(index, info)
        self._check_observations(self._successors)
        for index in ended:
            self._begin_episode(index, at=self._steps)
        self._check_observations(observations)
        self._check_masks()
        return Step(observations, self._successors, rewards, terminated, truncated, self._all_valid)

    def _final_observation(self, index: int, info: dict[str, Any]) -> Any:
        key = "final_obs" if "final_obs" in info else "terminal_observation"  # as SuperSuit calls it
        final, present = info.get(key), info.get(f"_{key}")
        # A list of one observation for each environment, or a batch structured as their space.
        final = final[index] if isinstance(final, np.ndarray | list) else _row(final, index)
        if final is None or (present is not None and not present[index]):
            raise EnvironmentFault(
                f'{self.name}: the episode of environment {index} ended without an info["final_obs"], which '
                f"the autoreset mode SAME_STEP requires, {self._location(index, self._steps)}"
            )
        try:
            if self._is_box:
                return fitted(final, self._successors.dtype, self._successors.shape[1:])
            return self.observation_mapping.flatten_one(final)
        except ValueError as error:
            raise EnvironmentFault(
                f'{self.name}: environment {index} gave an info["final_obs"] that is not in its space, '
                f"{self._location(index, self._steps)}: {error}"
            ) from error


def _row(batch: Any, index: int) -> Any:
    """Return one environment's row of a batch that is structured as their space."""
    if isinstance(batch, dict):
        return {key: _row(part, index) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_row(part, index) for part in batch)
    return None if batch is None else batch[index]


BY_MODE: dict[AutoresetMode, type[Restoring]] = {
    AutoresetMode.DISABLED: DisabledAutoreset,
    AutoresetMode.NEXT_STEP: NextStepAutoreset,
    AutoresetMode.SAME_STEP: SameStepAutoreset,
}
