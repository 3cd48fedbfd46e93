"""Define Gymnasium tasks with other kinds of action, for the benchmarks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class MultiDiscreteEngines(gym.ActionWrapper):
    """Control LunarLander by its main engine (off, on) and its side engines (left, off, right)."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiDiscrete([2, 3])

    def action(self, action: Any) -> Any:
        """Return full power for each engine that is on."""
        main, side = action
        return np.array([2.0 * main - 1.0, side - 1.0], np.float32)


class MultiBinaryEngines(gym.ActionWrapper):
    """Control LunarLander by one bit each for its main, left and right engine; left and right together cancel."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiBinary(3)

    def action(self, action: Any) -> Any:
        """Return full power for each engine that is on."""
        main, left, right = np.asarray(action, np.float32)
        return np.array([2.0 * main - 1.0, right - left], np.float32)


class OnlyValidActions(gym.Wrapper[Any, Any, Any, Any]):
    """Raise if an action is taken that ``info["action_mask"]`` did not allow."""

    def reset(self, **settings: Any) -> Any:
        """Reset the environment and remember its mask."""
        observation, info = self.env.reset(**settings)
        self._mask = info["action_mask"]
        return observation, info

    def step(self, action: Any) -> Any:
        """Step the environment if the action is allowed."""
        if not self._mask[action]:
            raise ValueError(f"action {action} is not allowed by the mask {self._mask}")
        found = self.env.step(action)
        self._mask = found[-1]["action_mask"]
        return found


class Dials(gym.ActionWrapper):
    """Control Pendulum's torque by a coarse and a fine dial with five positions each."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiDiscrete([5, 5])

    def action(self, action: Any) -> Any:
        """Return the torque, from -2 to 2: steps of 0.8, and steps of 0.2 around them."""
        coarse, fine = np.asarray(action, np.float32) - 2.0
        return np.clip(np.array([0.8 * coarse + 0.2 * fine], np.float32), -2.0, 2.0)


class Switches(gym.ActionWrapper):
    """Control Pendulum's torque by four switches, each worth twice the one before it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiBinary(4)

    def action(self, action: Any) -> Any:
        """Return the torque: -2 with all switches off, 2 with all on."""
        return np.array([np.dot(action, [1, 2, 4, 8]) * (4.0 / 15.0) - 2.0], np.float32)


def multi_discrete_lander() -> gym.Env[Any, Any]:
    """Make LunarLander with actions ``MultiDiscrete([2, 3])``."""
    return MultiDiscreteEngines(gym.make("LunarLander-v3", continuous=True, disable_env_checker=True))


def multi_binary_lander() -> gym.Env[Any, Any]:
    """Make LunarLander with actions ``MultiBinary(3)``."""
    return MultiBinaryEngines(gym.make("LunarLander-v3", continuous=True, disable_env_checker=True))


def multi_discrete_pendulum() -> gym.Env[Any, Any]:
    """Make Pendulum with actions ``MultiDiscrete([5, 5])``."""
    return Dials(gym.make("Pendulum-v1", disable_env_checker=True))


def multi_binary_pendulum() -> gym.Env[Any, Any]:
    """Make Pendulum with actions ``MultiBinary(4)``."""
    return Switches(gym.make("Pendulum-v1", disable_env_checker=True))


def taxi() -> gym.Env[Any, Any]:
    """Make Taxi, with ``Discrete`` observations and masks that are enforced."""
    return OnlyValidActions(gym.make("Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"))
