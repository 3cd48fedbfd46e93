"""A collector can replace environments; an incomplete one is refused before the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.interrupting import SMALL, StopAfter, contents

from ppocore import resume, train
from ppocore.envs import make_environments
from ppocore.errors import EnvironmentFault, RunError, UsageError
from ppocore.training import EpisodeStatistics, LocalCollector, Rollout

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("start", "collect", "state", "load_state", "close")
ATTRIBUTES = (
    "name",
    "num_envs",
    "observation_mapping",
    "action_space",
    "statistics",
    "keep_final_infos",
    "final_infos",
)


def local(env="CartPole-v1", num_envs=4, seed=5):
    return LocalCollector(make_environments(env, num_envs, seed=seed))


def copy_of(rollout):
    return Rollout(*(None if array is None else array.copy() for array in rollout))


class Recording:
    """Wraps a collector, and records its calls and rollouts."""

    def __init__(self, collector):
        self.inner, self.calls, self.rollouts, self.episodes = collector, [], [], []
        for name in ATTRIBUTES:
            setattr(self, name, getattr(collector, name))

    def start(self, setup):
        self.calls.append("start")
        self.inner.start(setup)

    def collect(self, actor):
        self.calls.append("collect")
        rollout = self.inner.collect(actor)
        self.rollouts.append(copy_of(rollout))
        self.episodes.append(self.statistics.episodes)
        return rollout

    def state(self):
        self.calls.append("state")
        return self.inner.state()

    def load_state(self, state):
        self.calls.append("load_state")
        return self.inner.load_state(state)

    def close(self):
        self.calls.append("close")
        self.inner.close()


class Replaying:
    """Replays recorded rollouts without environments."""

    keep_final_infos = False

    def __init__(self, recorded):
        self.name, self.num_envs = recorded.name, recorded.num_envs
        self.observation_mapping, self.action_space = recorded.observation_mapping, recorded.action_space
        self.statistics, self.final_infos = EpisodeStatistics(recorded.num_envs), []
        self._rollouts = iter(recorded.rollouts)

    def start(self, setup): ...
    def close(self): ...

    def collect(self, actor):
        return next(self._rollouts)

    def state(self):
        return {"observations": np.zeros((self.num_envs, 4), np.float32)}

    def load_state(self, state):
        return dict.fromkeys(range(self.num_envs), "a recording does not go on")


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_run_with_a_collector_is_that_of_its_environments(env):
    config = SMALL.replace(normalize_observations=True, normalize_rewards=True)
    expected = train(env, config, seed=5)
    result = train(config=config, seed=5, collector=local(env))
    assert result.fingerprint == expected.fingerprint
    assert result.env == env
    assert [row["explained_variance"] for row in result.history] == [
        row["explained_variance"] for row in expected.history
    ]


def test_a_collector_is_started_once_called_for_each_rollout_and_closed():
    collector = Recording(local())
    result = train(None, SMALL, collector=collector, seed=5)
    assert result.iterations == 12
    assert collector.calls == ["start", "state", *["collect", "state"] * 12, "close"]
    assert result.fingerprint == train("CartPole-v1", SMALL, seed=5).fingerprint
    assert result.steps == sum(rollout.num_valid for rollout in collector.rollouts)
    assert [row["episodes"] for row in result.history] == collector.episodes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recompute_advantages": True, "advantage_estimator": "vtrace"},
        {"objective": "kl", "kl_penalty_target": 1e-3},
    ],
    ids=["clip", "re-estimated", "divergence"],
)
def test_recorded_rollouts_need_no_environment(changes):
    config = SMALL.replace(**changes)
    recording = Recording(local())
    expected = train(config=config, collector=recording, seed=5)
    result = train(config=config, collector=Replaying(recording), seed=5)
    assert result.fingerprint == expected.fingerprint
    names = ("loss", "kl_of_iteration", "explained_variance")
    assert [[row[name] for name in names] for row in result.history] == [
        [row[name] for name in names] for row in expected.history
    ]


def test_the_preset_is_that_of_the_environments_name():
    collector = Recording(local(num_envs=8))
    with pytest.raises(UsageError, match="num_envs"):
        train(collector=local(num_envs=3))
    result = train(collector=collector, config=None, reporters=[StopAfter(1)])
    from ppocore.presets import preset

    assert result.iterations == 1
    assert collector.rollouts[0].rewards.shape == (preset("CartPole-v1").num_steps, 8)


@pytest.mark.parametrize("name", [*METHODS, *ATTRIBUTES])
def test_a_collector_that_lacks_something_is_refused_before_anything_begins(name, tmp_path):
    inner = local()
    collector = Recording(inner)
    kind = "attribute"
    if name in METHODS:
        kind, collector.__class__ = "method", type("Partial", (Recording,), {name: None})
    else:
        delattr(collector, name)
    given = type(collector).__name__
    with pytest.raises(UsageError) as error:
        train(config=SMALL, collector=collector, run_dir=tmp_path / "run")
    assert str(error.value) == f"collector={given} has no {kind} {name!r}: see ppocore.training.Collector"
    assert collector.calls == []
    assert not (tmp_path / "run").exists()
    inner.close()


def test_arguments_that_contradict_a_collector_are_refused(tmp_path):
    collector = Recording(local())
    for arguments, message in [
        ({"env": "CartPole-v1"}, "^env cannot be given together with a collector"),
        ({"env_kwargs": {}}, "^env_kwargs cannot be given together with a collector"),
        ({"evaluate_episodes": 3}, "evaluate_episodes=3 needs .*, not a collector"),
        ({"collector": LocalCollector}, "^collector=LocalCollector is a class: pass an instance of it$"),
        ({"collector": None}, "^env is missing"),
    ]:
        with pytest.raises(UsageError, match=message):
            train(**{"config": SMALL, "collector": collector, "run_dir": tmp_path / "run", **arguments})
    assert collector.calls == []
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=r"^num_envs=2 differs from the collector's 4 environments: make them equal$"):
        train(config=SMALL.replace(num_envs=2), collector=collector)
    assert collector.calls == ["close"]


def test_a_collector_is_closed_whatever_ends_the_run(tmp_path):
    class Failing(Recording):
        def collect(self, actor):
            if len(self.rollouts) == 3:
                raise EnvironmentFault("the cluster is gone")
            return super().collect(actor)

    collector = Failing(local())
    with pytest.raises(EnvironmentFault, match="the cluster is gone; the run after 192 steps is saved"):
        train(config=SMALL, collector=collector, run_dir=tmp_path / "run", seed=5)
    assert collector.calls[-1] == "close"
    result = resume(tmp_path / "run", collector=local())
    assert result.fingerprint == train("CartPole-v1", SMALL, seed=5).fingerprint


def test_a_rollout_of_the_wrong_shape_ends_the_run_and_it_is_saved(tmp_path):
    class Short(Recording):
        def collect(self, actor):
            rollout = super().collect(actor)
            return rollout if len(self.rollouts) < 3 else rollout._replace(rewards=rollout.rewards[1:])

    with pytest.raises(
        RunError, match=r"returned rewards of shape \(15, 4\), expected \(16, 4\); .* after 128 steps is saved"
    ):
        train(config=SMALL, collector=Short(local()), run_dir=tmp_path / "run", seed=5)


def test_a_run_resumed_with_a_new_collector_has_the_same_bytes(tmp_path):
    train(config=SMALL, collector=local(), seed=5, run_dir=tmp_path / "whole")
    stopped = train(config=SMALL, collector=local(), seed=5, run_dir=tmp_path / "parts", reporters=[StopAfter(5)])
    assert stopped.interrupted
    with pytest.raises(UsageError, match=r"made by CartPole-v1.*ppocore\.resume\('.*parts', collector=\.\.\.\)"):
        resume(tmp_path / "parts")
    with pytest.raises(UsageError, match="the environments given are Acrobot-v1"):
        resume(tmp_path / "parts", collector=local("Acrobot-v1"))
    for arguments, message in [
        ({"env": "CartPole-v1"}, "^env cannot be given"),
        ({"collector": object()}, "^collector=object has no method 'start'"),
    ]:
        with pytest.raises(UsageError, match=message):
            resume(tmp_path / "parts", **{"collector": local(), **arguments})
    collector = Recording(local())
    resume(tmp_path / "parts", collector=collector)
    assert collector.calls[:4] == ["start", "state", "load_state", "state"]
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_an_abandoned_episode_is_dropped_by_the_statistics_and_the_scaler(tmp_path):
    """With a collector that cannot restore its environments."""
    config = SMALL.replace(normalize_rewards=True)
    train(config=config, collector=local(), seed=5, run_dir=tmp_path / "run", reporters=[StopAfter(5)])

    class Forgetful(Recording):
        def load_state(self, state):
            assert self.statistics.state()["lengths"].any()
            return {1: "it is gone"} if super().load_state(state) == {} else {}

        def collect(self, actor):
            if not self.rollouts:
                self.found = self.statistics.state(), self.setup.reward_scaler.state()
            return super().collect(actor)

        def start(self, setup):
            self.setup = setup
            super().start(setup)

    with pytest.raises(UsageError, match=r"environment 1 cannot be restored .*it is gone"):
        resume(tmp_path / "run", collector=Forgetful(local()))
    collector = Forgetful(local())
    with pytest.warns(RuntimeWarning, match="it is gone"):
        resume(tmp_path / "run", collector=collector, restart_episodes=True)
    statistics, scaler = collector.found
    assert (statistics["lengths"] == 0).tolist() == [False, True, False, False]
    assert (statistics["returns"] == 0).tolist() == [False, True, False, False]
    assert (scaler["discounted"] == 0).tolist() == [False, True, False, False]


def test_training_needs_no_gymnasium():
    code = (
        "import json, sys\n"
        "from ppocore.training import Collector, LocalCollector, Rollout, RolloutBuffer\n"
        "import ppocore.training.trainer\n"
        "heavy = 'gymnasium torch paddle ppocore.envs'.split()\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
