"""Canonical names and shapes, orthogonal initial weights, and the forward pass used for acting."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import SEEDS, loaded_backend, plain_forward, random_weights, spec_of, specs

from ppocore.errors import UsageError
from ppocore.networks import ActingNetwork, NetworkSpec, orthogonal


def acting(spec, weights, precision="exact"):
    network = ActingNetwork(spec, precision)
    network.load(weights)
    return network


def test_separate_networks_have_these_names_and_shapes():
    assert NetworkSpec(4, "categorical", 3, hidden_sizes=(8, 5)).shapes() == {
        "actor.hidden.0.weight": (4, 8),
        "actor.hidden.0.bias": (8,),
        "actor.hidden.1.weight": (8, 5),
        "actor.hidden.1.bias": (5,),
        "critic.hidden.0.weight": (4, 8),
        "critic.hidden.0.bias": (8,),
        "critic.hidden.1.weight": (8, 5),
        "critic.hidden.1.bias": (5,),
        "actor.output.weight": (5, 3),
        "actor.output.bias": (3,),
        "critic.output.weight": (5, 1),
        "critic.output.bias": (1,),
    }


def test_a_shared_trunk_has_these_names_and_shapes():
    assert NetworkSpec(4, "gaussian", 2, hidden_sizes=(8,), shared_trunk=True).shapes() == {
        "trunk.hidden.0.weight": (4, 8),
        "trunk.hidden.0.bias": (8,),
        "actor.output.weight": (8, 2),
        "actor.output.bias": (2,),
        "critic.output.weight": (8, 1),
        "critic.output.bias": (1,),
        "log_std": (2,),
    }


def test_without_hidden_layers_the_heads_read_the_observation():
    for shared in (False, True):
        assert NetworkSpec(4, "categorical", 3, hidden_sizes=(), shared_trunk=shared).shapes() == {
            "actor.output.weight": (4, 3),
            "actor.output.bias": (3,),
            "critic.output.weight": (4, 1),
            "critic.output.bias": (1,),
        }


@given(specs())
def test_a_specification_goes_through_json_and_back(spec):
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_an_unknown_kind_of_action_is_a_usage_error():
    with pytest.raises(UsageError, match="action_kind='gamma' is unknown: use one of multi_categorical, categorical,"):
        NetworkSpec(4, "gamma", 2).distribution()


@pytest.mark.parametrize("choices", [(), (3,), (3, 2, 2)])
def test_choices_that_are_not_one_for_each_component_are_a_usage_error(choices):
    with pytest.raises(UsageError, match="must name the choices of 2 components"):
        NetworkSpec(4, "multi_categorical", 2, choices=choices).distribution()


@pytest.mark.parametrize(
    ("kind", "output_size", "parameter_size", "mask_size"),
    [
        ("categorical", 2, 2, 2),
        ("multi_categorical", 5, 5, 5),
        ("bernoulli", 2, 2, 4),
        ("gaussian", 2, 4, 0),
        ("squashed_gaussian", 2, 4, 0),
        ("beta", 4, 4, 0),
    ],
)
def test_every_kind_has_its_numbers_of_outputs_parameters_and_flags(kind, output_size, parameter_size, mask_size):
    spec = spec_of(kind, 2, (8,))
    assert spec.output_size == output_size == spec.shapes()["actor.output.weight"][1]
    assert spec.distribution().parameter_size == parameter_size
    assert spec.distribution().mask_size == mask_size
    assert ("log_std" in spec.shapes()) == spec.has_log_std == (parameter_size > output_size)


def assert_orthogonal(weight, gain):
    weight = weight.astype(np.float64)
    product = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=2e-6 * gain**2)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.01, 1.0, math.sqrt(2.0)]), SEEDS)
def test_orthogonal_weights_have_orthogonal_rows_or_columns(n_in, n_out, gain, seed):
    weight = orthogonal((n_in, n_out), gain, np.random.default_rng(seed))
    assert (weight.shape, weight.dtype, weight.flags.c_contiguous) == ((n_in, n_out), np.float32, True)
    assert_orthogonal(weight, gain)


def test_orthogonal_weights_are_uniform_over_signs():
    """The first column of LAPACK's QR factor has a leading entry that is never positive."""
    rng = np.random.default_rng(0)
    matrices = np.array([orthogonal((3, 3), 1.0, rng) for _ in range(4000)])
    assert np.all(np.abs((matrices > 0.0).mean(axis=0) - 0.5) < 5.0 * 0.5 / math.sqrt(4000))
    assert np.all(np.abs((matrices**2).mean(axis=0) - 1 / 3) < 5.0 * math.sqrt(4 / 45 / 4000))


@settings(deadline=None)
@given(specs(), SEEDS)
def test_initial_weights_have_their_layers_gain_zero_biases_and_the_initial_log_std(spec, seed):
    weights = spec.initial_weights(np.random.default_rng(seed))
    assert {name: array.shape for name, array in weights.items()} == spec.shapes()
    for name, array in weights.items():
        assert array.dtype == np.float32
        if name == "log_std":
            assert np.all(array == np.float32(spec.log_std_init))
        elif name.endswith(".bias"):
            assert not array.any()
        else:
            gains = {"actor.output.weight": 0.01, "critic.output.weight": 1.0}
            assert_orthogonal(array, gains.get(name, math.sqrt(2.0)))


