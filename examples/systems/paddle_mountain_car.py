"""Run a PaddlePaddle PPO on MountainCar-v0 without its time limit, on the paddle backend.

Published: it learns to reach the flag, in 1000 episodes.

Its buffer holds whole episodes, however long; here rollouts of 2048 steps divide them, and the last row is
bootstrapped. It uses Monte Carlo returns without a bootstrap, and clips the gradient of each tensor to a norm of 0.5;
here the gradient of each of the two networks is clipped.
"""

import gymnasium as gym

from ppocore import PPOConfig, train
from ppocore.evaluation import evaluate

PUBLISHED = "learns to reach the flag (no figure)"
CONFIG = PPOConfig(
    total_steps=300 * 2048,
    num_envs=1,
    num_steps=2048,
    update_epochs=10,
    minibatch_size=64,
    learning_rate=1e-3,
    critic_learning_rate=3e-3,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.99,
    clip_range=0.2,
    advantage_estimator="monte_carlo",
    normalize_advantages=False,
    value_coef=2.0,  # the mean squared error
    entropy_coef=0.0,
    max_grad_norm=0.5,
    hidden_sizes=(128,),
    activation="relu",
)


def make_env() -> gym.Env:
    """Make MountainCar without a time limit: only the flag ends an episode."""
    return gym.make("MountainCar-v0").unwrapped


def run(seed: int = 0, total_steps: int | None = None, backend: str = "paddle") -> float:
    """Return the mean return of 100 evaluated episodes, of at most 200 steps as in MountainCar-v0."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    policy = train(make_env, config, seed=seed, backend=backend).policy
    return evaluate(policy, "MountainCar-v0").summary()["mean_return"]


if __name__ == "__main__":
    print(f"return {run():.1f}, where -200 means that the flag was not reached; published: {PUBLISHED}")
