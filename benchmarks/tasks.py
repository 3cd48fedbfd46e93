"""Gymnasium's tasks with other kinds of action, for the benchmarks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class MultiDiscreteEngines(gym.ActionWrapper):
    """LunarLander with its main engine off or on, and its side engines left, off or right."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiDiscrete([2, 3])

    def action(self, action: Any) -> Any:
        """Full power where an engine is on."""
        main, side = action
        return np.array([2.0 * main - 1.0, side - 1.0], np.float32)


class MultiBinaryEngines(gym.ActionWrapper):
    """LunarLander with a bit for its main, its left and its right engine; both sides at once are neither."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiBinary(3)

    def action(self, action: Any) -> Any:
        """Full power where an engine is on."""
        main, left, right = np.asarray(action, np.float32)
        return np.array([2.0 * main - 1.0, right - left], np.float32)


class OnlyValidActions(gym.Wrapper[Any, Any, Any, Any]):
    """Raises where an action is taken that ``info["action_mask"]`` did not allow."""

    def reset(self, **settings: Any) -> Any:
        """As the environment does; remembers its mask."""
        observation, info = self.env.reset(**settings)
        self._mask = info["action_mask"]
        return observation, info

    def step(self, action: Any) -> Any:
        """As the environment does, where the action is allowed."""
        if not self._mask[action]:
            raise ValueError(f"action {action} is not allowed by the mask {self._mask}")
        found = self.env.step(action)
        self._mask = found[-1]["action_mask"]
        return found


class Dials(gym.ActionWrapper):
    """Pendulum with a coarse and a fine dial of five places each for its torque."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiDiscrete([5, 5])

    def action(self, action: Any) -> Any:
        """From -2 to 2 in steps of 0.8, and of 0.2 around it."""
        coarse, fine = np.asarray(action, np.float32) - 2.0
        return np.clip(np.array([0.8 * coarse + 0.2 * fine], np.float32), -2.0, 2.0)


class Switches(gym.ActionWrapper):
    """Pendulum with four switches for its torque, each worth twice the one before it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiBinary(4)

    def action(self, action: Any) -> Any:
        """All off is -2, all on is 2."""
        return np.array([np.dot(action, [1, 2, 4, 8]) * (4.0 / 15.0) - 2.0], np.float32)


def multi_discrete_lander() -> gym.Env[Any, Any]:
    """LunarLander, MultiDiscrete([2, 3])."""
    return MultiDiscreteEngines(gym.make("LunarLander-v3", continuous=True, disable_env_checker=True))


def multi_binary_lander() -> gym.Env[Any, Any]:
    """LunarLander, MultiBinary(3)."""
    return MultiBinaryEngines(gym.make("LunarLander-v3", continuous=True, disable_env_checker=True))


def multi_discrete_pendulum() -> gym.Env[Any, Any]:
    """Pendulum, MultiDiscrete([5, 5])."""
    return Dials(gym.make("Pendulum-v1", disable_env_checker=True))


def multi_binary_pendulum() -> gym.Env[Any, Any]:
    """Pendulum, MultiBinary(4)."""
    return Switches(gym.make("Pendulum-v1", disable_env_checker=True))


def taxi() -> gym.Env[Any, Any]:
    """Taxi, a Discrete observation and masks, which it insists on."""
    return OnlyValidActions(gym.make("Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"))
