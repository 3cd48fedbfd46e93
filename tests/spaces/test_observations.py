"""Observations of any structure are flattened to vectors, equally from every source."""

from __future__ import annotations

import json
from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore.envs import observation_mapping
from ppocore.errors import UsageError
from ppocore.spaces import ObservationMapping

shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
boxes = st.builds(
    lambda shape, dtype: Box(0, 9, shape, dtype), shapes, st.sampled_from([np.float32, np.float64, np.uint8, np.int64])
)
discretes = st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3))
multi_binaries = st.builds(MultiBinary, shapes.filter(bool))


@st.composite
def multi_discretes(draw):
    shape = draw(shapes.filter(bool))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return MultiDiscrete(rng.integers(1, 5, shape), start=rng.integers(-3, 4, shape))


leaves = st.one_of(boxes, discretes, multi_binaries, multi_discretes())
spaces = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(Tuple),
        st.dictionaries(st.text("abyz", min_size=1, max_size=2), parts, min_size=1, max_size=3).map(
            lambda entries: Dict(OrderedDict(entries))  # which keeps the order it was drawn in
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(spaces, st.integers(0, 4), st.integers(0, 2**31 - 1))
def test_every_space_is_flattened_as_gymnasium_does(space, batch, seed):
    space.seed(seed)
    observations = [space.sample() for _ in range(batch)]
    expected = np.array([gym.spaces.flatten(space, observation) for observation in observations], np.float64)
    expected = expected.reshape(batch, gym.spaces.flatdim(space))
    made = observation_mapping(space)
    written = json.dumps(made.to_dict(), sort_keys=True)
    for mapping in (made, ObservationMapping.from_dict(json.loads(written))):
        assert mapping.size == gym.spaces.flatdim(space)
        # Gymnasium's own batch of them, as its vector environments give it.
        if batch:
            together = concatenate(space, observations, create_empty_array(space, batch))
            assert np.array_equal(mapping.flatten(together), expected)
            flat, single = mapping.flatten_any(together)
            assert np.array_equal(flat, expected)
            assert not single
        for observation, row in zip(observations, expected, strict=True):
            assert np.array_equal(mapping.flatten_one(observation), row)
            flat, single = mapping.flatten_any(observation)
            assert np.array_equal(flat, row[None])
            assert single
        assert mapping == made


def test_an_array_of_numbers_stays_where_it_is_and_what_it_is():
    mapping = observation_mapping(Box(0, 255, (2, 3), np.uint8))
    batch = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    flat = mapping.flatten(batch)
    assert (flat.shape, flat.dtype, mapping.shape) == ((4, 6), np.uint8, (2, 3))
    assert np.shares_memory(flat, batch)
    assert observation_mapping(Discrete(2)).shape is None


def test_spaces_that_differ_in_what_a_number_means_differ():
    one = Dict(OrderedDict(b=Discrete(2), a=Discrete(2)))
    assert observation_mapping(one) != observation_mapping(Dict(a=Discrete(2), b=Discrete(2)))
    assert observation_mapping(Discrete(3)) != observation_mapping(Discrete(3, start=1))
    assert observation_mapping(Discrete(3)) != observation_mapping(MultiBinary(3))
    assert observation_mapping(one) == observation_mapping(one)
    assert observation_mapping(one) != one


@pytest.mark.parametrize(
    "bad", [Text(5), Sequence(Discrete(2)), Graph(Discrete(2), None), Box(0, 1, (0, 3)), Dict(), Tuple([])]
)
def test_an_unsupported_space_is_named_with_its_place(bad):
    with pytest.raises(UsageError, match=r"observation space .* is not supported; supported are") as caught:
        observation_mapping(bad)
    assert "] is not supported" not in str(caught.value).replace(str(bad), "")
    nested = Dict(good=Discrete(2), odd=Tuple([Discrete(2), Dict(part=bad)]))
    with pytest.raises(
        UsageError, match=r"observation space .* at \['odd'\]\[1\]\['part'\] is not supported"
    ) as caught:
        observation_mapping(nested)
    assert " ".join(str(bad).split()) in str(caught.value)
    assert "\n" not in str(caught.value)


NESTED = Dict(a=Box(-1, 1, (2, 3)), b=Tuple([Discrete(4, start=-1), MultiDiscrete([2, 3], start=[0, 5])]))


def nested(**changed):
    return {"a": np.zeros((2, 3)), "b": (0, np.array([1, 6])), **changed}


def in_batch(observation, count=5):
    if isinstance(observation, dict):
        return {key: in_batch(part, count) for key, part in observation.items()}
    if isinstance(observation, tuple):
        return tuple(in_batch(part, count) for part in observation)
    return np.repeat(np.asarray(observation)[None], count, axis=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a": np.zeros((3, 2))}, r"observation\['a'\] has shape"),
        ({"a": np.zeros(6)}, r"observation\['a'\] has shape"),
        ({"b": (0,)}, r"observation\['b'\] has no entry 1, "),
        ({"b": 3}, r"observation\['b'\] has no entry 0, "),
        ({"b": (0, np.array([1]))}, r"observation\['b'\]\[1\] has shape"),
        ({"b": (np.array([0]), np.array([1, 6]))}, r"observation\['b'\]\[0\] has shape"),
        ({"b": (3, np.array([1, 6]))}, r"observation\['b'\]\[0\] is \[?3\]? in row 0, which is not in its space"),
        ({"b": (-2, np.array([1, 6]))}, r"observation\['b'\]\[0\] is .*-2"),
        ({"b": (0.5, np.array([1, 6]))}, r"observation\['b'\]\[0\] is .*0.5"),
        ({"b": (np.nan, np.array([1, 6]))}, r"observation\['b'\]\[0\] is .*nan"),
        ({"b": (0, np.array([1, 8]))}, r"observation\['b'\]\[1\] is \[1, 8\] in row 0"),
        ({"b": (0, np.array([1, 4]))}, r"observation\['b'\]\[1\] is \[1, 4\] in row 0"),
    ],
)
def test_an_observation_that_is_not_of_the_space_is_refused_by_its_key(changed, message):
    mapping = observation_mapping(NESTED)
    observation = nested(**changed)
    for call, argument in (
        (mapping.flatten_one, observation),
        (mapping.flatten_any, observation),
        (mapping.flatten, in_batch(observation)),
        (mapping.flatten_any, in_batch(observation)),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call(argument)
        assert "\n" not in str(caught.value)
    without = {key: part for key, part in nested().items() if key not in changed}
    with pytest.raises(ValueError, match=f"^observation has no entry '{next(iter(changed))}'"):
        mapping.flatten_one(without)


def test_parts_of_different_batches_are_refused():
    mixed = {**in_batch(nested(), 5), "b": in_batch(nested()["b"], 4)}
    with pytest.raises(ValueError, match=r"observation\['b'\]\[0\] has shape \(4,\), expected \(5,\)"):
        observation_mapping(NESTED).flatten(mixed)
    with pytest.raises(ValueError, match=r"observation has shape \(4, 3, 2\), expected \(4, 2, 3\)"):
        observation_mapping(Box(0, 1, (2, 3))).flatten(np.zeros((4, 3, 2)))


@pytest.mark.parametrize(
    "description", [{}, {"kind": "graph"}, {"kind": "box"}, {"kind": "dict", "spaces": []}, [], None]
)
def test_what_does_not_describe_a_space_is_refused(description):
    with pytest.raises((KeyError, TypeError, ValueError)):
        ObservationMapping.from_dict(description)
