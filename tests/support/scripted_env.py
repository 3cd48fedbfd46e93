"""An environment whose observations, rewards and ends are known in advance, and its transitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import gymnasium as gym
import numpy as np

Script = list[tuple[int, str]]
"""Length and end of each episode; the first follows the last."""

ENDS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}


class Transition(NamedTuple):
    observation: tuple[float, ...]
    next_observation: tuple[float, ...]
    reward: float
    terminated: bool
    truncated: bool


class ScriptedEnv(gym.Env):
    """Follows a script; observations are (environment, episode, step, sum of the actions since the reset)."""

    observation_space = gym.spaces.Box(-1e6, 1e6, (4,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, number: int, script: Script) -> None:
        self.number, self.script, self.episode = number, script, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t, self.total = self.episode + 1, 0, 0
        return self._observation(), {}

    def step(self, action):
        self.t, self.total = self.t + 1, self.total + int(action)
        length, end = self.script[self.episode % len(self.script)]
        terminated, truncated = ENDS[end] if self.t == length else (False, False)
        return self._observation(), self._reward(int(action)), terminated, truncated, {}

    def _observation(self):
        return np.array([self.number, self.episode, self.t, self.total], np.float32)

    def _reward(self, action: int) -> float:
        return self.number + 0.5 * self.episode + 0.25 * self.t + 4 * action


def policy(observations: np.ndarray) -> np.ndarray:
    """Choose actions that depend on the observations, so that a wrong action changes all later ones."""
    return (observations @ np.array([1, 1, 1, 3]) % 2).astype(np.int64)


def played_by_hand(number: int, script: Script) -> Iterator[Transition]:
    """Yield the transitions of one environment under `policy`, without Gymnasium's vector environments."""
    env = ScriptedEnv(number, script)
    while True:
        observation, _ = env.reset()
        ended = False
        while not ended:
            successor, reward, terminated, truncated, _ = env.step(policy(observation[None])[0])
            yield Transition(tuple(observation), tuple(successor), reward, terminated, truncated)
            observation, ended = successor, terminated or truncated
