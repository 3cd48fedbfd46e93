"""Vector environments of other libraries, which lack this and that of Gymnasium's."""

from __future__ import annotations

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList

from ppocore import PPOConfig, train
from ppocore.envs import make_environments
from ppocore.errors import EnvironmentFault, UsageError

CONFIG = PPOConfig(total_steps=48, num_envs=2, num_steps=8, minibatch_size=8, update_epochs=1, hidden_sizes=(4,))


class Counting(VectorEnv):
    """Two environments whose episodes have 3 and 5 steps, and whose observation is the step."""

    num_envs = 2
    single_observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    single_action_space = gym.spaces.Discrete(2)
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        self.t = np.zeros(2, int)
        return self._observations(), {}

    def step(self, actions):
        self.t += 1
        ended = self.t == (3, 5)
        final = self._observations()
        self.t[ended] = 0
        return self._observations(), np.ones(2, np.float32), ended, np.zeros(2, bool), self._info(ended, final)

    def _observations(self):
        return self.t[:, None].astype(np.float32)

    def _info(self, ended, final):
        return {"final_obs": final, "steps": np.array([7, 8])}


class SpecWithoutId(Counting):
    """As EnvPool's: a ``spec`` of its own kind, and an info that is a dict of arrays, and of dicts of them."""

    @property
    def spec(self):
        return object()

    def _info(self, ended, final):
        return {**super()._info(ended, final), "players": {"env_id": np.arange(2, dtype=np.int32)}}


class OldSpaces(Counting):
    """As SuperSuit's: the spaces of one environment by the name of those of all, a list as info, flags as numbers."""

    observation_space, action_space = Counting.single_observation_space, Counting.single_action_space
    single_observation_space = single_action_space = None

    def step(self, actions):
        observations, rewards, terminated, truncated, info = super().step(actions)
        return observations, rewards, terminated.astype(np.uint8), truncated.astype(np.uint8), info

    def _info(self, ended, final):
        return [{"terminal_observation": final[i], "steps": 7 + i} if ended[i] else {} for i in range(2)]


def infos_and_finals(vector):
    seen = []
    result = train(vector, CONFIG, callbacks=[lambda run: seen.extend(run.infos)])
    return result, seen


@pytest.mark.parametrize("kind", [SpecWithoutId, OldSpaces])
def test_they_train_as_gymnasiums_do(kind):
    result, seen = infos_and_finals(kind())
    expected, as_expected = infos_and_finals(Counting())
    assert result.env == kind.__name__
    assert result.fingerprint == expected.fingerprint
    assert (result.episodes, len(seen)) == (8 + 4, 12)
    assert [(i, info["steps"]) for i, info in seen] == [(i, 7 + i) for i, _ in seen]
    assert [i for i, _ in seen] == [i for i, _ in as_expected]


def test_spaces_that_are_not_there_are_named():
    class Nothing(Counting):
        single_action_space = None

    with pytest.raises(UsageError, match="the vector environment Nothing has no single_action_space"):
        make_environments(Nothing(), 2, seed=0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_list_of_infos(mode):
    makers = [functools.partial(gym.make, "CartPole-v1", max_episode_steps=5)] * 2
    lists = DictInfoToList(SyncVectorEnv(makers, autoreset_mode=mode))
    assert train(lists, CONFIG).fingerprint == train(SyncVectorEnv(makers, autoreset_mode=mode), CONFIG).fingerprint


@pytest.mark.parametrize(
    ("at", "given", "message"),
    [
        (0, np.zeros((2, 2), np.float32), r"the array of all observations has shape \(2, 2\), expected \(2, 1\)"),
        (0, np.array([["a"], ["b"]]), "the array of all observations has dtype <U1, expected real numbers"),
        (0, np.array([[0.0], [np.nan]]), r"environment 1 gave the observation with nan at \[0\]"),
        (
            0,
            np.array([[0.0], [-1e39]]),
            r"environment 1 gave the observation with -1e\+39 at \[0\], which is too large",
        ),
        (1, np.zeros((2, 1)), r"the array of all rewards has shape \(2, 1\), expected \(2,\)"),
        (1, [1.0, None], "the array of all rewards holds an object of type NoneType"),
        (1, np.array([0.0, 1e39]), r"environment 1 gave the reward 1e\+39, which is too large for float32"),
        (2, np.array([0.0, 0.5]), r"the array of all terminated flags holds 0.5 at \[1\]"),
        (2, np.array(["", "x"]), "the array of all terminated flags has dtype <U1"),
        (3, np.zeros(3, bool), r"the array of all truncated flags has shape \(3,\), expected \(2,\)"),
        (3, None, "the array of all truncated flags is None"),
    ],
)
def test_what_is_no_result_of_a_step_is_refused(at, given, message):
    class Wrong(Counting):
        def step(self, actions):
            result = list(super().step(actions))
            result[at] = given
            return tuple(result)

    with make_environments(Wrong(), 2, seed=0) as environments:
        environments.reset()
        with pytest.raises(EnvironmentFault, match=message) as caught:
            environments.step(np.zeros(2, np.int64))
    assert "\n" not in str(caught.value)


def test_pixels_that_are_none_are_refused():
    class Fractions(Counting):
        single_observation_space = gym.spaces.Box(0, 255, (1,), np.uint8)

        def _observations(self):
            return self.t[:, None] * 0.5

    with make_environments(Fractions(), 2, seed=0) as environments:
        environments.reset()
        with pytest.raises(EnvironmentFault, match=r"holds 0.5 at \[0, 0\], which its space's dtype uint8 cannot hold"):
            environments.step(np.zeros(2, np.int64))
