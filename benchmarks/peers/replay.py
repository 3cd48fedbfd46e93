"""A vectorised environment of Stable-Baselines3's kind that plays given arrays, for algorithms that collect rollouts.

An observation is the value that the critic is to give for it, so a critic that hands its input on gives the values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (1,), np.float64)
ACTIONS = spaces.Discrete(2)


class Replay:
    """Steps through (T, N) arrays as ``DummyVecEnv.step_wait`` does: float32 rewards, a reset within the step."""

    def __init__(self, rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any) -> None:
        self.num_envs = rewards.shape[1]
        self._rewards, self._values, self._next_values = rewards, values, next_values
        self._terminated, self._truncated = terminated, truncated
        self._row = 0

    def first(self) -> Any:
        """The observations of row 0."""
        return self._values[0][:, None]

    def step(self, actions: Any) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Observations, rewards, ends, and per environment what the library reads at an end."""
        t = self._row
        self._row += 1
        dones = self._terminated[t] | self._truncated[t]
        following = np.where(dones, 0.0, self._next_values[t])  # no row tells what a reset after the last shows
        if t + 1 < len(self._rewards):
            following = self._values[t + 1]
        infos: list[dict[str, Any]] = []
        for i, done in enumerate(dones):
            infos.append({"TimeLimit.truncated": bool(self._truncated[t, i] and not self._terminated[t, i])})
            if done:
                infos[i]["terminal_observation"] = self._next_values[t, i : i + 1]
        return following[:, None], self._rewards[t].astype(np.float32), dones, infos


class Silent:
    """A callback that lets everything go on."""

    def on_rollout_start(self) -> None:
        """Nothing."""

    def update_locals(self, names: dict[str, Any]) -> None:
        """Nothing."""

    def on_step(self) -> bool:
        """Go on."""
        return True

    def on_rollout_end(self) -> None:
        """Nothing."""
