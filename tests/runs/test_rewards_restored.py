"""A run whose environments give other rewards after their replay is not resumed without a word."""

import functools

import gymnasium as gym
import pytest
from support.interrupting import SMALL, StopAfter, contents, whole

from ppocore import resume, train
from ppocore.errors import UsageError

ROLLOUT = SMALL.num_steps


def scaled(length):
    """Make an environment whose rewards are divided by a deviation that is taken over all its episodes."""
    return gym.wrappers.NormalizeReward(gym.make("Pendulum-v1", max_episode_steps=length))


def interrupted(directory, env, **settings):
    assert train(env, SMALL, seed=5, run_dir=directory, reporters=[StopAfter(2)], **settings).interrupted


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_rewards_that_depend_on_earlier_episodes_are_noticed(tmp_path, vectorization):
    env = functools.partial(scaled, ROLLOUT // 2 + 1)
    runtime = {"vectorization": vectorization}
    interrupted(tmp_path / "run", env, runtime=runtime)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(UsageError, match=r"leads to other rewards.*cannot be resumed exactly"):
        resume(tmp_path / "run", env=env)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_rewards_that_do_not_are_summed_alike(tmp_path):
    env = functools.partial(gym.make, "Pendulum-v1", max_episode_steps=ROLLOUT // 2 + 1)
    interrupted(tmp_path / "run", env)
    resume(tmp_path / "run", env=env)
    assert contents(tmp_path / "run") == whole(tmp_path, env, SMALL)
