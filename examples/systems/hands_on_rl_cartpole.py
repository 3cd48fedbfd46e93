"""Run the PPO of Hands-on Reinforcement Learning (PyTorch) on CartPole with a limit of 200 steps.

Published: a return of 200, the maximum in CartPole-v0.

Its batch is one whole episode of at most 200 steps, used as a single minibatch for 10 epochs. Here the batch is a
rollout of 200 steps, which early in training holds several episodes. It treats the time limit as a failure and does not
stop the recursion at the end of an episode, which in a batch of one episode changes only the last step. Both are
correct here.
"""

import gymnasium as gym

from ppocore import PPOConfig, train

PUBLISHED = "200"
CONFIG = PPOConfig(
    total_steps=500 * 200,
    num_envs=1,
    num_steps=200,
    update_epochs=10,
    minibatch_size=200,
    learning_rate=1e-3,
    critic_learning_rate=1e-2,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.98,
    gae_lambda=0.95,
    clip_range=0.2,
    value_target="td",
    value_coef=2.0,  # the mean squared error
    entropy_coef=0.0,
    max_grad_norm=None,
    normalize_advantages=False,
    hidden_sizes=(128,),
    activation="relu",
)


def make_env() -> gym.Env:
    """Make CartPole-v0, which is v1 with a limit of 200 steps."""
    return gym.make("CartPole-v1", max_episode_steps=200)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy") -> float:
    """Return the mean return of the last 100 training episodes."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    return train(make_env, config, seed=seed, backend=backend).mean_return


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