def test_initial_weights_depend_on_the_seed_alone():
    spec = NetworkSpec(4, "categorical", 2, (8, 8))
    first, again, other = (spec.initial_weights(np.random.default_rng(seed)) for seed in (3, 3, 4))
    for name in first:
        assert first[name].tobytes() == again[name].tobytes()
        assert name.endswith(".bias") or np.any(first[name] != other[name])
    assert np.any(first["actor.hidden.0.weight"] != first["critic.hidden.0.weight"])


@settings(deadline=None, max_examples=60)
@given(specs(), SEEDS, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_acting_is_the_plain_forward_pass_and_the_backends(spec, seed, batch_sizes):
    rng = np.random.default_rng(seed)
    weights = random_weights(spec, rng)
    network, backend = acting(spec, weights), loaded_backend(spec, weights)
    for size in batch_sizes:  # one network, batches that grow and shrink
        observations = rng.normal(0.0, 1.0, (size, spec.observation_size)).astype(np.float32)
        parameters, values = network.policy(observations).copy(), network.values(observations)
        assert (parameters.dtype, values.dtype, values.shape) == (np.float64, np.float32, (size,))
        expected_parameters, expected_values = plain_forward(spec, weights, observations)
        np.testing.assert_allclose(parameters, expected_parameters, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(values, expected_values, rtol=2e-7, atol=1e-7)
        backend_parameters, backend_values = backend.forward(observations)
        np.testing.assert_allclose(parameters, backend_parameters, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(values, backend_values, rtol=1e-7, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(specs(), SEEDS)
def test_acting_in_float32_is_close_to_acting_in_float64(spec, seed):
    rng = np.random.default_rng(seed)
    weights = random_weights(spec, rng)
    network = acting(spec, weights, "float32")
    observations = rng.normal(0.0, 1.0, (5, spec.observation_size))
    parameters = network.policy(observations)
    assert parameters.dtype == np.float32
    expected_parameters, expected_values = plain_forward(spec, weights, observations)
    np.testing.assert_allclose(parameters, expected_parameters, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network.values(observations), expected_values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [0, 1, 4095, 4096, 4097, 8192, 9001])
def test_values_of_a_large_rollout_are_those_of_its_rows(rows):
    spec = NetworkSpec(3, "categorical", 2, (6,))
    rng = np.random.default_rng(rows)
    network = acting(spec, random_weights(spec, rng))
    observations = rng.normal(0.0, 1.0, (rows, 3)).astype(np.float32)
    values = network.values(observations)
    assert values.shape == (rows,)
    by_row = [network.values(observation[None])[0] for observation in observations]
    np.testing.assert_array_max_ulp(values, np.array(by_row, np.float32), 1)


def test_values_of_a_call_are_not_overwritten_by_the_next():
    spec = NetworkSpec(3, "categorical", 2, (6,))
    network = acting(spec, random_weights(spec, np.random.default_rng(0)))
    values = network.values(np.ones((4, 3)))
    copy = values.copy()
    network.values(np.zeros((4, 3)))
    network.policy(np.zeros((4, 3)))
    assert np.array_equal(values, copy)


def test_loading_again_replaces_every_weight_and_keeps_no_view():
    spec = NetworkSpec(3, "gaussian", 2, (6,), shared_trunk=True)
    rng = np.random.default_rng(1)
    first, second, observations = random_weights(spec, rng), random_weights(spec, rng), np.ones((2, 3))
    network = acting(spec, first)
    network.load(second)
    expected = acting(spec, second)
    copies = {name: array.copy() for name, array in second.items()}
    for array in second.values():
        array[...] = 9.0
    assert np.array_equal(network.policy(observations), expected.policy(observations))
    assert np.array_equal(network.values(observations), acting(spec, copies).values(observations))


@pytest.mark.parametrize("name", ["actor.hidden.0.weight", "critic.output.bias", "log_std"])
def test_weights_that_do_not_fit_are_refused_naming_the_weight(name):
    spec = NetworkSpec(3, "gaussian", 2, (6,))
    weights = random_weights(spec, np.random.default_rng(0))
    shape = spec.shapes()[name]
    network = acting(spec, weights)
    before = network.policy(np.ones((1, 3))).copy()
    missing = {key: array + 1 for key, array in weights.items() if key != name}
    with pytest.raises(UsageError) as error:
        network.load(missing)
    assert str(error.value) == f"weight {name!r} is missing, expected shape {shape}"
    with pytest.raises(UsageError) as error:
        network.load({**missing, name: np.zeros((1, 7), np.float32)})
    assert str(error.value) == f"weight {name!r} has shape (1, 7), expected shape {shape}"
    assert np.array_equal(network.policy(np.ones((1, 3))), before)
