"""The settings of a run: validation, copies, JSON, documentation, presets and schedules."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppocore import PPOConfig, train
from ppocore.errors import UsageError
from ppocore.presets import PRESETS, preset
from ppocore.training.schedules import annealed, constant, linear

FIELDS = {field.name: field for field in dataclasses.fields(PPOConfig)}
COUNTS = ["total_steps", "num_envs", "num_steps", "update_epochs", "minibatch_size", "n_step"]
POSITIVE = ["learning_rate", "adam_epsilon", "clip_range"]
OPTIONAL = ["value_clip_range", "max_grad_norm", "target_kl", "critic_learning_rate"]
COEFFICIENTS = ["entropy_coef", "value_coef", "kl_coef", "critic_l2_coef"]
FRACTIONS = ["gamma", "gae_lambda"]
OTHERS = ["hidden_sizes", "log_std_init", "adaptive_lr_kl", "kl_penalty_target", "dual_clip", "entropy_decay"]
SWITCHES = [
    "anneal_learning_rate",
    "anneal_clip_range",
    "normalize_advantages",
    "normalize_observations",
    "normalize_rewards",
    "shared_trunk",
    "separate_optimizers",
    "recompute_advantages",
    "anneal_entropy_coef",
    "learn_log_std",
]
ESTIMATORS = ["gae", "monte_carlo", "n_step", "td", "vtrace"]
CHOICES = {
    "continuous_policy": ["gaussian", "squashed_gaussian", "beta"],
    "objective": ["clip", "kl", "clip+kl", "none"],
    "advantage_scope": ["minibatch", "rollout"],
    "advantage_estimator": ESTIMATORS,
    "value_target": ["same", *ESTIMATORS],
    "activation": ["tanh", "relu"],
    "precision": ["exact", "float32"],
}
NUMBERS = [*POSITIVE, *OPTIONAL, *COEFFICIENTS, *FRACTIONS, *OTHERS[1:]]

OUT_OF_RANGE = [
    *((name, bad) for name in COUNTS for bad in (0, -1)),
    *((name, bad) for name in POSITIVE for bad in (0.0, -1e-9, -0.0)),
    *(("adam_epsilon", bad) for bad in (5e-324, 1e-300, 0.99e-30)),
    *((name, bad) for name in OPTIONAL for bad in (0.0, -0.5)),
    *((name, bad) for name in COEFFICIENTS for bad in (-1e-9, -1)),
    *((name, bad) for name in FRACTIONS for bad in (-1e-9, 1.0 + 1e-9, 2)),
    *((name, bad) for name in NUMBERS for bad in (math.nan, math.inf, -math.inf, np.float32(math.nan))),
    *((name, bad) for name in CHOICES for bad in ("", "sigmoid", "Exact", "sync ")),
    *(("hidden_sizes", bad) for bad in ((0,), (64, -1), 0)),
    *(("log_std_init", bad) for bad in (20.5, -21.0)),
    *(("dual_clip", bad) for bad in (1.0, 0.5, -3.0)),
    *(("entropy_decay", bad) for bad in (0.0, 1.0 + 1e-9, -0.5)),
    *((name, bad) for name in ("adaptive_lr_kl", "kl_penalty_target") for bad in (0.0, -0.01)),
]
ACCEPTED = [
    *((name, 1.0) for name in FRACTIONS),
    *((name, 0) for name in (*FRACTIONS, *COEFFICIENTS)),
    *((name, None) for name in OPTIONAL),
    *((name, 1e-12) for name in (*POSITIVE, *OPTIONAL)),
    ("adam_epsilon", 1e-30),
    *((name, choice) for name, choices in CHOICES.items() for choice in choices),
    *((name, flag) for name in SWITCHES for flag in (False, True)),
    *(("log_std_init", limit) for limit in (-20.0, 20.0)),
    *(("dual_clip", good) for good in (None, 1.0 + 1e-9, 3)),
    *(("entropy_decay", good) for good in (1e-12, 1.0)),
    *((name, 1) for name in COUNTS if name != "total_steps"),
    ("total_steps", 1024),
    ("minibatch_size", 1024),
]
WRONG_TYPE = [
    *((name, bad) for name in COUNTS for bad in (1.0, "8", None, True, [8])),
    *((name, bad) for name in NUMBERS for bad in ("0.1", True, [0.1], 1j)),
    *((name, None) for name in (*POSITIVE, *COEFFICIENTS, *FRACTIONS)),
    *((name, bad) for name in SWITCHES for bad in (0, 1, "true", None)),
    *((name, bad) for name in CHOICES for bad in (0, None, b"exact")),
    *(("hidden_sizes", bad) for bad in ("64", (64.0,), (True,), None, ["64"])),
]


def changed(name, value):
    """A configuration with one field changed, in which no other rule is broken by small counts."""
    small = {"num_envs": 1, "num_steps": 1, "minibatch_size": 1} if name in COUNTS and value == 1 else {}
    return PPOConfig(**{**small, name: value})


def test_the_lists_of_this_file_cover_every_field():
    listed = [*COUNTS, *POSITIVE, *OPTIONAL, *COEFFICIENTS, *FRACTIONS, *SWITCHES, *CHOICES]
    assert sorted([*listed, *OTHERS]) == sorted(FIELDS)


CONTRADICTIONS = [
    ({"adaptive_lr_kl": 0.01}, "anneal_learning_rate"),
    ({"kl_penalty_target": 0.01}, "objective"),
    ({"kl_penalty_target": 0.01, "objective": "none"}, "objective"),
    ({"kl_coef": 0.0, "objective": "kl"}, "kl_coef"),
    ({"dual_clip": 3.0, "objective": "kl"}, "dual_clip"),
    ({"dual_clip": 3.0, "objective": "none"}, "dual_clip"),
    ({"anneal_entropy_coef": True, "entropy_decay": 0.99}, "entropy_decay"),
    ({"shared_trunk": True, "critic_learning_rate": 1e-3}, "critic_learning_rate"),
    ({"shared_trunk": True, "separate_optimizers": True}, "separate_optimizers"),
    ({"shared_trunk": True, "critic_l2_coef": 1e-3}, "critic_l2_coef"),
]


@pytest.mark.parametrize(("settings", "named"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused_in_one_sentence(settings, named):
    with pytest.raises(UsageError) as refused:
        PPOConfig(**settings)
    sentence = str(refused.value)
    assert named in sentence
    assert all(name in sentence for name in settings if name != "shared_trunk")
    assert "\n" not in sentence
    for name in settings:  # each one alone is valid, so that the message names the right combination
        if name not in ("adaptive_lr_kl", "kl_penalty_target", "shared_trunk"):
            PPOConfig(**{name: settings[name]})


@pytest.mark.parametrize(
    "settings",
    [
        {"adaptive_lr_kl": 0.01, "anneal_learning_rate": False},
        {"kl_penalty_target": 0.01, "objective": "kl"},
        {"dual_clip": 3.0, "objective": "clip+kl", "kl_penalty_target": 0.01},
        {"separate_optimizers": True, "critic_learning_rate": 1e-3, "critic_l2_coef": 1e-3},
    ],
)
def test_settings_that_belong_together_are_accepted(settings):
    PPOConfig(**settings)


@pytest.mark.parametrize(("name", "bad"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_a_usage_error_that_names_the_field_and_the_value(name, bad):
    with pytest.raises(UsageError) as error:
        changed(name, bad)
    shown = {"hidden_sizes": bad if isinstance(bad, tuple) else (bad,)}.get(name, bad)
    assert str(error.value).startswith(f"{name}=")
    assert f"{shown}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["vectorization", "env_timeout", "threads"])
def test_a_setting_of_the_runtime_is_refused_with_the_place_where_it_belongs(name):
    for refused in (lambda: PPOConfig().replace(**{name: 1}), lambda: train("CartPole-v1", {name: 1})):
        with pytest.raises(UsageError, match=rf"no setting '{name}'.*pass runtime=\{{'{name}': \.\.\.\}}"):
            refused()


@pytest.mark.parametrize(("name", "bad"), WRONG_TYPE)
def test_a_value_of_the_wrong_type_is_a_type_error_that_names_the_field(name, bad):
    with pytest.raises(TypeError) as error:
        PPOConfig(**{name: bad})
    assert str(error.value).startswith(f"{name}={bad!r} must be ")


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_the_ends_of_each_range_are_accepted(name, value):
    assert getattr(changed(name, value), name) == value


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [([32, 16], (32, 16)), (32, (32,)), ((), ()), ((np.int64(7),), (7,))],
)
def test_layer_sizes_become_a_tuple_of_int(given_value, kept):
    sizes = PPOConfig(hidden_sizes=given_value).hidden_sizes
    assert sizes == kept
    assert all(type(size) is int for size in sizes)


def test_numbers_become_int_and_float():
    config = PPOConfig(num_envs=np.int32(4), gamma=1, clip_range=np.float32(0.25), learning_rate=Fraction(1, 8))
    assert [type(x) for x in (config.num_envs, config.gamma, config.clip_range, config.learning_rate)] == [
        int,
        float,
        float,
        float,
    ]
    assert (config.num_envs, config.gamma, config.clip_range, config.learning_rate) == (4, 1.0, 0.25, 0.125)


def test_a_minibatch_larger_than_a_rollout_is_refused():
    with pytest.raises(UsageError, match=r"^minibatch_size=13 is larger .*num_envs=3 x num_steps=4 = 12 "):
        PPOConfig(num_envs=3, num_steps=4, minibatch_size=13)
    assert PPOConfig(num_envs=3, num_steps=4, minibatch_size=12).rollout_size == 12


def test_fewer_steps_than_one_rollout_are_refused():
    with pytest.raises(UsageError, match=r"^total_steps=11 is less .*num_envs=3 x num_steps=4 = 12 "):
        PPOConfig(num_envs=3, num_steps=4, minibatch_size=12, total_steps=11)
    assert PPOConfig(num_envs=3, num_steps=4, minibatch_size=12, total_steps=12).total_steps == 12


def test_replace_gives_a_checked_copy():
    config = PPOConfig()
    other = config.replace(gamma=0.5, hidden_sizes=[3])
    assert (other.gamma, other.hidden_sizes, config) == (0.5, (3,), PPOConfig())
    same = {name for name in FIELDS if getattr(other, name) == getattr(config, name)}
    assert same == set(FIELDS) - {"gamma", "hidden_sizes"}
    with pytest.raises(UsageError, match=r"^gamma=2"):
        config.replace(gamma=2)
    with pytest.raises(UsageError, match="'gama'"):
        config.replace(gama=0.5)
    with pytest.raises(TypeError):
        PPOConfig(gama=0.5)


def test_a_configuration_cannot_be_changed():
    config = PPOConfig()
    for name in FIELDS:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, getattr(config, name))
    assert hash(config) == hash(PPOConfig())


configs = st.builds(
    PPOConfig,
    num_envs=st.integers(1, 9),
    num_steps=st.integers(1, 9),
    minibatch_size=st.just(1),
    hidden_sizes=st.lists(st.integers(1, 99), max_size=3),
    gamma=st.floats(0.0, 1.0),
    learning_rate=st.floats(1e-300, 1e300),
    value_clip_range=st.none() | st.floats(1e-9, 9.0),
    max_grad_norm=st.none() | st.floats(1e-9, 9.0),
    normalize_rewards=st.booleans(),
    activation=st.sampled_from(CHOICES["activation"]),
)


@given(configs)
def test_settings_go_through_json_and_back(config):
    settings = json.loads(json.dumps(config.to_dict(), allow_nan=False))
    assert set(settings) == set(FIELDS)
    assert PPOConfig.from_dict(settings) == config


def test_settings_of_a_file_are_checked_like_any_other():
    with pytest.raises(UsageError, match=r"^gamma=7"):
        PPOConfig.from_dict({"gamma": 7})
    with pytest.raises(UsageError, match="'colour'"):
        PPOConfig.from_dict({"colour": 1})


def test_every_field_says_what_it_means_and_where_its_default_comes_from():
    for name, field in FIELDS.items():
        for key in ("help", "source"):
            text = field.metadata[key]
            assert isinstance(text, str), name
            assert text.strip() == text != "", name
        assert not field.metadata["help"].endswith("."), name


@pytest.mark.parametrize("env", PRESETS)
def test_a_preset_is_what_preset_returns(env):
    config = preset(env)
    assert config == PPOConfig(**PRESETS[env])
    assert preset(f"some.module:{env}") == config
    assert config != PPOConfig()
    assert config.total_steps >= config.rollout_size


@pytest.mark.parametrize("env", ["Unknown-v0", "CartPole-v9", "", lambda: None, 3, None])
def test_an_environment_without_a_preset_has_the_defaults(env):
    assert preset(env) == PPOConfig()


def test_changing_what_preset_changes_returns_changes_no_preset():
    from ppocore.presets import preset_changes

    changes = preset_changes("CartPole-v1")
    assert changes == PRESETS["CartPole-v1"]
    changes.clear()
    assert preset_changes("CartPole-v1") == PRESETS["CartPole-v1"] != {}


@given(st.floats(0.0, 1e6), st.floats(0.0, 1.0))
def test_schedules(value, remaining):
    assert constant(value)(remaining) == value
    assert linear(value)(remaining) == pytest.approx(value - value * (1.0 - remaining), abs=1e-9 * value)
    assert (linear(value)(1.0), linear(value)(0.0)) == (value, 0.0)
    assert annealed(value, True)(remaining) == linear(value)(remaining)
    assert annealed(value, False)(remaining) == value


@pytest.mark.parametrize("name", ["num_steps", "gamma", "objective", "anneal_learning_rate", "hidden_sizes"])
def test_a_value_of_any_length_is_shown_in_a_few_words(name):
    with pytest.raises((TypeError, UsageError)) as refused:
        PPOConfig(**{name: [1.5] * 10_000})
    assert len(str(refused.value)) < 200
