"""Step environments in turn, with little overhead beyond their own steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ppocore.envs.action_masks import InfoMask
from ppocore.envs.errors import FailedEnvironment, describe, raise_failed
from ppocore.envs.infos import joined, kept
from ppocore.envs.observations import ObservationRows
from ppocore.envs.resets import reset_arguments
from ppocore.envs.results import FLAG_TYPES, REWARD_TYPES, read_flag, read_info, read_reward, reset_parts, step_parts

if TYPE_CHECKING:
    _SyncVectorEnv = SyncVectorEnv[Any, Any]
else:  # generic only since Gymnasium 1.4
    _SyncVectorEnv = SyncVectorEnv


class LeanSyncVectorEnv(_SyncVectorEnv):
    """Extend `SyncVectorEnv`: no autoreset, no copies, and one rule for what an environment may return.

    Batching observations, copying results and merging info dictionaries took a quarter of Gymnasium's step on
    CartPole (docs/performance.md); here each result is written directly to its row. The next call overwrites the
    arrays.
    """

    returns_checked = True

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.DISABLED)
        self._rows = ObservationRows(self.single_observation_space, self._observations)
        self._mask_of = InfoMask(self.single_action_space)
        array: Any = self._observations
        # Of the observations that are copied as they are; None where the space is not one array.
        self._row = (array.shape[1:], array.dtype) if isinstance(array, np.ndarray) else (None, None)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset every environment in turn, or those in ``options["reset_mask"]``."""
        masks = {}
        for i, arguments in reset_arguments(self.num_envs, seed, options).items():
            try:
                result = self.envs[i].reset(**arguments)
            except BaseException as error:
                raise_failed(error, i)
            try:
                observation, info = reset_parts(result)
                self._rows.write(i, observation)
            except ValueError as error:
                raise FailedEnvironment(i, f"it {error}") from error
            if info and (mask := self._mask_of(info, i)) is not None:
                masks[i] = mask
        return self._observations, joined(self.num_envs, masks, {})

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment in turn."""
        observations: Any = self._observations
        shape, dtype = self._row
        rewards, terminations, truncations = self._rewards, self._terminations, self._truncations
        masks, finals = {}, {}
        for i, (environment, action) in enumerate(zip(self.envs, actions, strict=True)):
            try:
                result = environment.step(action)
            except BaseException as error:
                raise_failed(error, i)
            try:
                if type(result) is not tuple or len(result) != 5:
                    result = step_parts(result)
                observation, reward, terminated, truncated, info = result
                if type(observation) is np.ndarray and observation.dtype is dtype and observation.shape == shape:
                    observations[i] = observation
                else:
                    self._rows.write(i, observation)
                rewards[i] = reward if type(reward) in REWARD_TYPES else read_reward(reward)
                if type(terminated) not in FLAG_TYPES:
                    terminated = read_flag("terminated", terminated)
                if type(truncated) not in FLAG_TYPES:
                    truncated = read_flag("truncated", truncated)
                terminations[i], truncations[i] = terminated, truncated
                if type(info) is dict and not info:
                    continue
                said = read_info(info)
            except ValueError as error:
                raise FailedEnvironment(i, f"it {error}") from error
            if (mask := self._mask_of(said, i)) is not None:
                masks[i] = mask
            if terminated or truncated:
                finals[i] = kept(said)  # the reset that follows may change it
        infos = joined(self.num_envs, masks, finals) if masks or finals else {}
        # Copies, because the caller keeps the flags of the step before.
        return observations, rewards, terminations.copy(), truncations.copy(), infos

    def close_extras(self, **settings: Any) -> None:
        """Close every environment, and raise the first failure when all have had their turn."""
        failures: list[FailedEnvironment] = []
        for i, environment in enumerate(self.envs):
            try:
                environment.close()
            except (Exception, SystemExit) as error:
                failures.append(FailedEnvironment(i, describe(error)))
        if failures:
            raise failures[0]
