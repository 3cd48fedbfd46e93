"""Run the 37 implementation details (Huang et al. 2022) on CartPole-v1 and Acrobot-v1, for 500,000 steps.

Published (mean of the last 100 training episodes): CartPole 490.0 with CleanRL and 497.5 with baselines' ppo2, Acrobot
-86.4 and -81.8.

Both treat a truncation as a termination; here it is bootstrapped. Everything else is the same, including value
clipping.
"""

from ppocore import PPOConfig, train

PUBLISHED = {"CartPole-v1": "490.0 to 497.5", "Acrobot-v1": "-86.4 to -81.8"}
CONFIG = PPOConfig(
    total_steps=500_000,
    num_envs=4,
    num_steps=128,
    update_epochs=4,
    minibatch_size=128,
    learning_rate=2.5e-4,
    anneal_learning_rate=True,
    adam_epsilon=1e-5,
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.2,
    value_clip_range=0.2,
    value_coef=0.5,
    entropy_coef=0.01,
    max_grad_norm=0.5,
    hidden_sizes=(64, 64),
)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy", env: str = "CartPole-v1") -> float:
    """Return the mean return of the last 100 training episodes."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    return train(env, config, seed=seed, backend=backend).mean_return


if __name__ == "__main__":
    for name, published in PUBLISHED.items():
        print(f"{name}: return {run(env=name):.1f}; published: {published}")
