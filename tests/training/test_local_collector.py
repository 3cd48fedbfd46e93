"""Rollouts collected in this process match the environments' steps in every autoreset mode."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from support.environments import SCRIPTS, makers, vectors
from support.scripted_env import ScriptedEnv, played_by_hand, policy

import ppocore.envs.base
from ppocore.distributions import Categorical
from ppocore.envs import make_environments
from ppocore.normalize import ObservationNormalizer, RewardScaler
from ppocore.spaces import ActionAdapter, DiscreteAction
from ppocore.training import CollectorSetup, LocalCollector

STEPS, ENVS = 13, len(SCRIPTS)


class Scripted:
    """Acts as `support.scripted_env.policy` does; the value of an observation is a number that no other has."""

    def policy(self, observations):
        return np.where(np.arange(2) == policy(observations)[:, None], 0.0, -1e9)

    def values(self, observations):
        return value(observations).astype(np.float32)


def value(observation):
    return np.asarray(observation, np.float64) @ [1000.0, 100.0, 10.0, 1.0]


def started(environments, **settings):
    collector = LocalCollector(environments)
    setup = CollectorSetup(
        num_steps=STEPS,
        seed=0,
        distribution=Categorical(2),
        adapter=ActionAdapter(environments.action_space),
        rng=np.random.default_rng(0),
        observation_normalizer=None,
        reward_scaler=None,
    )
    collector.start(setup._replace(**settings))
    return collector


@pytest.mark.parametrize("vector", [*vectors(), pytest.param(None, id="lean")])
def test_rollouts_are_those_played_by_hand(vector):
    numbers = itertools.count()
    env = (lambda: ScriptedEnv(next(numbers), SCRIPTS[0])) if vector is None else vector(makers(SCRIPTS))
    scripts = [SCRIPTS[0]] * ENVS if vector is None else SCRIPTS
    with make_environments(env, ENVS, seed=0) as environments:
        collector = started(environments)
        played = [played_by_hand(i, script) for i, script in enumerate(scripts)]
        returns = []
        for _ in range(3):  # each rollout starts where the last one ended
            rollout = collector.collect(Scripted())
            assert len(rollout.final_index) == len(rollout.final_observations)
            assert rollout.masks is None
            for i, hand in enumerate(played):
                for t in range(STEPS):
                    if not rollout.valid[t, i]:
                        assert not rollout.terminated[t, i] | rollout.truncated[t, i]
                        continue
                    expected = next(hand)
                    assert tuple(rollout.observations[t, i]) == expected.observation
                    assert rollout.rewards[t, i] == expected.reward
                    ends = rollout.terminated[t, i], rollout.truncated[t, i]
                    assert ends == (expected.terminated, expected.truncated)
                    assert rollout.values[t, i] == value(expected.observation)
                    assert rollout.next_values[t, i] == value(expected.next_observation)
                    assert rollout.log_probs[t, i] == 0.0  # certain
                    if (t, i) in map(tuple, rollout.final_index.tolist()):
                        (k,) = np.flatnonzero((rollout.final_index == (t, i)).all(axis=1))
                        assert tuple(rollout.final_observations[k]) == expected.next_observation
                        assert any(ends)
            returns += collector.statistics.rollout_returns
        assert rollout.num_valid == np.count_nonzero(rollout.valid)
        assert collector.statistics.episodes == len(returns) > 20


def test_observations_and_rewards_are_normalized_as_by_hand():
    with make_environments(lambda: ScriptedEnv(0, SCRIPTS[0]), 1, seed=0) as environments:
        normalizer, scaler = ObservationNormalizer((4,)), RewardScaler(1, gamma=0.9)
        normalized = {"observation_normalizer": normalizer, "reward_scaler": scaler}
        collector = started(environments, **normalized)

        class First(Scripted):
            def policy(self, observations):
                return np.tile([0.0, -1e9], (len(observations), 1))

        rollout = collector.collect(First())
        mine, theirs = ObservationNormalizer((4,)), RewardScaler(1, gamma=0.9)
        env = ScriptedEnv(0, SCRIPTS[0])
        observation, _ = env.reset()
        finals = iter(rollout.final_observations)
        for t in range(STEPS):
            mine.update(observation[None])
            np.testing.assert_array_equal(rollout.observations[t], mine.normalize(observation[None]).astype(np.float32))
            observation, reward, terminated, truncated, _ = env.step(0)
            flags = np.array([terminated]), np.array([truncated])
            np.testing.assert_array_equal(
                rollout.rewards[t], theirs(np.array([reward]), *flags, np.array([True])).astype(np.float32)
            )
            if terminated or truncated:
                expected = mine.normalize(observation[None])[0].astype(np.float32)
                np.testing.assert_array_equal(next(finals), expected)
                observation, _ = env.reset()
        assert next(finals, None) is None
        expected = mine.normalize(observation[None]).astype(np.float32)
        np.testing.assert_array_equal(rollout.last_observations, expected)
        assert mine.state()["count"] == normalizer.state()["count"]


class Telling(ScriptedEnv):
    """Gives the step and the episode in every kind of info entry; some only at the end of an episode."""

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return observation, {"step": -1, "fresh": True}

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        info = {
            "step": self.t,
            "label": f"{self.number}/{self.episode}",
            "pair": np.array([self.episode, self.t]),
            "nested": {"total": float(self.total), "deep": {"number": self.number}},
        }
        if terminated or truncated:
            info |= {"won": terminated, "episode": {"l": self.t}}
        if self.number == 1:
            info["only_1"] = self.episode
        return observation, reward, terminated, truncated, info


def final_infos(number, script):
    """The final infos of the episodes of one environment, played by hand."""
    env = Telling(number, script)
    while True:
        observation, _ = env.reset()
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(policy(observation[None])[0])
            ended = terminated or truncated
        yield info


def plain(info):
    return {
        k: v.tolist() if isinstance(v, np.ndarray) else plain(v) if isinstance(v, dict) else v for k, v in info.items()
    }


@pytest.mark.parametrize("vector", list(vectors()))
def test_infos_of_ended_episodes_are_each_environments_own(vector):
    telling = [functools.partial(Telling, i, script) for i, script in enumerate(SCRIPTS)]
    with make_environments(vector(telling), ENVS, seed=0) as environments:
        collector = started(environments)
        collector.keep_final_infos = True
        expected = [final_infos(i, script) for i, script in enumerate(SCRIPTS)]
        for _ in range(2):
            rollout = collector.collect(Scripted())
            ended = np.argwhere(rollout.terminated | rollout.truncated)
            assert [i for i, _ in collector.final_infos] == ended[:, 1].tolist()
            assert len(ended) > 10
            for i, info in collector.final_infos:
                assert plain(info) == plain(next(expected[i]))
                assert type(info["step"]) is int
                assert type(info["won"]) is bool


def test_infos_of_environments_made_here_are_each_environments_own_and_kept():
    numbers = itertools.count()
    with make_environments(lambda: Telling(next(numbers), SCRIPTS[0]), 2, seed=0) as environments:
        collector = started(environments)
        collector.keep_final_infos = True
        collector.collect(Scripted())
        kept = collector.final_infos
        before = [(i, plain(info)) for i, info in kept]
        collector.collect(Scripted())
        assert [(i, plain(info)) for i, info in kept] == before
        expected = [final_infos(i, SCRIPTS[0]) for i in range(2)]
        assert before == [(i, plain(next(expected[i]))) for i, _ in before]


def test_infos_that_a_vector_environment_gives_as_a_whole_or_as_a_list():
    from ppocore.envs.infos import own_info

    info = {
        "final_obs": np.zeros((2, 1)),
        "final_info": [None, {"won": True}],
        "episode": {"r": np.array([1.0, 2.0])},
        "_episode": np.array([False, True]),
        "fps": 60,
        "names": ["a", "b"],
        "mean": np.array(3.0),
        "of the first": ["b"],
    }
    assert own_info(info, 1) == {"won": True}
    assert own_info(info, 0) == {"names": "a", "of the first": "b"}
    del info["final_info"]
    assert own_info(info, 1) == {"episode": {"r": 2.0}, "names": "b"}


def test_no_info_is_read_unless_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(ppocore.envs.base, "own_info", lambda info, index: calls.append(index) or {})
    with make_environments(functools.partial(Telling, 0, SCRIPTS[2]), 1, seed=0) as environments:
        collector = started(environments)
        collector.collect(Scripted())
        assert (collector.final_infos, calls) == ([], [])
        collector.keep_final_infos = True
        collector.collect(Scripted())
        assert len(collector.final_infos) == len(calls) == len(collector.statistics.rollout_returns) > 5


def test_a_restored_state_gives_the_same_rollouts():
    def begun():
        return started(make_environments("CartPole-v1", 3, seed=2))

    class Uniform(Scripted):
        def policy(self, observations):
            return np.zeros((len(observations), 2))

        def values(self, observations):
            return observations[:, 0]

    collector, again = begun(), begun()
    for _ in range(3):
        collector.collect(Uniform())
    state = collector.state()
    copies = {name: np.array(array) for name, array in state.items()}
    expected = collector.collect(Uniform())
    assert all(np.array_equal(state[name], copies[name]) for name in copies)
    again._setup.rng.bit_generator.state = np.random.default_rng(0).bit_generator.state
    for _ in range(3):  # a run would restore the generator
        again._setup.distribution.noise(again._setup.rng, (STEPS, 3))
    assert again.load_state(state) == {}
    for name, array in again.collect(Uniform())._asdict().items():
        if array is not None:
            np.testing.assert_array_equal(array, getattr(expected, name), err_msg=name)
    with pytest.raises(ValueError, match=r"observations of shape \(3, 4\), expected \(2, 4\)"):
        started(make_environments("CartPole-v1", 2, seed=2)).load_state(state)
    with pytest.raises(KeyError):
        again.load_state({"observations": state["observations"]})
    for one in (collector, again):
        one.close()
        one.close()
    assert isinstance(collector.action_space, DiscreteAction)
