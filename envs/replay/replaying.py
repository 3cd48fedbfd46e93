"""Replay the episode of one environment, in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from ppocore.envs.errors import describe
from ppocore.envs.results import read_info, read_reward, reset_parts, step_parts
from ppocore.typing import Array

ReplayRequest = tuple[int | None, Array] | None
"""The seed to reset an environment with and the actions to take then; None to leave it unchanged."""

ReplayResult = tuple[Any, Any, str, float] | None
"""The last observation, the action mask or None, an error message or an empty string, and the sum of the rewards."""


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
    total = 0.0
    try:
        observation, info = reset_parts(environment.reset(seed=seed))
        for taken, action in enumerate(actions, 1):
            observation, reward, terminated, truncated, info = step_parts(environment.step(action))
            total += read_reward(reward)  # in the order in which the statistics add them
            if terminated or truncated:  # the current episode of a snapshot has not ended
                return None, None, f"the episode ended after {taken} of its {len(actions)} actions", 0.0
        return observation, read_info(info).get("action_mask"), "", total
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, None, describe(error), 0.0
