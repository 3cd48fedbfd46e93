"""Environments with structured observations, in every vectorization."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from support.environments import MODES, SCRIPTS, collect, transitions, vectors
from support.scripted_env import ScriptedEnv, played_by_hand

from ppocore.envs import make_environments
from ppocore.errors import EnvironmentFault


class ScriptedParts(ScriptedEnv):
    """The same numbers as `ScriptedEnv`'s, in parts."""

    observation_space = Dict(
        OrderedDict(
            number=Box(-1e6, 1e6, (1,), np.float32),
            clock=Tuple([Box(0, 1000, (), np.int64), Box(-1e6, 1e6, (2,), np.float64)]),
        )
    )

    def _observation(self):
        whole = super()._observation()
        return {"clock": (int(whole[1]), whole[2:].astype(np.float64)), "number": whole[:1]}


class ScriptedPair(ScriptedParts):
    observation_space = Tuple([ScriptedParts.observation_space, Box(-1e6, 1e6, (), np.float32)])

    def _observation(self):
        return super()._observation(), np.float32(0.0)


def in_parts(kind):
    return [functools.partial(kind, number, script) for number, script in enumerate(SCRIPTS)]


def check_played(environments, last=()):
    acted_on, steps = collect(WithoutLast(environments, len(last)), 40)
    for index, script in enumerate(SCRIPTS):
        found = transitions(acted_on, steps, index)
        assert len(found) >= 20
        assert found == list(itertools.islice(played_by_hand(index, script), len(found)))
    assert acted_on.dtype == np.float64


class WithoutLast:
    """Environments without the last numbers of their observations, which are none of `ScriptedEnv`'s."""

    def __init__(self, environments, count):
        self.environments, self.count = environments, count

    @property
    def acting(self):
        return self.environments.acting

    def _cut(self, observations):
        assert not observations[:, 4:].any()
        return observations[:, :4]

    def reset(self):
        return self._cut(self.environments.reset())

    def step(self, actions):
        step = self.environments.step(actions)
        cut = self._cut(step.observations)
        same = step.next_observations is step.observations
        return step._replace(observations=cut, next_observations=cut if same else self._cut(step.next_observations))


@pytest.mark.parametrize("kind", [ScriptedParts, ScriptedPair])
@pytest.mark.parametrize("vector", list(vectors()))
def test_transitions_in_parts_are_those_played_by_hand(vector, kind):
    with make_environments(vector(in_parts(kind)), len(SCRIPTS), seed=3) as environments:
        check_played(environments)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_environments_that_are_made_here_give_parts_too(vectorization):
    makers = in_parts(ScriptedPair)
    if vectorization == "sync":
        with make_environments(lambda: makers.pop(0)(), len(SCRIPTS), seed=3) as environments:
            check_played(environments)
    else:
        with make_environments(makers[2], 2, seed=3, vectorization=vectorization) as environments:
            assert environments.reset().tolist() == [[2, 0, 0, 0, 0]] * 2
            assert environments.step(np.array([0, 1])).observations.tolist() == [[2, 0, 1, 0, 0], [2, 0, 1, 1, 0]]


class Corridor(gym.Env):
    """The observation is the position, which starts at 3 and is reset after 4 steps."""

    observation_space = Discrete(5, start=3)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return 3, {}

    def step(self, action):
        self.t += 1
        return 3 + self.t + (self.t == 4 and int(action)), 0.0, self.t == 4, False, {}


@pytest.mark.parametrize("vector", list(vectors()))
def test_whole_numbers_become_one_hot(vector):
    with make_environments(vector([Corridor] * 2), 2, seed=0) as environments:
        assert environments.reset().tolist() == [[1, 0, 0, 0, 0]] * 2
        for t in (1, 2, 3, 4):
            step = environments.step(np.zeros(2, np.int64))
            assert step.next_observations.argmax(axis=1).tolist() == [t, t]
            assert (step.next_observations.sum(axis=1) == 1).all()
        assert environments.observation_mapping.size == 5


def test_an_observation_out_of_its_space_is_a_fault():
    with make_environments(Corridor, 2, seed=0) as environments:
        environments.reset()
        for _ in range(3):
            environments.step(np.zeros(2, np.int64))
        with pytest.raises(
            EnvironmentFault,
            match=r"environment 1 failed in step, step 4 .*the observation 8, which is not in its space",
        ):
            environments.step(np.array([0, 1]))


@pytest.mark.parametrize("mode", MODES)
def test_a_part_that_is_not_finite_is_a_fault_of_its_environment(mode):
    class Breaks(ScriptedParts):
        def _observation(self):
            observation = super()._observation()
            if (self.number, self.episode, self.t) == (1, 1, 1):
                observation["clock"][1][0] = np.nan
            return observation

    environments = make_environments(SyncVectorEnv(in_parts(Breaks), autoreset_mode=mode), len(SCRIPTS), seed=3)
    with pytest.raises(
        EnvironmentFault, match=r"environment 1 gave the observation with nan at \[2\].*step 1 of its ep"
    ):
        check_played(environments)


class Handed(VectorEnv):
    """One of two environments ends and is reset within the step, with a final observation in the given form."""

    num_envs = 2
    single_observation_space = Dict(a=Discrete(3), b=Tuple([Box(-9, 9, (1,))]))
    single_action_space = Discrete(2)

    def __init__(self, final):
        self.final, self.metadata = final, {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed=None, options=None):
        return {"a": np.zeros(2, np.int64), "b": (np.zeros((2, 1), np.float32),)}, {}

    def step(self, actions):
        info = {"final_obs": self.final}
        return self.reset()[0], np.zeros(2), np.array([False, True]), np.zeros(2, np.bool_), info


ENDED = {"a": 2, "b": (np.array([7.0]),)}


@pytest.mark.parametrize(
    "final",
    [
        np.array([None, ENDED]),
        [None, ENDED],
        {"a": np.array([0, 2]), "b": (np.array([[1.0], [7.0]]),)},
    ],
)
def test_final_observations_in_parts(final):
    environments = make_environments(Handed(final), 2, seed=0)
    environments.reset()
    step = environments.step(np.zeros(2, np.int64))
    assert step.observations.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    assert step.next_observations.tolist() == [[1, 0, 0, 0], [0, 0, 1, 7]]


def test_a_wrong_final_observation_is_a_fault():
    environments = make_environments(Handed(np.array([None, {"a": 2}])), 2, seed=0)
    environments.reset()
    with pytest.raises(EnvironmentFault, match=r'environment 1 gave an info\["final_obs"\] .*step 1 .*no entry .b.'):
        environments.step(np.zeros(2, np.int64))
    environments = make_environments(Handed(np.array([None, None])), 2, seed=0)
    environments.reset()
    with pytest.raises(EnvironmentFault, match=r'environment 1 ended without an info\["final_obs"\]'):
        environments.step(np.zeros(2, np.int64))
