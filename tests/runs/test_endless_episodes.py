"""Episodes that never end: what is kept of them, and what is said of those that are too long to be resumed."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from support.interrupting import SMALL, StopAfter, contents, whole

from ppocore import resume, train
from ppocore.envs.replay import Joined, action_log
from ppocore.errors import RunWarning, UsageError
from ppocore.files import run_files
from ppocore.runs import read_checkpoint


class Endless(gym.Env):
    """Every other environment that is made has episodes of 20 steps, the others never end."""

    observation_space, action_space = gym.spaces.Box(-9, 9, (2,), np.float64), gym.spaces.Discrete(3, start=-1)
    made = 0

    def __init__(self):
        self.ends, Endless.made = Endless.made % 2 == 1, Endless.made + 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.normal(size=2)
        return self.place.copy(), {}

    def step(self, action):
        assert type(action) is np.int64  # as the space says, and not as it is stored
        self.t += 1
        self.place = np.sin(self.place + 100 * action + self.t)
        return self.place.copy(), float(action), self.ends and self.t == 20, False, {}


@pytest.fixture(autouse=True)
def first():
    Endless.made = 0


def test_a_snapshot_only_refers_to_the_actions():
    snapshots = []
    train(Endless, SMALL, seed=5, callbacks=[lambda run: snapshots.append(run.snapshot)])
    kept = [snapshot.environments["actions"] for snapshot in snapshots]
    assert all(isinstance(actions, Joined) for actions in kept)
    assert [len(actions.parts[0]) for actions in kept] == list(range(16, 13 * 16, 16))
    first, last = (np.asarray(actions.parts[0]) for actions in (kept[0], kept[-1]))
    assert np.shares_memory(kept[-1].parts[0], kept[-2].parts[0])
    assert (first == last[:16]).all()
    assert last.dtype == np.int16
    assert set(last.tolist()) == {-1, 0, 1}


def test_an_endless_episode_is_resumed_exactly_while_it_is_kept(tmp_path):
    expected = whole(tmp_path, Endless, SMALL)
    Endless.made = 0
    train(Endless, SMALL, seed=5, run_dir=tmp_path / "run", reporters=[StopAfter(7)])
    Endless.made = 0
    resume(tmp_path / "run", env=Endless)
    assert contents(tmp_path / "run") == expected


def test_one_that_is_too_long_is_named_once_and_its_environment_is_restarted(tmp_path, monkeypatch):
    monkeypatch.setattr(action_log, "LIMIT_BYTES", 4 * 2 * 60)  # 60 steps of four environments, two bytes each
    run = tmp_path / "run"
    with pytest.warns(RunWarning) as caught:
        train(Endless, SMALL, seed=5, run_dir=run, reporters=[StopAfter(7)])
    (warning,) = caught
    assert "the episode of environment 0 is 64 steps long and its actions are not kept any more" in str(warning.message)
    assert "restart_episodes=True" in str(warning.message)
    saved = read_checkpoint(run_files(run)[-1])
    assert saved.not_replayable == [0, 2]
    assert saved.environments["lengths"].tolist() == [112, 12, 112, 12]
    assert len(saved.environments["actions"]) == 24
    Endless.made = 0
    with pytest.raises(UsageError, match=r"environments 0, 2 cannot be restored \(its episode is 112 steps long, too"):
        resume(run, env=Endless)
    Endless.made = 0
    with pytest.warns(RunWarning) as caught:
        result = resume(run, env=Endless, restart_episodes=True)
    assert "new episodes start instead" in str(caught[0].message)
    assert result.iterations == 12


def test_a_run_whose_episodes_end_is_never_warned_of(monkeypatch, tmp_path):
    monkeypatch.setattr(action_log, "LIMIT_BYTES", 4 * 1 * 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run")
