"""The strategies draw what they document, and drawn configurations and policies work on every backend."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from support.interrupting import StopAfter

from ppocore import Policy, PPOConfig, resume, train
from ppocore.errors import UsageError
from ppocore.registry import available_backends
from ppocore.testing import action_masks, configurations, minibatches, network_specs, policies
from ppocore.testing.backends.random_problems import component_sizes

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
FIELDS = {field.name for field in dataclasses.fields(PPOConfig)}


@FEW
@given(configurations())
def test_drawn_settings_train_the_same_on_every_backend_and_after_an_interruption(tmp_path_factory, config):
    env = "Pendulum-v1"
    expected = train(env, config, seed=2).fingerprint
    for name in ("torch", "paddle"):
        if available_backends()[name] is None:
            assert train(env, config, seed=2, backend=name).fingerprint == expected
    run = tmp_path_factory.mktemp("drawn") / "run"
    train(env, config, seed=2, run_dir=run, reporters=[StopAfter(2)])
    assert resume(run).fingerprint == expected


def test_every_setting_is_drawn_but_the_continuous_policy_and_the_precision():
    seen = {name: set() for name in FIELDS}

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(configurations())
    def look(config):
        for name in FIELDS:
            seen[name].add(getattr(config, name))

    look()
    same = {name for name, values in seen.items() if len(values) == 1}
    assert same == {"continuous_policy", "precision"}


def test_a_failure_shrinks_to_the_settings_that_it_needs():
    found = find(configurations(), lambda config: config.objective == "kl" and config.num_steps > 3)
    changed = {name for name in FIELDS if getattr(found, name) != getattr(PPOConfig(), name)}
    assert changed == {
        "objective", "num_envs", "num_steps", "total_steps", "minibatch_size", "update_epochs", "hidden_sizes"
    }  # fmt: skip
    assert (found.num_envs, found.num_steps, found.hidden_sizes) == (1, 4, ())


@FEW
@given(configurations(gamma=0.5, num_envs=2, num_steps=7, minibatch_size=3, total_steps=28))
def test_settings_can_be_fixed(config):
    assert (config.gamma, config.num_envs, config.num_steps) == (0.5, 2, 7)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_masks_allow_a_choice_in_every_component(data):
    spec = data.draw(network_specs(action_kinds=("categorical", "multi_categorical", "bernoulli")))
    masks = data.draw(action_masks(spec, 5))
    assert masks.shape == (5, spec.distribution().mask_size)
    start = 0
    for size in component_sizes(spec):
        assert masks[:, start : start + size].any(axis=1).all()
        start += size


def test_masks_shrink_to_allowing_everything():
    spec = find(network_specs(action_kinds=("categorical",)), lambda spec: spec.action_size == 3)
    assert find(action_masks(spec, 2), lambda masks: True).all()
    assert np.count_nonzero(~find(action_masks(spec, 2), lambda masks: not masks.all())) == 1


@settings(max_examples=30, deadline=None)
@given(minibatches())
def test_arrays_of_a_minibatch_have_one_length(batch):
    assert {len(array) for array in batch.arrays().values()} == {len(batch.returns)}
    assert all(np.isfinite(array).all() for array in batch.arrays().values())


@settings(max_examples=40, deadline=None)
@given(policies(), st.integers(0, 2**32 - 1))
def test_a_policy_survives_saving_and_loading(tmp_path_factory, policy, seed):
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    policy.save(path)
    loaded = Policy.load(path)
    observations = np.random.default_rng(seed).normal(0.0, 3.0, (6, policy.spec.observation_size))
    for deterministic in (True, False):
        drawn = [p.act(observations, deterministic, rng=np.random.default_rng(seed)) for p in (policy, loaded)]
        assert np.array_equal(*drawn)
        assert drawn[0].dtype == drawn[1].dtype


def test_contradictory_fixed_settings_are_rejected():
    with pytest.raises(UsageError, match="adaptive_lr_kl"):
        find(configurations(adaptive_lr_kl=0.1, anneal_learning_rate=True), lambda config: True)
