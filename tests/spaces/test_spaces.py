"""Spaces are plain values: compared by content, printed as in Gymnasium, and refused if they are inconsistent."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from ppocore.envs import action_space, observation_space
from ppocore.spaces import ActionSpace, DictObservation, DiscreteObservation, ObservationSpace

ACTIONS = {
    "discrete": Discrete(4),
    "discrete from -2": Discrete(4, start=-2),
    "multi-discrete": MultiDiscrete([[3, 2], [4, 5]]),
    "multi-discrete from": MultiDiscrete([2, 3], start=[0, -1]),
    "multi-binary": MultiBinary(5),
    "table of bits": MultiBinary((2, 3)),
    "unbounded": Box(-np.inf, np.inf, (2,)),
    "half-bounded": Box(np.float32([-np.inf, -0.2]), np.float32([0.1, np.inf])),
    "matrix": Box(np.array([[-0.3, 0.1]]), np.array([[0.5, 7.0]]), dtype=np.float64),
    "number": Box(-0.7, 0.7, ()),
}
OBSERVATIONS = {
    **{name: space for name, space in ACTIONS.items() if name != "half-bounded"},  # bounds are not read
    "dict": Dict(OrderedDict(b=Discrete(2), a=Box(0, 1, (2, 1)))),
    "tuple": Tuple([MultiBinary(2), Dict(c=MultiDiscrete([2, 2]))]),
}
# What each was written as before spaces were classes.
WRITTEN_ACTIONS = {
    "discrete from -2": {"kind": "discrete", "n": 4, "start": -2},
    "multi-discrete from": {
        "kind": "multi_discrete",
        "shape": [2],
        "dtype": "int64",
        "choices": [2, 3],
        "start": [0, -1],
    },
    "table of bits": {"kind": "multi_binary", "shape": [2, 3], "dtype": "int8"},
    "unbounded": {
        "kind": "box",
        "shape": [2],
        "dtype": "float32",
        "low": ["-inf", "-inf"],
        "high": ["inf", "inf"],
    },
    "matrix": {"kind": "box", "shape": [1, 2], "dtype": "float64", "low": [-0.3, 0.1], "high": [0.5, 7.0]},
}
WRITTEN_OBSERVATIONS = {
    "discrete from -2": {"kind": "discrete", "n": 4, "start": -2},
    "multi-discrete": {
        "kind": "multi_discrete",
        "shape": [2, 2],
        "choices": [3, 2, 4, 5],
        "start": [0, 0, 0, 0],
    },
    "table of bits": {"kind": "multi_binary", "shape": [2, 3]},
    "matrix": {"kind": "box", "shape": [1, 2]},
    "dict": {
        "kind": "dict",
        "spaces": [["b", {"kind": "discrete", "n": 2, "start": 0}], ["a", {"kind": "box", "shape": [2, 1]}]],
    },
    "tuple": {
        "kind": "tuple",
        "spaces": [
            {"kind": "multi_binary", "shape": [2]},
            {
                "kind": "dict",
                "spaces": [["c", {"kind": "multi_discrete", "shape": [2], "choices": [2, 2], "start": [0, 0]}]],
            },
        ],
    },
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_space_prints_as_gymnasium_prints_it(name):
    assert str(action_space(ACTIONS[name])) == " ".join(str(ACTIONS[name]).split())


@pytest.mark.parametrize("name", WRITTEN_ACTIONS)
def test_action_spaces_are_written_as_ever(name):
    assert action_space(ACTIONS[name]).to_dict() == WRITTEN_ACTIONS[name]


@pytest.mark.parametrize("name", WRITTEN_OBSERVATIONS)
def test_observation_spaces_are_written_as_ever(name):
    assert observation_space(OBSERVATIONS[name]).to_dict() == WRITTEN_OBSERVATIONS[name]


@pytest.mark.parametrize(
    ("spaces", "convert", "read"),
    [
        (ACTIONS, action_space, ActionSpace.from_dict),
        (OBSERVATIONS, observation_space, ObservationSpace.from_dict),
    ],
    ids=["actions", "observations"],
)
def test_spaces_are_equal_if_they_say_the_same(spaces, convert, read):
    plain = [convert(space) for space in spaces.values()]
    for i, space in enumerate(plain):
        copies = (read(space.to_dict()), pickle.loads(pickle.dumps(space)))
        assert copies == (space, space)
        assert hash(copies[0]) == hash(space)
        assert [j for j, other in enumerate(plain) if other == space] == [i]


@pytest.mark.parametrize("key", ["choices", "start", "shape"])
def test_components_that_do_not_fit_the_shape_are_refused(key):
    space = MultiDiscrete([2, 3, 4])
    for plain, read in (
        (action_space(space), ActionSpace.from_dict),
        (observation_space(space), ObservationSpace.from_dict),
    ):
        with pytest.raises(ValueError, match=r"do not have shape"):
            read({**plain.to_dict(), key: [2, 2]})


@pytest.mark.parametrize("key", ["low", "high"])
def test_bounds_that_do_not_fit_the_shape_are_refused(key):
    with pytest.raises(ValueError, match="do not have shape"):
        ActionSpace.from_dict({**action_space(ACTIONS["matrix"]).to_dict(), key: [0.5]})


def test_a_part_keeps_its_position():
    parts = (("b", DiscreteObservation(2)), ("a", DiscreteObservation(2)))
    assert DictObservation(parts) != DictObservation(parts[::-1])
