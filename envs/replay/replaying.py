"""Replay the episode of one environment, in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym

from ppocore.envs.errors import describe
from ppocore.envs.results import read_info, read_reward, reset_parts, step_parts
from ppocore.typing import Array


class ReplayRequest(NamedTuple):
    """Ask for an episode: the seed to reset the environment with, and the actions to take then."""

    seed: int | None
    actions: Array
    previous: tuple[int, Array] | None = None
    """Seed and actions of a whole episode to be replayed before it."""


class ReplayResult(NamedTuple):
    """Hold what a replay led to."""

    observation: Any
    mask: Any
    """The action mask, or None."""
    failure: str
    """An error message, or an empty string."""
    total: float = 0.0
    """The sum of the rewards."""
    previous_total: float = 0.0
    """The sum of the rewards of the episode before."""


class Replaying(gym.Wrapper[Any, Any, Any, Any]):
    """Wrap the environment of a worker process, which picks its request from a list for all workers."""

    def __init__(self, environment: gym.Env[Any, Any], index: int) -> None:
        super().__init__(environment)
        self._index = index

    def replay(self, requests: Sequence[ReplayRequest | None]) -> ReplayResult | None:
        """Execute the request for this environment; None leaves it unchanged."""
        return replay_one(self.env, requests[self._index])


def replay_one(environment: gym.Env[Any, Any], request: ReplayRequest | None) -> ReplayResult | None:
    """Execute a request."""
    if request is None:
        return None
    previous_total = 0.0
    try:
        if request.previous is not None:
            seed, actions = request.previous
            *_, taken, has_ended, previous_total = _replay(environment, seed, actions)
            if taken < len(actions) or not has_ended:
                return ReplayResult(None, None, "its previous episode has another length when it is replayed")
        observation, info, taken, has_ended, total = _replay(environment, request.seed, request.actions)
        if has_ended:  # the current episode of a snapshot has not
            return ReplayResult(None, None, f"the episode ended after {taken} of its {len(request.actions)} actions")
        return ReplayResult(observation, read_info(info).get("action_mask"), "", total, previous_total)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return ReplayResult(None, None, describe(error))


def _replay(environment: gym.Env[Any, Any], seed: int | None, actions: Array) -> tuple[Any, Any, int, bool, float]:
    """Take actions until the episode ends.

    Returns:
        The last observation and info, the number of actions taken, whether the episode ended, and the sum of the
        rewards.
    """
    observation, info = reset_parts(environment.reset(seed=seed))
    total = 0.0
    for taken, action in enumerate(actions, 1):
        observation, reward, terminated, truncated, info = step_parts(environment.step(action))
        total += read_reward(reward)  # in the order in which the statistics add them
        if terminated or truncated:
            return observation, info, taken, True, total
    return observation, info, len(actions), False, total
