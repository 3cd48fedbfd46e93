"""Track the returns and lengths of episodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from ppocore.typing import Array


class EpisodeStatistics:
    """Track the returns and lengths of episodes: the last 100, and those that ended in the last rollout."""

    def __init__(self, num_envs: int) -> None:
        self.episodes = 0
        self.last_returns: deque[float] = deque(maxlen=100)
        self.last_lengths: deque[int] = deque(maxlen=100)
        self.rollout_returns: list[float] = []
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)
        self.previous_returns = np.zeros(num_envs)
        """The return of the last episode of each environment that ended; of older ones only what was restored."""

    def begin_rollout(self) -> None:
        """Clear the returns of the previous rollout."""
        self.rollout_returns = []

    def add(self, rewards: Array, valid: Array, ended: Array, any_ended: bool) -> None:
        """Add one step of all environments; ``rewards`` are unscaled, and 0 for invalid rows."""
        self._returns += rewards
        self._lengths += valid
        if any_ended:
            for i in np.flatnonzero(ended).tolist():
                self.episodes += 1
                self.rollout_returns.append(float(self._returns[i]))
                self.last_returns.append(float(self._returns[i]))
                self.last_lengths.append(int(self._lengths[i]))
            self.previous_returns[ended] = self._returns[ended]
            self._returns[ended] = 0.0
            self._lengths[ended] = 0

    def state(self) -> dict[str, Array]:
        """Return copies of the statistics of current episodes and of the last 100."""
        return {
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "last_returns": np.array(self.last_returns, np.float64),
            "last_lengths": np.array(self.last_lengths, np.int64),
        }

    def load_state(self, state: Mapping[str, Array], episodes: int) -> None:
        """Restore what `state` returned, and the number of ``episodes``.

        Raises:
            ValueError: another number of environments.
        """
        if state["returns"].shape != self._returns.shape or state["lengths"].shape != self._lengths.shape:
            raise ValueError(f"statistics of {state['returns'].shape} environments, expected {self._returns.shape}")
        self._returns, self._lengths = state["returns"].astype(np.float64), state["lengths"].astype(np.int64)
        self.last_returns.extend(state["last_returns"].tolist())
        self.last_lengths.extend(state["last_lengths"].tolist())
        self.episodes = episodes

    def current_returns(self, lengths: Array) -> Array | None:
        """Return the sum of the rewards of each current episode, (N,); None if those have other ``lengths``."""
        return self._returns if np.array_equal(self._lengths, lengths) else None

    def forget(self, index: int) -> None:
        """Drop the current episode of an environment, which was abandoned and is not counted."""
        self._returns[index], self._lengths[index] = 0.0, 0

    @property
    def mean_return(self) -> float | None:
        """The mean return of the last 100 episodes; None before the first has ended."""
        return float(np.mean(self.last_returns)) if self.last_returns else None

    @property
    def mean_length(self) -> float | None:
        """The mean length of the last 100 episodes; None before the first has ended."""
        return float(np.mean(self.last_lengths)) if self.last_lengths else None
