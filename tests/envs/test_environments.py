"""The contract of a step in every autoreset mode, and the seeds of episodes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from support.environments import MODES, SCRIPTS, SeedEcho, collect, makers, transitions, vectors
from support.scripted_env import played_by_hand

from ppocore.envs import episode_seed, make_environments


@pytest.mark.parametrize("vector", list(vectors()))
def test_transitions_are_those_played_by_hand(vector):
    with make_environments(vector(makers(SCRIPTS)), len(SCRIPTS), seed=3) as environments:
        acted_on, steps = collect(environments, 40)
    for index, script in enumerate(SCRIPTS):
        found = transitions(acted_on, steps, index)
        assert len(found) >= 20
        assert found == list(itertools.islice(played_by_hand(index, script), len(found)))
    assert steps.rewards.dtype == np.float64
    assert not steps.terminated[~steps.valid].any()
    assert not steps.truncated[~steps.valid].any()
    assert not steps.rewards[~steps.valid].any()


episode = st.tuples(st.integers(1, 5), st.sampled_from(["terminated", "truncated", "both"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(episode, min_size=1, max_size=4), min_size=1, max_size=3), st.sampled_from(MODES))
def test_transitions_of_any_script(scripts, mode):
    vector = SyncVectorEnv(makers(scripts), autoreset_mode=mode)
    acted_on, steps = collect(make_environments(vector, len(scripts), seed=0), 15)
    for index, script in enumerate(scripts):
        found = transitions(acted_on, steps, index)
        assert found == list(itertools.islice(played_by_hand(index, script), len(found)))
    if mode is not AutoresetMode.NEXT_STEP:
        assert steps.valid.all()


def value_of(observations):
    return np.sin(np.asarray(observations, np.float64) @ np.array([1.0, 2.0, 3.0, 5.0]))


def advantages_by_hand(played, gamma, lam):
    advantages, later = [], 0.0
    for transition in reversed(played):
        bootstrap = 0.0 if transition.terminated else gamma * value_of(transition.next_observation)
        delta = transition.reward + bootstrap - value_of(transition.observation)
        later = delta + gamma * lam * later * (not (transition.terminated or transition.truncated))
        advantages.append(later)
    return advantages[::-1]


@pytest.mark.parametrize("rows", [1, 2, 5, 40])
@pytest.mark.parametrize("mode", MODES)
def test_advantages_of_finished_episodes_do_not_depend_on_the_mode(mode, rows):
    from ppocore.advantages import gae

    vector = SyncVectorEnv(makers(SCRIPTS), autoreset_mode=mode)
    acted_on, steps = collect(make_environments(vector, len(SCRIPTS), seed=3), 40)
    values, next_values = value_of(acted_on), value_of(steps.next_observations)
    # A rollout of one row makes every end one at a rollout's last row.
    for first in range(0, 40, rows):
        part = slice(first, first + rows)
        advantages, _ = gae(
            steps.rewards[part],
            values[part],
            next_values[part],
            steps.terminated[part],
            steps.truncated[part],
            gamma=0.9,
            lam=0.8,
            valid=steps.valid[part],
        )
        here = type(steps)(*(field[part] for field in steps))
        for index in range(len(SCRIPTS)):
            expected = advantages_by_hand(transitions(acted_on[part], here, index), 0.9, 0.8)
            np.testing.assert_allclose(advantages[here.valid[:, index], index], expected, rtol=1e-9)


def test_reset_restarts_everything():
    with make_environments("CartPole-v1", 2, seed=5) as environments:
        first = environments.reset().copy()
        for _ in range(60):
            environments.step(np.ones(2, np.int64))
        assert environments.episode_seeds[0] != episode_seed(5, 0, 0)
        assert (environments.reset() == first).all()
        assert environments.episode_seeds == [episode_seed(5, 0, 0), episode_seed(5, 1, 0)]
        while not environments.step(np.ones(2, np.int64)).terminated[0]:
            pass
        assert environments.episode_seeds[0] == episode_seed(5, 0, 1)


def test_a_call_out_of_order_is_an_error():
    environments = make_environments("CartPole-v1", 1, seed=0)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step"):
        environments.step(np.zeros(1, np.int64))
    environments.reset()
    environments.close()
    environments.close()
    with pytest.raises(RuntimeError, match="create the environments again"):
        environments.step(np.zeros(1, np.int64))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_an_episode_is_the_same_whatever_came_before(vectorization):
    def first_observations(rng):
        began = {}
        with make_environments(SeedEcho, 3, seed=11, vectorization=vectorization) as environments:
            episodes, observations = [0, 0, 0], environments.reset()
            for _ in range(40):
                for index in range(3):
                    began.setdefault((index, episodes[index]), float(observations[index, 0]))
                    seed = episode_seed(11, index, episodes[index])
                    assert environments.episode_seeds[index] == seed
                step = environments.step(rng.integers(0, 9, 3))
                episodes = [count + int(end) for count, end in zip(episodes, step.terminated, strict=True)]
                observations = step.observations
        return began

    one, other = first_observations(np.random.default_rng(0)), first_observations(np.random.default_rng(1))
    both = {key for key in one if key in other}
    assert len(both) > 12
    assert all(one[key] == other[key] for key in both if one[key] and other[key])
    for index, count in both:
        assert one[index, count] == np.random.default_rng(episode_seed(11, index, count)).random()


def test_seeds_differ_and_fit_a_c_int():
    seeds = [episode_seed(run, i, k) for run in range(3) for i in range(8) for k in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_of_an_episode_the_vector_environment_began_itself_are_not_known():
    vector = SyncVectorEnv(makers(SCRIPTS), autoreset_mode=AutoresetMode.NEXT_STEP)
    environments = make_environments(vector, 4, seed=2)
    environments.reset()
    assert environments.episode_seeds == [episode_seed(2, i, 0) for i in range(4)]
    environments.step(np.zeros(4, np.int64))  # environments 0 and 3 end
    environments.step(np.zeros(4, np.int64))
    assert environments.episode_seeds == [None, episode_seed(2, 1, 0), episode_seed(2, 2, 0), None]
