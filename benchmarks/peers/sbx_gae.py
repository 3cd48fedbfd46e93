"""Adapt SBX, Stable-Baselines3 with JAX.

Read: ``OnPolicyAlgorithmJax.collect_rollouts`` (sbx/common/on_policy_algorithm.py), which is called here, with an
environment that replays the arrays and a value function that returns its observations. It has its own loop, in which
``gamma * V(terminal observation)`` is added to the reward of a step that is truncated and not terminated, and fills the
``RolloutBuffer`` of Stable-Baselines3, whose ``compute_returns_and_advantage`` it calls: see ``peers.sb3``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from sbx.common.on_policy_algorithm import OnPolicyAlgorithmJax
from stable_baselines3.common.buffers import RolloutBuffer

from .replay import ACTIONS, OBSERVATIONS, Replay, Silent

NAME = "SBX"
PACKAGE = "sbx-rl"
CONVENTIONS = {
    "truncation": "gamma times the value of the terminal observation is added to the reward",
    "end of the rollout": "the value of the last observation, unless the last step ended the episode",
    "advantages": "as in the rollout buffer, before PPO standardizes each minibatch",
    "dtype": "float32, the dtype of the rollout buffer, which is that of Stable-Baselines3",
}


class _Policy:
    """Return each observation as its value."""

    noise_key = None
    vf_state = SimpleNamespace(params=None)

    def reset_noise(self) -> None:
        pass

    def prepare_obs(self, observation: Any) -> tuple[Any, bool]:
        return np.asarray(observation).reshape(-1, 1), True

    def predict_all(self, observations: Any, key: Any) -> tuple[Any, Any, Any]:
        zeros = np.zeros(len(observations))
        return zeros.astype(np.int64), zeros, observations.flatten()


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Return the advantages and returns in the rollout buffer after one call of ``collect_rollouts``."""
    length, columns = rewards.shape
    environment = Replay(rewards, values, next_values, terminated, truncated)
    buffer = RolloutBuffer(length, OBSERVATIONS, ACTIONS, "cpu", gae_lambda=lam, gamma=gamma, n_envs=columns)
    algorithm = SimpleNamespace(
        policy=_Policy(),
        vf=SimpleNamespace(apply=lambda params, observations: observations),
        action_space=ACTIONS,
        gamma=gamma,
        use_sde=False,
        num_timesteps=0,
        _last_obs=environment.first(),
        _last_episode_starts=np.ones(columns, np.bool_),
        _update_info_buffer=lambda infos: None,
    )
    if not OnPolicyAlgorithmJax.collect_rollouts(algorithm, environment, Silent(), buffer, length):
        raise RuntimeError("collect_rollouts stopped early")
    return buffer.advantages, buffer.returns


VARIANTS = {"as trained": gae}
