"""Small environments with every kind of action and observation, with or without action masks."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

ACTION_SPACES = {
    "discrete": Discrete(4, start=2),
    "multi_discrete": MultiDiscrete([2, 3, 4]),
    "multi_binary": MultiBinary(3),
    "box": Box(np.float32([-2.0, 0.0]), np.float32([1.0, 3.0])),
}
OBSERVATION_SPACE = Dict(
    {
        "place": Box(-1.0, 1.0, (2, 2), np.float64),
        "phase": Discrete(3, start=-1),
        "pair": Tuple([MultiBinary(2), MultiDiscrete([2, 3])]),
    }
)


def counted(space, action):
    """Convert an action of the space to numbers counted from 0."""
    action = np.asarray(action)
    assert space.contains(action.astype(space.dtype)), action
    return np.ravel(action - getattr(space, "start", 0)).astype(np.float64)


def flags(kind, rng):
    """Draw a mask (mask_size,) that allows a choice in each part."""
    if kind == "multi_binary":
        pairs = rng.random((3, 2)) < 0.7
        pairs[~pairs.any(axis=1), rng.integers(2)] = True
        return pairs.ravel()
    sizes = {"discrete": [4], "multi_discrete": [2, 3, 4]}[kind]
    parts = [rng.random(n) < 0.5 for n in sizes]
    for part in parts:
        part[rng.integers(len(part))] = True
    return np.concatenate(parts)


def allowed(kind, mask, action):
    """Tell whether a mask allows an action counted from 0."""
    action = action.astype(int)
    if kind == "multi_binary":
        return bool(mask.reshape(3, 2)[np.arange(3), action].all())
    sizes = {"discrete": [4], "multi_discrete": [2, 3, 4]}[kind]
    firsts = np.cumsum([0, *sizes[:-1]])
    return bool(mask[firsts + action].all())


class Numbers(gym.Env):
    """Rewards actions near a number in the observation; episodes are terminated or truncated.

    ``masked`` is where masks are given: None, ``info`` or ``method``. A masked action raises an error.
    """

    observation_space = OBSERVATION_SPACE

    def __init__(self, kind, masked=None):
        self.kind, self.masked = kind, masked
        self.action_space = ACTION_SPACES[kind]
        if masked == "method":
            self.action_masks = lambda: self.mask

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), self._info()

    def step(self, action):
        numbers = counted(self.action_space, action)
        if self.masked and not allowed(self.kind, self.mask, numbers):
            raise ValueError(f"action {action} is not allowed by {self.mask}")
        self.t += 1
        reward = -float(abs(numbers - self.phase - 1).sum())
        observation = self._observation()
        terminated, truncated = self.np_random.random() < 0.05, self.t == 17
        return observation, reward, terminated, truncated, self._info(ended=terminated or truncated)

    def _observation(self):
        rng = self.np_random
        self.phase = int(rng.integers(3)) - 1
        return {
            "place": rng.uniform(-1.0, 1.0, (2, 2)),
            "phase": self.phase,
            "pair": (rng.integers(0, 2, 2).astype(np.int8), rng.integers([2, 3])),
        }

    def _info(self, ended=False):
        if not self.masked:
            return {}
        self.mask = flags(self.kind, self.np_random)
        if ended:  # no action is possible after the end of an episode
            self.mask = np.zeros_like(self.mask)
        return {"action_mask": self.mask} if self.masked == "info" else {}
