"""Run Distributed PPO (Heess et al. 2017) as in MorvanZhou's tutorial on Pendulum: four workers, one learner.

Published: a learning curve, no figure.

Four processes collect n-step returns, 64 steps in total, and one network learns from all of them at once. Theirs push
to a queue with unlocked counters, and divide by the old probability plus 1e-5. Here every step waits for all four
workers, so the same seed gives the same run, and the ratio is exact.
"""

import gymnasium as gym

from ppocore import PPOConfig, train

PUBLISHED = "a learning curve (no figure)"
CONFIG = PPOConfig(
    total_steps=1000 * 200,
    num_envs=4,
    num_steps=16,
    update_epochs=10,
    minibatch_size=64,
    learning_rate=1e-4,
    critic_learning_rate=2e-4,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.9,
    clip_range=0.2,
    advantage_estimator="n_step",
    n_step=16,
    normalize_advantages=False,
    value_coef=2.0,  # the mean squared error
    entropy_coef=0.0,
    max_grad_norm=None,
    hidden_sizes=(100,),
    activation="relu",
)


def make_env() -> gym.Env:
    """Make Pendulum with rewards ``(r + 8) / 8``."""
    return gym.wrappers.TransformReward(gym.make("Pendulum-v1"), lambda r: (r + 8.0) / 8.0)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy") -> float:
    """Return the mean return of the last 100 training episodes, in Pendulum's own rewards."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    return 8.0 * train(make_env, config, seed=seed, backend=backend).mean_return - 8.0 * 200


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
