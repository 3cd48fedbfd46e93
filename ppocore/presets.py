"""Define tuned settings for known environments.

They started from the tuned hyperparameters of RL Baselines3 Zoo; docs/results.md has the changes and the return that
each preset reaches. The value loss there is not halved, so a ``vf_coef`` of 0.5 there is 1.0 here.
"""

from __future__ import annotations

from typing import Any

from ppocore.config import PPOConfig

PRESETS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "total_steps": 100_000,
        "num_envs": 8,
        "num_steps": 32,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.98,
        "gae_lambda": 0.8,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "anneal_clip_range": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
    },
    "Acrobot-v1": {
        "total_steps": 500_000,
        "num_envs": 16,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 4,
        "gamma": 0.99,
        "gae_lambda": 0.94,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "MountainCar-v0": {
        "total_steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 64,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.98,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "MountainCarContinuous-v0": {
        "total_steps": 100_000,
        "num_envs": 8,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.9999,
        "gae_lambda": 0.9,
        "learning_rate": 3e-4,
        "anneal_learning_rate": False,
        "clip_range": 0.2,
        "entropy_coef": 0.00429,
        "value_coef": 0.38,
        "max_grad_norm": 5.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "Pendulum-v1": {
        "total_steps": 100_000,
        "num_envs": 4,
        "num_steps": 512,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.95,
        "gae_lambda": 0.95,
        "learning_rate": 2e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_rewards": True,
    },
    "LunarLander-v3": {
        "total_steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 4,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.01,
        "value_coef": 1.0,
        "normalize_rewards": True,
    },
}


def preset(env: Any) -> PPOConfig:
    """Return the settings for an environment: its preset if it has one, else the defaults of `PPOConfig`.

    Args:
        env: an environment's id, possibly as ``module:id``; anything else has no preset.
    """
    return PPOConfig(**preset_changes(env))


def preset_changes(env: Any) -> dict[str, Any]:
    """Return the settings of an environment's preset that differ from the defaults; empty without a preset."""
    return dict(PRESETS.get(env.rpartition(":")[2], {})) if isinstance(env, str) else {}
