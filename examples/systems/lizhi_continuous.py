"""Run Lizhi-sjtu's PPO-continuous (DRL-code-pytorch) with its ten tricks on BipedalWalker-v3.

Published: learning curves, no figure.

It needs ``gymnasium[box2d]``. Advantage, state and reward normalization, an entropy bonus, learning-rate decay,
gradient clipping, orthogonal initialization, Adam's epsilon of 1e-5 and tanh are all settings here. Its first running
standard deviation equals the sample; here it is that of one sample. The run has a million steps.
"""

from ppocore import PPOConfig, train
from ppocore.evaluation import evaluate

PUBLISHED = "learning curves (no figure)"
ENV = "BipedalWalker-v3"
CONFIG = PPOConfig(
    total_steps=1_000_000,
    num_envs=1,
    num_steps=2048,
    update_epochs=10,
    minibatch_size=64,
    learning_rate=3e-4,
    separate_optimizers=True,
    anneal_learning_rate=True,
    adam_epsilon=1e-5,
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.2,
    value_coef=2.0,  # the mean squared error
    entropy_coef=0.01,
    max_grad_norm=0.5,
    advantage_scope="rollout",
    normalize_observations=True,
    normalize_rewards=True,
    hidden_sizes=(64, 64),
)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy", env: str = ENV) -> float:
    """Return the mean return of 100 evaluated episodes."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    return evaluate(train(env, config, seed=seed, backend=backend).policy, env).summary()["mean_return"]


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
