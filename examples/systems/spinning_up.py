"""Run OpenAI Spinning Up's PPO on Hopper, its published task (needs gymnasium[mujoco]), or InvertedPendulum.

Published: Hopper about 2500 at 3 million steps.

An iteration has 4000 steps. Then the policy's optimizer takes up to 80 steps on the whole batch, and stops once the KL
divergence exceeds 1.5 times 0.01; the value function's optimizer takes 80, with the discounted return as its target. In
Spinning Up, a time limit of the environment that is shorter than the program's own 1000 steps counts as a termination
(Hopper's is as long); here it is a truncation.
"""

from ppocore import PPOConfig, train

PUBLISHED = "Hopper about 2500 at 3M steps"
ENV = "Hopper-v5"
CONFIG = PPOConfig(
    total_steps=3_000_000,
    num_envs=1,
    num_steps=4000,
    update_epochs=80,
    minibatch_size=4000,
    learning_rate=3e-4,
    critic_learning_rate=1e-3,
    separate_optimizers=True,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.99,
    gae_lambda=0.97,
    clip_range=0.2,
    value_target="monte_carlo",
    target_kl=1.5 * 0.01,
    value_coef=2.0,  # the mean squared error
    entropy_coef=0.0,
    max_grad_norm=None,
    advantage_scope="rollout",
    hidden_sizes=(64, 64),
    log_std_init=-0.5,
)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy", env: str = ENV) -> float:
    """Return the mean return of the last 100 training episodes."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    return train(env, config, seed=seed, backend=backend).mean_return


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
