"""Adapt Stable-Baselines3.

Read: ``OnPolicyAlgorithm.collect_rollouts`` (common/on_policy_algorithm.py), which is called here, with an environment
that replays the arrays and a policy whose value of an observation is the observation; it fills a ``RolloutBuffer`` and
calls ``compute_returns_and_advantage`` (common/buffers.py); and ``DummyVecEnv.step_wait`` (common/vec_env/).

- A step that is truncated and not terminated gets ``gamma * V(terminal observation)`` added to its reward, and then
  counts as an end; ``TimeLimit.truncated`` is False where a step is both.
- An end is recorded as the episode start of the next row; an end in the last row is passed as ``dones``.
- The buffer holds float32, whatever the input.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from .replay import ACTIONS, OBSERVATIONS, Replay, Silent

NAME = "Stable-Baselines3"
PACKAGE = "stable-baselines3"
CONVENTIONS = {
    "truncation": "gamma times the value of the terminal observation is added to the reward",
    "end of the rollout": "the value of the last observation, unless the last step ended the episode",
    "advantages": "as in the rollout buffer, before PPO.train standardizes each minibatch",
    "dtype": "float32, the dtype of the rollout buffer",
}


class _Policy:
    """Return each observation as its value."""

    def __call__(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zeros = torch.zeros(len(observations))
        return zeros.long(), self.predict_values(observations), zeros

    def predict_values(self, observations: torch.Tensor) -> torch.Tensor:
        return observations.reshape(-1, 1)

    def obs_to_tensor(self, observation: Any) -> tuple[torch.Tensor, bool]:
        return torch.as_tensor(observation)[None], False

    def set_training_mode(self, mode: bool) -> None:
        pass


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Return the advantages and returns in the rollout buffer after one call of ``collect_rollouts``."""
    length, columns = rewards.shape
    environment = Replay(rewards, values, next_values, terminated, truncated)
    buffer = RolloutBuffer(length, OBSERVATIONS, ACTIONS, "cpu", gae_lambda=lam, gamma=gamma, n_envs=columns)
    algorithm = SimpleNamespace(
        policy=_Policy(),
        action_space=ACTIONS,
        device="cpu",
        gamma=gamma,
        use_sde=False,
        num_timesteps=0,
        _last_obs=environment.first(),
        _last_episode_starts=np.ones(columns, np.bool_),
        _update_info_buffer=lambda infos, dones: None,
    )
    if not OnPolicyAlgorithm.collect_rollouts(algorithm, environment, Silent(), buffer, length):
        raise RuntimeError("collect_rollouts stopped early")
    return buffer.advantages, buffer.returns


VARIANTS = {"as trained": gae}
