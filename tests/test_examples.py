"""The examples of other systems: their hyperparameters, and a shortened run of each."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ppocore.registry import available_backends

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "systems"

# What each system publishes: gamma, lambda (None: not used), clip range, epochs, learning rates of actor and critic,
# steps a batch, most samples of an optimizer step.
PUBLISHED = {
    "brianpulfer_cartpole": (0.99, None, 0.1, 3, 2.5e-4, None, 8 * 128, 256),
    "hands_on_rl_cartpole": (0.98, 0.95, 0.2, 10, 1e-3, 1e-2, 200, 200),
    "hands_on_rl_pendulum": (0.9, 0.9, 0.2, 10, 1e-4, 5e-3, 200, 200),
    "ppo_for_beginners_pendulum": (0.95, None, 0.2, 5, 5e-3, None, 4800, 4800),
    "paddle_mountain_car": (0.99, None, 0.2, 10, 1e-3, 3e-3, 2048, 64),
    "xinjinghao_continuous": (0.99, 0.95, 0.2, 10, 2e-4, 2e-4, 2048, 64),
    "lizhi_continuous": (0.99, 0.95, 0.2, 10, 3e-4, None, 2048, 64),
    "dppo_pendulum": (0.9, None, 0.2, 10, 1e-4, 2e-4, 64, 64),
    "spinning_up": (0.99, 0.97, 0.2, 80, 3e-4, 1e-3, 4000, 4000),
    "thirty_seven_details": (0.99, 0.95, 0.2, 4, 2.5e-4, None, 512, 128),
}
ELSEWHERE = {  # tasks that need no further package, for the shortened run
    "lizhi_continuous": {"env": "Pendulum-v1"},
    "spinning_up": {"env": "Pendulum-v1"},
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_listed_here():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_hyperparameters_are_the_published_ones(name):
    module = load(name)
    gamma, lam, clip, epochs, rate, critic_rate, batch, minibatch = PUBLISHED[name]
    config = module.CONFIG
    assert (config.gamma, config.clip_range, config.update_epochs) == (gamma, clip, epochs)
    assert (config.learning_rate, config.critic_learning_rate) == (rate, critic_rate)
    assert (config.rollout_size, config.minibatch_size) == (batch, minibatch)
    assert (config.gae_lambda == lam) if lam else config.advantage_estimator in ("monte_carlo", "n_step")
    assert "Published" in module.__doc__


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shortened_run_gives_a_figure(name):
    if name == "paddle_mountain_car" and available_backends()["paddle"] is not None:
        pytest.skip("paddle is not installed")
    module = load(name)
    rollouts = -(-1000 // module.CONFIG.rollout_size)
    figure = module.run(seed=1, total_steps=rollouts * module.CONFIG.rollout_size, **ELSEWHERE.get(name, {}))
    low, high = (-2500.0, 0.0) if name not in ("brianpulfer_cartpole", "hands_on_rl_cartpole") else (5.0, 500.0)
    if name == "thirty_seven_details":
        low, high = 5.0, 500.0
    assert low <= figure <= high


def test_the_leak_makes_brianpulfers_figure():
    """A geometric series by hand: 1024 rewards of 1 in a row, or 8 times 128."""
    module = load("brianpulfer_cartpole")
    ones = np.ones((128, 8))

    def mean_of(length):
        return sum((1 - 0.99**n) / 0.01 for n in range(1, length + 1)) / length

    assert module.logged_average(ones, leaking=True) == pytest.approx(mean_of(1024)) == pytest.approx(90.33, abs=5e-3)
    assert module.logged_average(ones, leaking=False) == pytest.approx(mean_of(128)) == pytest.approx(44.02, abs=5e-3)
