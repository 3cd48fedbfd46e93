"""Run the PPO of Hands-on Reinforcement Learning (PyTorch) on Pendulum.

Published: a return of about -240 after 2000 episodes.

An episode of Pendulum always has 200 steps, so its batches of one episode equal these rollouts. It treats the time
limit as a failure and does not bootstrap after step 200; here the value of the last observation is used. Its standard
deviation is a function of the observation; here it is one weight.
"""

import gymnasium as gym

from ppocore import PPOConfig, train

PUBLISHED = "about -240"
CONFIG = PPOConfig(
    total_steps=2000 * 200,
    num_envs=1,
    num_steps=200,
    update_epochs=10,
    minibatch_size=200,
    learning_rate=1e-4,
    critic_learning_rate=5e-3,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.9,
    gae_lambda=0.9,
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
    """Make Pendulum with rewards ``(r + 8) / 8``."""
    return gym.wrappers.TransformReward(gym.make("Pendulum-v1"), lambda r: (r + 8.0) / 8.0)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy") -> float:
    """Return the mean return of the last 100 training episodes, in Pendulum's own rewards."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    shaped = train(make_env, config, seed=seed, backend=backend).mean_return
    return 8.0 * shaped - 8.0 * 200


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
