"""Replay the episode of one environment, in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from ppocore.typing import Array

ReplayRequest = tuple[int | None, Array] | None
"""The seed to reset an environment with and the actions to take then; None to leave it unchanged."""

ReplayResult = tuple[Any, Any, str] | None
"""The last observation, the action mask or None, and an error message or an empty string."""


class Replaying(gym.Wrapper[Any, Any, Any, Any]):
    """Wrap the environment of a worker process, which picks its request from a list for all workers."""

    def __init__(self, environment: gym.Env[Any, Any], index: int) -> None:
        super().__init__(environment)
        self._index = index

    def replay(self, requests: Sequence[ReplayRequest]) -> ReplayResult:
        """Execute the request for this environment."""
        return replay_one(self.env, requests[self._index])


def replay_one(environment: gym.Env[Any, Any], request: ReplayRequest) -> ReplayResult:
    """Execute a request."""
    if request is None:
        return None
    seed, actions = request
    try:
        observation, info = environment.reset(seed=seed)
        for taken, action in enumerate(actions, 1):
            observation, _, terminated, truncated, info = environment.step(action)
            if terminated or truncated:  # the current episode of a snapshot has not ended
                return None, None, f"the episode ended after {taken} of its {len(actions)} actions"
    except Exception as error:
        return None, None, f"{type(error).__name__}: {error}"
    return observation, info.get("action_mask"), ""
