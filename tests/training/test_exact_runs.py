"""The same configuration and seed give the same bits: twice, in two processes, with one or two BLAS threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ppocore import PPOConfig, train

pytestmark = pytest.mark.slow

CONFIG = PPOConfig(total_steps=4096, num_envs=4, num_steps=64, minibatch_size=64, update_epochs=4)
NORMALIZED = CONFIG.replace(normalize_observations=True, normalize_rewards=True, shared_trunk=True)


@pytest.mark.parametrize(
    ("env", "config"),
    [("CartPole-v1", CONFIG), ("Pendulum-v1", CONFIG), ("Pendulum-v1", NORMALIZED)],
    ids=["discrete", "continuous", "normalized"],
)
def test_repeated_and_with_two_threads(env, config):
    first = train(env, config, seed=3)
    again = train(env, config, seed=3)
    threaded = train(env, config, seed=3, runtime={"threads": 2})
    assert first.fingerprint == again.fingerprint == threaded.fingerprint
    assert first.iterations >= 16
    assert train(env, config, seed=4).fingerprint != first.fingerprint


def test_async_environments_give_the_run_of_sync_ones():
    assert (
        train("CartPole-v1", CONFIG, runtime={"vectorization": "async"}).fingerprint
        == train("CartPole-v1", CONFIG).fingerprint
    )


@pytest.mark.parametrize("threads", ["1", "2"])
def test_in_another_process(threads, tmp_path):
    arguments = "--steps 2048 --num-envs 4 --num-steps 64 --minibatch-size 64 --seed 5 --quiet --json".split()
    done = subprocess.run(
        [sys.executable, "-m", "ppocore", "train", "CartPole-v1", *arguments, "--run-dir", str(tmp_path / "run")],
        env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    from ppocore.presets import preset

    config = preset("CartPole-v1").replace(total_steps=2048, num_envs=4, num_steps=64, minibatch_size=64)
    assert json.loads(done.stdout)["fingerprint"] == train("CartPole-v1", config, seed=5).fingerprint


def test_every_setting_that_matters_changes_the_fingerprint():
    base = train("CartPole-v1", CONFIG).fingerprint
    for change in (
        {"gamma": 0.98},
        {"gae_lambda": 0.9},
        {"clip_range": 0.02},
        {"entropy_coef": 0.02},
        {"value_coef": 0.25},
        {"max_grad_norm": 0.1},
        {"adam_epsilon": 1e-4},
        {"normalize_advantages": False},
        {"normalize_observations": True},
        {"normalize_rewards": True},
        {"activation": "relu"},
        {"value_clip_range": 0.01},
        {"anneal_clip_range": True, "clip_range": 0.02},
        {"anneal_learning_rate": False},
        {"precision": "float32"},
    ):
        changed = train("CartPole-v1", CONFIG.replace(**change)).fingerprint
        assert changed != base, change
