"""Gymnasium's synchronous vector environment, with a step that costs little more than its environments'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ppocore.envs.action_masks import ReadsMasks
from ppocore.envs.errors import FailedEnvironment

if TYPE_CHECKING:
    _SyncVectorEnv = SyncVectorEnv[Any, Any]
else:  # generic only since Gymnasium 1.4
    _SyncVectorEnv = SyncVectorEnv


class LeanSyncVectorEnv(ReadsMasks, _SyncVectorEnv):
    """`SyncVectorEnv` without autoreset or copies; lean for observations that are one array.

    Making a batch of observations, copying the results and merging empty information took a quarter of
    Gymnasium's own step on CartPole (docs/performance.md); here each result is written to its place as it comes.
    The arrays that a call gives are valid until the next.
    """

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.DISABLED)
        self._one_array = isinstance(self._observations, np.ndarray)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every environment, in turn."""
        if not self._one_array:
            return super().step(actions)
        observations: Any = self._observations
        shape = observations.shape[1:]
        rewards, terminations, truncations = self._rewards, self._terminations, self._truncations
        infos: dict[str, Any] = {}
        for i, (environment, action) in enumerate(zip(self.envs, actions, strict=True)):
            observation, rewards[i], terminations[i], truncations[i], info = environment.step(action)
            if np.shape(observation) != shape:  # which an assignment would stretch to fit if it could
                found = np.shape(observation)
                raise FailedEnvironment(i, f"it gave an observation of shape {found}, expected {shape}")
            observations[i] = self._env_obs[i] = observation  # `reset` of some puts all of `_env_obs` together
            if info:
                infos = self._add_info(infos, info, i)
        # Copies, because `reset` clears the flags of what it resets in place.
        return observations, rewards, terminations.copy(), truncations.copy(), infos
