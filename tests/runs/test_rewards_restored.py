"""A run whose environments give other rewards after their replay is not resumed without a word."""

import functools
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from support.interrupting import SMALL, StopAfter, contents, whole

from ppocore import resume, train
from ppocore.envs import episode_seed, make_environments
from ppocore.errors import RunWarning, UsageError
from ppocore.files import run_files
from ppocore.runs import read_checkpoint
from ppocore.runs.checkpoint_file import encode_checkpoint

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


def at_a_start(directory, env, iteration, **settings):
    """Interrupt a run whose environments are all at the start of an episode."""
    assert train(env, SMALL, seed=5, run_dir=directory, reporters=[StopAfter(iteration)], **settings).interrupted
    saved = read_checkpoint(run_files(directory)[-1]).environments
    assert saved["lengths"].tolist() == [0] * SMALL.num_envs
    return saved


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_they_are_noticed_at_the_start_of_an_episode_too(tmp_path, vectorization):
    """Where there is no action to replay: by the episode before."""
    env, runtime = functools.partial(scaled, ROLLOUT // 2), {"vectorization": vectorization}
    at_a_start(tmp_path / "run", env, 2, runtime=runtime)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    reason = r"replaying its previous episode from its seed leads to other rewards.*cannot be resumed exactly"
    with pytest.raises(UsageError, match=reason):
        resume(tmp_path / "run", env=env)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    with pytest.warns(RunWarning, match="new episodes start instead"):
        resume(tmp_path / "run", env=env, restart_episodes=True)


def test_statistics_of_one_episode_are_restored_by_its_replay(tmp_path):
    """What the only earlier episode left in the environment is there again, so that the run is the same."""
    env = functools.partial(scaled, 2 * ROLLOUT)
    at_a_start(tmp_path / "run", env, 2)
    resume(tmp_path / "run", env=env)
    assert contents(tmp_path / "run") == whole(tmp_path, env, SMALL)


@pytest.mark.parametrize("length", [1, ROLLOUT // 2, ROLLOUT])
def test_an_environment_without_such_statistics_is_resumed_from_the_start_of_an_episode(tmp_path, length):
    env = functools.partial(gym.make, "Pendulum-v1", max_episode_steps=length)
    saved = at_a_start(tmp_path / "run", env, 3)
    assert saved["previous_lengths"].tolist() == [length] * SMALL.num_envs
    assert saved["previous_actions"].shape == (SMALL.num_envs * length, 1)
    resume(tmp_path / "run", env=env)
    assert contents(tmp_path / "run") == whole(tmp_path, env, SMALL)


def test_what_is_saved_at_once_after_it_was_restored_is_equal(tmp_path):
    env = functools.partial(gym.make, "Pendulum-v1", max_episode_steps=ROLLOUT // 2)
    config = {"num_envs": 2, "seed": 3}
    with make_environments(env, **config) as first, make_environments(env, **config) as second:
        first.reset()
        for _ in range(ROLLOUT):
            step = first.step(np.zeros((2, 1), np.float32))
        saved = {name: np.asarray(array) for name, array in first.state().items()}
        assert saved["previous_lengths"].tolist() == [ROLLOUT // 2] * 2
        second.reset()
        returns = {"previous_returns": np.full(2, np.inf)}
        with pytest.raises(ValueError, match="previous_returns has entries that are not finite"):
            second.restore(saved | returns, step.observations)
        returns["previous_returns"] = second_returns(env)
        assert second.restore(saved | returns, step.observations)[1] == {}
        again = {name: np.asarray(array) for name, array in second.state().items()}
        assert again.keys() == saved.keys()
        for name, array in saved.items():
            np.testing.assert_array_equal(again[name], array, err_msg=name, strict=True)


def second_returns(env):
    """Return the sum of the rewards of each environment's second episode, stepped by hand."""
    totals = []
    for index in range(2):
        with closing(env()) as environment:
            environment.reset(seed=episode_seed(3, index, 1))
            totals.append(sum(environment.step(np.zeros(1, np.float32))[1] for _ in range(ROLLOUT // 2)))
    return np.array(totals)


def test_a_file_without_previous_episodes_is_resumed_as_before(tmp_path):
    env = functools.partial(gym.make, "Pendulum-v1", max_episode_steps=ROLLOUT)
    at_a_start(tmp_path / "run", env, 3)
    path = run_files(tmp_path / "run")[-1]
    snapshot = read_checkpoint(path)
    for name in ("previous_lengths", "previous_actions", "previous_returns"):
        del snapshot.environments[name]
    path.write_bytes(encode_checkpoint(snapshot))
    resume(tmp_path / "run", env=env)
    assert contents(tmp_path / "run") == whole(tmp_path, env, SMALL)
