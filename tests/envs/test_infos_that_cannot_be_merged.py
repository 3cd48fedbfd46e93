"""Gymnasium's own vector environments train, too, where it cannot merge what their environments say."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from ppocore import PPOConfig, train
from ppocore.envs import make_environments

CONFIG = PPOConfig(total_steps=64, num_envs=2, num_steps=16, minibatch_size=16, update_epochs=1, hidden_sizes=(4,))
LENGTH = 3

PAIRS = {  # what the two environments say at one step, which Gymnasium's code cannot put into one array
    "arrays of two lengths": (np.arange(2.0), np.arange(3.0)),
    "None after a number": (1, None),
    "a string after a number": (0.5, "far"),
    "an integer of many digits": (1, 10**30),
    "a dict after a number": (2.0, {"x": 1}),
    "a list after a number": (1.0, [1, 2]),
    "deep within": ({"a": {"b": np.zeros(2), "c": 1}}, {"a": {"b": np.zeros(3), "c": 2}}),
}


class Saying(gym.Env):
    """Have episodes of three steps, and say one thing at every step."""

    observation_space, action_space = gym.spaces.Box(-9, 9, (1,), np.float32), gym.spaces.Discrete(2)

    def __init__(self, said):
        self.said = said

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {**self.said}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), float(action), self.t == LENGTH, False, {**self.said}


def vector(kind, said, mode=AutoresetMode.NEXT_STEP):
    return kind([lambda own=own: Saying(own) for own in said], autoreset_mode=mode)


def same(found, expected):
    """Compare infos, the arrays in them by value."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], part) for key, part in expected.items())
    return np.array_equal(found, expected) if isinstance(expected, np.ndarray) else found == expected


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
@pytest.mark.parametrize("pair", PAIRS)
def test_each_says_what_it_said(pair, kind, mode):
    said = [{"number": 1, "odd": PAIRS[pair][0]}, {"number": 2, "odd": PAIRS[pair][1]}]
    with make_environments(vector(kind, said, mode), 2, seed=1) as environments:
        environments.reset()
        for t in range(1, 2 * LENGTH + 1):
            step = environments.step(np.zeros(2, np.int64))
            if t == LENGTH:
                assert step.terminated.tolist() == [True, True]
                found = dict(environments.final_infos(np.arange(2)))
                for index, own in enumerate(said):
                    own = {key: value for key, value in own.items() if value is not None}
                    assert same(found[index], own), (found[index], own)


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_the_run_is_that_of_environments_that_say_nothing(kind):
    silent = train(vector(kind, [{}, {}]), CONFIG, seed=2).fingerprint
    for pair in PAIRS.values():
        assert train(vector(kind, [{"odd": part} for part in pair]), CONFIG, seed=2).fingerprint == silent


def test_what_can_be_merged_is_merged_as_before():
    """In the same arrays, for a program that wraps or reads them."""
    said = [{"x": 1.5, "deep": {"y": np.arange(2)}, "name": "a"}, {"x": 2.5, "deep": {"y": np.arange(2)}}]
    plain, ours = vector(SyncVectorEnv, said), vector(SyncVectorEnv, said)
    expected = plain.reset(seed=1)[1]
    with make_environments(ours, 2, seed=1):
        found = ours.reset(seed=1)[1]
    assert found.keys() == expected.keys()
    assert found["x"].dtype == expected["x"].dtype == np.float64
    assert found["x"].tolist() == [1.5, 2.5]
    assert found["name"].tolist() == ["a", None]
    assert found["_name"].tolist() == [True, False]
    np.testing.assert_array_equal(found["deep"]["y"], expected["deep"]["y"], strict=True)
