"""Conversion of sampled actions to those of the environment, and action masks, for every space."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore.envs import action_space
from ppocore.errors import UsageError
from ppocore.spaces import ActionAdapter, leaves_nothing, read_mask

INF = np.inf
BOUNDED = Box(np.float32([[-2.0, 0.1], [1e-3, -3e4]]), np.float32([[1.0, 0.2], [2e-3, 7e4]]))
# The space, the kind, the size, the choices, the flags of a mask.
TABLE = {
    "discrete": (Discrete(4, start=-2), "gaussian", "categorical", 4, (), 4),
    "multi_discrete": (MultiDiscrete([3, 2, 4]), "gaussian", "multi_categorical", 3, (3, 2, 4), 9),
    "matrix": (MultiDiscrete([[3, 2], [4, 5]]), "gaussian", "multi_categorical", 4, (3, 2, 4, 5), 14),
    "bits": (MultiBinary(5), "gaussian", "bernoulli", 5, (), 10),
    "table of bits": (MultiBinary((2, 3)), "gaussian", "bernoulli", 6, (), 12),
    "unbounded": (Box(-INF, INF, (3,)), "gaussian", "gaussian", 3, (), 0),
    "squashed": (BOUNDED, "squashed_gaussian", "squashed_gaussian", 4, (), 0),
    "beta": (BOUNDED, "beta", "beta", 4, (), 0),
    "number": (Box(0.0, 1.0, ()), "beta", "beta", 1, (), 0),
}


def adapter_of(space, policy="gaussian"):
    return ActionAdapter(action_space(space), policy)


def again(adapter):
    """The adapter after a round trip through a policy file."""
    return ActionAdapter.from_dict(json.loads(json.dumps(adapter.to_dict(), sort_keys=True, allow_nan=False)))


@pytest.mark.parametrize("name", TABLE)
def test_kinds_and_sizes(name):
    space, policy, kind, size, choices, mask_size = TABLE[name]
    for adapter in (adapter_of(space, policy), again(adapter_of(space, policy))):
        assert (adapter.kind, adapter.size, adapter.choices, adapter.mask_size) == (kind, size, choices, mask_size)
    assert again(adapter_of(space, policy)).to_dict() == adapter_of(space, policy).to_dict()


@pytest.mark.parametrize("dtype", [np.int64, np.int8])
def test_choices_are_counted_from_their_starts_in_the_shape_of_the_space(dtype):
    space = MultiDiscrete(np.array([[3, 2], [4, 5]]), dtype=dtype, start=np.array([[-3, 0], [7, 1]]))
    sampled = np.array([[0, 0, 0, 0], [2, 1, 3, 4], [1, 0, 2, 3]])
    expected = [[[-3, 0], [7, 1]], [[-1, 1], [10, 5]], [[-2, 0], [9, 4]]]
    for adapter in (adapter_of(space), again(adapter_of(space))):
        actions = adapter(sampled)
        assert (actions.dtype, actions.tolist()) == (dtype, expected)
        assert all(space.contains(action) for action in actions)


def test_bits_come_in_the_shape_of_the_space():
    space, sampled = MultiBinary((2, 3)), np.array([[0, 1, 1, 0, 0, 1], [1, 0, 0, 1, 1, 1]])
    for adapter in (adapter_of(space), again(adapter_of(space))):
        actions = adapter(sampled)
        assert (actions.dtype, actions.tolist()) == (np.int8, [[[0, 1, 1], [0, 0, 1]], [[1, 0, 0], [1, 1, 1]]])
        assert all(space.contains(action) for action in actions)


def test_a_discrete_action_stays_a_number():
    assert adapter_of(Discrete(4, start=-2))(np.array([0, 3])).tolist() == [-2, 1]
    sampled = np.array([0, 3])
    assert adapter_of(Discrete(4))(sampled) is sampled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounded_policies_move_their_interval_to_the_bounds(dtype):
    space = Box(BOUNDED.low.astype(dtype), BOUNDED.high.astype(dtype), dtype=dtype)
    sampled = np.random.default_rng(0).normal(0.0, 1.5, (20, 4)).astype(np.float32)
    parts = {
        "squashed_gaussian": [[(math.tanh(x) + 1) / 2 for x in row] for row in sampled.tolist()],
        "beta": np.clip(np.abs(sampled) / 4, 1e-6, 1 - 1e-6).astype(np.float32).tolist(),
    }
    low, high = (bound.astype(float).ravel().tolist() for bound in (space.low, space.high))
    for policy, part in parts.items():
        adapter = again(adapter_of(space, policy))
        actions = adapter(sampled if policy == "squashed_gaussian" else np.float32(part))
        assert (actions.dtype, actions.shape) == (dtype, (20, 2, 2))
        expected = [[lo + u * (hi - lo) for u, lo, hi in zip(row, low, high, strict=True)] for row in part]
        # One rounding to float32 is at most 6e-8; in float64 the terms of the sum, of up to 1e5, leave 1e-11.
        np.testing.assert_allclose(
            actions.reshape(20, 4), expected, rtol=6e-8 if dtype == np.float32 else 0, atol=2e-11
        )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=4),
    st.sampled_from(["gaussian", "squashed_gaussian"]),
)
def test_actions_are_in_their_space_however_large_the_sample(sampled, policy):
    assert BOUNDED.contains(adapter_of(BOUNDED, policy)(np.float32([sampled]))[0])


@pytest.mark.parametrize("u", [0.0, 2.0**-24, 0.5, 1.0 - 2.0**-24, 1.0])
def test_the_ends_of_an_interval_are_in_their_space(u):
    assert BOUNDED.contains(adapter_of(BOUNDED, "beta")(np.full((1, 4), u, np.float32))[0])


@pytest.mark.parametrize("policy", ["squashed_gaussian", "beta"])
@pytest.mark.parametrize(
    "space", [Box(-INF, INF, (2,)), Box(0, INF, (2,)), Box(np.float32([-INF, 0]), np.float32([1, 1]))]
)
def test_a_bounded_policy_needs_bounds_everywhere(space, policy):
    with pytest.raises(
        UsageError, match=f"continuous_policy={policy} needs .* both sides.*use continuous_policy=gauss"
    ) as caught:
        adapter_of(space, policy)
    assert " ".join(str(space).split()) in str(caught.value)
    assert adapter_of(space).kind == "gaussian"


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete([[2, 2], [3, 3]]), MultiBinary(2)])
def test_a_continuous_policy_is_for_a_box(space):
    with pytest.raises(UsageError, match=r"continuous_policy=beta is for Box action spaces.*: leave it out") as caught:
        adapter_of(space, "beta")
    assert "\n" not in str(caught.value)


def test_an_unknown_policy_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"continuous_policy='laplace'.*gaussian, squashed_gaussian, beta"):
        adapter_of(BOUNDED, "laplace")


@pytest.mark.parametrize(
    "change", [{"kind": "sphere"}, {"policy": "laplace"}, {"dtype": "float31"}, {"low": ["many"]}, {"low": None}]
)
def test_what_does_not_describe_an_action_space_is_refused(change):
    fields = adapter_of(BOUNDED).to_dict()
    with pytest.raises((KeyError, TypeError, ValueError)):
        ActionAdapter.from_dict({**fields, **change})
    for key in ("kind", "low", "high"):
        with pytest.raises(KeyError):
            ActionAdapter.from_dict({other: value for other, value in fields.items() if other != key})


def test_a_description_without_a_policy_is_clipped():
    fields = {key: value for key, value in adapter_of(BOUNDED).to_dict().items() if key != "policy"}
    adapter = ActionAdapter.from_dict(fields)
    assert adapter.to_dict() == adapter_of(BOUNDED).to_dict()
    assert adapter(np.full((1, 4), 1e6, np.float32))[0].tolist() == BOUNDED.high.tolist()


MASK = [True, False, True, True, False, True, False, False, True]
FORMS = {
    "list": MASK,
    "array": np.array(MASK),
    "int8": np.array(MASK, np.int8),
    "floats": np.array(MASK, np.float32),
    "components": (MASK[:3], np.array(MASK[3:5]), np.array(MASK[5:], np.int8)),
    "list of components": [np.array(MASK[:3]), np.array(MASK[3:5]), np.array(MASK[5:])],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_of_components_in_every_form(form):
    mask = read_mask(FORMS[form], adapter_of(TABLE["multi_discrete"][0]))
    assert (mask.dtype, mask.tolist()) == (np.bool_, MASK)


def test_a_mask_that_was_read_is_its_own():
    given = np.array(MASK)
    read_mask(given, adapter_of(TABLE["multi_discrete"][0]))[:] = False
    assert given.tolist() == MASK


def test_one_component_of_a_single_choice_space():
    adapter = adapter_of(MultiDiscrete([3]))
    for form in ([1, 0, 1], ([1, 0, 1],), np.array([1, 0, 1])):
        assert read_mask(form, adapter).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["discrete", "multi_discrete", "bits"])
def test_what_leaves_nothing_is_found_by_trying_every_action(name):
    space = {"discrete": Discrete(3), "multi_discrete": MultiDiscrete([2, 3]), "bits": MultiBinary(2)}[name]
    parts = {"discrete": [3], "multi_discrete": [2, 3], "bits": [2, 2]}[name]
    adapter = adapter_of(space)
    masks = np.array(list(itertools.product([False, True], repeat=sum(parts))))
    firsts = np.cumsum([0, *parts[:-1]])
    actions = np.array(list(itertools.product(*[range(n) for n in parts])))
    possible = masks[:, firsts + actions].all(axis=2).any(axis=1)
    assert leaves_nothing(masks, adapter).tolist() == (~possible).tolist()
    assert adapter.mask_size == sum(parts)
