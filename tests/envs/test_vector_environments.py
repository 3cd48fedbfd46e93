"""Vector environments of other packages: entry points, and modes that reset by themselves."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from support.environments import HandedAside

from ppocore.envs import make_environments
from ppocore.errors import EnvironmentFault, UsageError


def test_vector_entry_point_gives_transitions_of_the_same_dynamics():
    single = gym.make("CartPole-v1").unwrapped
    single.reset()
    with make_environments("CartPole-v1", 4, seed=1, vectorization="vector") as environments:
        assert (environments.name, environments.episode_seeds) == ("CartPole-v1", [None] * 4)
        observations, invalid = environments.reset().copy(), 0
        for _ in range(150):
            step = environments.step(np.ones(4, np.int64))
            assert step.rewards.dtype == np.float64
            for index in np.flatnonzero(step.valid):
                single.state, single.steps_beyond_terminated = observations[index].astype(np.float64), None
                successor, _, terminated, _, _ = single.step(1)
                np.testing.assert_allclose(step.next_observations[index], successor, atol=1e-5)
                assert terminated == step.terminated[index]
            invalid += np.count_nonzero(~step.valid)
            observations = step.observations.copy()
    assert invalid > 20


def test_vector_entry_point_is_seeded():
    def begin(seed):
        return make_environments("CartPole-v1", 2, seed=seed, vectorization="vector").reset()

    assert (begin(4) == begin(4)).all()
    assert (begin(4) != begin(5)).all()


@pytest.mark.parametrize("info", [{}, {"_final_obs": np.array([False, True])}])
def test_same_step_takes_the_final_observations_as_one_array(info):
    info = {"final_obs": np.array([[1.0], [2.0]], np.float32), **info}
    environments = make_environments(HandedAside(info), 2, seed=0)
    environments.reset()
    step = environments.step(np.zeros(2, np.int64))
    assert step.next_observations.ravel().tolist() == [7, 2]
    assert step.observations.ravel().tolist() == [7, 7]


def test_the_row_of_a_reset_holds_nothing_whatever_the_environment_says():
    vector = HandedAside({}, autoreset_mode="NextStep")
    environments = make_environments(vector, 2, seed=0)
    environments.reset()
    environments.step(np.zeros(2, np.int64))  # environment 1 ends, here and in every step after
    step = environments.step(np.zeros(2, np.int64))
    assert step.valid.tolist() == [True, False]
    assert step.rewards.tolist() == [1, 0]
    assert step.terminated.tolist() == step.truncated.tolist() == [False, False]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"final_obs": np.array([None, None])},
        {"final_obs": np.zeros((2, 1)), "_final_obs": np.array([True, False])},
    ],
)
def test_same_step_without_the_final_observation_is_a_fault(info):
    environments = make_environments(HandedAside(info), 2, seed=0)
    environments.reset()
    with pytest.raises(EnvironmentFault, match=r'HandedAside.*environment 1 .*info\["final_obs"\].*SAME_STEP'):
        environments.step(np.zeros(2, np.int64))


@pytest.mark.parametrize("metadata", [{"render_fps": 9}, {"autoreset_mode": "sometimes"}, {"autoreset_mode": None}])
def test_an_unknown_autoreset_mode_is_asked_for_by_name(metadata):
    vector = HandedAside({}, **metadata)
    with pytest.raises(UsageError, match=r'HandedAside.*metadata\["autoreset_mode"\].*NEXT_STEP, SAME_STEP'):
        make_environments(vector, 2, seed=0)
