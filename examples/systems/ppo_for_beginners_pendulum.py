"""Run PPO for Beginners (Eric Yang Yu, PyTorch), parts one to three, on Pendulum.

Published: about -165.

It uses returns-to-go without a bootstrap, a batch of 4800 steps (24 episodes of 200) that is one minibatch for five
epochs, and a fixed variance of 0.5. It treats the time limit, and its own limit of steps, as a failure; here the value
of the last observation is used. The published figure does not state the number of steps; here it is 1.2 million.
"""

import math

from ppocore import PPOConfig, train
from ppocore.evaluation import evaluate

PUBLISHED = "about -165"
CONFIG = PPOConfig(
    total_steps=250 * 4800,
    num_envs=24,
    num_steps=200,
    update_epochs=5,
    minibatch_size=4800,
    learning_rate=5e-3,
    anneal_learning_rate=False,
    adam_epsilon=1e-8,
    gamma=0.95,
    clip_range=0.2,
    advantage_estimator="monte_carlo",
    advantage_scope="rollout",
    value_coef=2.0,  # the mean squared error
    separate_optimizers=True,
    entropy_coef=0.0,
    max_grad_norm=None,
    hidden_sizes=(64, 64),
    activation="relu",
    log_std_init=0.5 * math.log(0.5),
    learn_log_std=False,
)


def run(seed: int = 0, total_steps: int | None = None, backend: str = "numpy") -> float:
    """Return the mean return of 100 evaluated episodes."""
    config = CONFIG.replace(total_steps=total_steps or CONFIG.total_steps)
    policy = train("Pendulum-v1", config, seed=seed, backend=backend).policy
    return evaluate(policy, "Pendulum-v1").summary()["mean_return"]


if __name__ == "__main__":
    print(f"return {run():.1f}; published: {PUBLISHED}")
