"""Bringing one environment back to where it stood, in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from ppocore.typing import Array

Order = tuple[int | None, Array] | None
"""For one environment: the seed to reset it with, and the actions to take then; None to leave it alone."""

Arrival = tuple[Any, Any, str] | None
"""What an order led to: the observation, the action mask if its information had one, what went wrong if anything."""


class Replaying(gym.Wrapper[Any, Any, Any, Any]):
    """The environment of a worker process, which takes its order from those of all."""

    def __init__(self, environment: gym.Env[Any, Any], index: int) -> None:
        super().__init__(environment)
        self._index = index

    def replay(self, orders: Sequence[Order]) -> Arrival:
        """Do what the order for this one says."""
        return replay_one(self.env, orders[self._index])


def replay_one(environment: gym.Env[Any, Any], order: Order) -> Arrival:
    """Do what an order says."""
    if order is None:
        return None
    seed, actions = order
    try:
        observation, info = environment.reset(seed=seed)
        for taken, action in enumerate(actions, 1):
            observation, _, terminated, truncated, info = environment.step(action)
            if terminated or truncated:  # an episode that had ended is no longer the current one
                return None, None, f"the episode ended after {taken} of its {len(actions)} actions"
    except Exception as error:
        return None, None, f"{type(error).__name__}: {error}"
    return observation, info.get("action_mask"), ""
