"""Replay given arrays as a vectorized environment of Stable-Baselines3's kind.

It is for algorithms that collect their own rollouts. An observation is the value that the critic should return for it,
so the critic is the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (1,), np.float64)
ACTIONS = spaces.Discrete(2)


class Replay:
    """Step through (T, N) arrays as ``DummyVecEnv.step_wait`` does: float32 rewards, a reset within the step."""

    def __init__(self, rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any) -> None:
        self.num_envs = rewards.shape[1]
        self._rewards, self._values, self._next_values = rewards, values, next_values
        self._terminated, self._truncated = terminated, truncated
        self._row = 0

    def first(self) -> Any:
        """Return the observations of row 0."""
        return self._values[0][:, None]

    def step(self, actions: Any) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Return observations, rewards, dones, and for each environment the info that the library reads at an end."""
        t = self._row
        self._row += 1
        dones = self._terminated[t] | self._truncated[t]
        # After the last row, the observation of a reset is unknown.
        following = np.where(dones, 0.0, self._next_values[t])
        if t + 1 < len(self._rewards):
            following = self._values[t + 1]
        infos: list[dict[str, Any]] = []
        for i, done in enumerate(dones):
            infos.append({"TimeLimit.truncated": bool(self._truncated[t, i] and not self._terminated[t, i])})
            if done:
                infos[i]["terminal_observation"] = self._next_values[t, i : i + 1]
        return following[:, None], self._rewards[t].astype(np.float32), dones, infos


class Silent:
    """Let everything continue (a callback)."""

    def on_rollout_start(self) -> None:
        """Do nothing."""

    def update_locals(self, names: dict[str, Any]) -> None:
        """Do nothing."""

    def on_step(self) -> bool:
        """Return True, which continues."""
        return True

    def on_rollout_end(self) -> None:
        """Do nothing."""
