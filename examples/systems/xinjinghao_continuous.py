"""Run XinJingHao's PPO-Continuous (PyTorch) with its Beta policy on Pendulum, one of its six tasks.

Published: learning curves, no figure.

It uses rollouts of 2048 steps, minibatches of 64, ten epochs, an entropy bonus that decays by 0.99, an L2 penalty on
the critic, gradients clipped at 40, and Pendulum's rewards as ``(r + 8) / 8``; the returns reported here are in the
original rewards. In its Gaussian variant the log-probability is that of a clamped action; the Beta policy here has no
such defect. Like ppocore, it distinguishes termination from truncation.
"""

import gymnasium as gym

from ppocore import PPOConfig, train
from ppocore.evaluation import evaluate

PUBLISHED = "learning curves (no figure)"
CONFIG = PPOConfig(
    total_steps=300_000,
    num_envs=1,
    num_steps=2048,
    update_epochs=10,
    minibatch_size=64,
    learning_rate=2e-4,
    critic_learning_rate=2e-4,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.2,
    value_coef=2.0,  # the mean squared error
    critic_l2_coef=1e-3,
    entropy_coef=1e-3,
    entropy_decay=0.99,
    max_grad_norm=40.0,
    advantage_scope="rollout",
    continuous_policy="beta",
    hidden_sizes=(150, 150),
)


def make_env() -> gym.Env:
    """Make Pendulum with rewards ``(r + 8) / 8``."""
    return gym.wrappers.TransformReward(gym.make("Pendulum-v1"), lambda r: (r + 8.0) / 8.0)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy") -> float:
    """Return the mean return of 100 evaluated episodes, in Pendulum's own rewards."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    policy = train(make_env, config, seed=seed, backend=backend).policy
    return evaluate(policy, "Pendulum-v1").summary()["mean_return"]


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
