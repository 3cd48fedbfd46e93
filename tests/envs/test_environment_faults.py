"""Faults of environments: each is named, and no process is left behind."""

from __future__ import annotations

import functools
import os
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from support.environments import MODES, Faulty, Reward, harmless, workers

from ppocore.envs import WorkerVectorEnv, episode_seed, make_environments
from ppocore.errors import EnvironmentFault


def breaks():
    raise LookupError("no such joint")


def run(environments, steps):
    observations = environments.reset()
    for _ in range(steps):
        observations = environments.step(np.zeros((environments.num_envs, 3), np.float32)).observations
    return observations


def second_is(fault, **kwargs):
    return [functools.partial(Faulty, harmless), functools.partial(Faulty, fault, **kwargs)]


SEED = episode_seed(9, 1, 1)
PLACE = rf"environment 1 .*step 3 of its episode 1 \(step 8 since the reset; episode seed {SEED}; last action .*\)"


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "what"), [(Reward, "reward -?(nan|inf)"), (float, r"observation .* at \[1, 0\]")])
def test_what_is_not_finite_is_refused(fault, kind, what):
    vector = SyncVectorEnv(second_is(kind(fault)), autoreset_mode=AutoresetMode.DISABLED)
    environments = make_environments(vector, 2, seed=9)
    with pytest.raises(EnvironmentFault, match=f"SyncVectorEnv: environment 1 gave the {what}.*step 3 of") as caught:
        run(environments, 8)
    assert str(episode_seed(9, 1, 1)) in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [0, 1, 5])
def test_what_is_not_finite_is_refused_at_the_edges_of_an_episode(mode, at):
    vector = SyncVectorEnv(second_is(np.nan, at=at), autoreset_mode=mode)
    environments = make_environments(vector, 2, seed=9)
    with pytest.raises(EnvironmentFault, match=rf"environment 1 gave the observation.*step {at} of its episode 1 "):
        run(environments, 11)


def test_large_finite_observations_pass():
    vector = SyncVectorEnv(second_is(harmless), autoreset_mode=AutoresetMode.DISABLED)
    assert run(make_environments(vector, 2, seed=9), 12).shape == (2, 2, 2)


def test_integer_observations_pass():
    class Pixels(Faulty):
        observation_space = gym.spaces.Box(0, 255, (3, 3, 2), np.uint8)

        def _observation(self):
            return np.full((3, 3, 2), 255, np.uint8)

    observations = run(make_environments(lambda: Pixels(harmless), 2, seed=0), 7)
    assert (observations.dtype, observations.shape) == (np.uint8, (2, 3, 3, 2))


@pytest.mark.parametrize(
    "vector", [functools.partial(SyncVectorEnv, autoreset_mode=AutoresetMode.DISABLED), WorkerVectorEnv]
)
def test_an_environment_that_raises_is_named(vector):
    with (
        make_environments(vector(second_is(breaks)), 2, seed=9) as environments,
        pytest.raises(EnvironmentFault, match=f"{PLACE}: LookupError: no such joint") as caught,
    ):
        run(environments, 8)
    assert caught.value.__cause__ is not None
    assert not workers()


def test_the_traceback_of_a_worker_is_in_the_chain():
    with (
        make_environments(WorkerVectorEnv(second_is(breaks)), 2, seed=9) as environments,
        pytest.raises(EnvironmentFault) as caught,
    ):
        run(environments, 8)
    assert "in breaks" in str(caught.value.__cause__.__cause__)


def test_a_reset_that_raises_is_named():
    vector = SyncVectorEnv(second_is(breaks, at=0), autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(EnvironmentFault, match=r"environment 1 failed in reset, step 0 of its episode 1 .*no such"):
        run(make_environments(vector, 2, seed=9), 8)


@pytest.mark.filterwarnings("ignore:.*(Worker-1|Raising the last exception)")
def test_plain_async_names_the_environment_too():
    vector = AsyncVectorEnv(second_is(breaks), autoreset_mode=AutoresetMode.DISABLED)
    with (
        pytest.warns(UserWarning, match="no such joint"),
        make_environments(vector, 2, seed=9) as environments,
        pytest.raises(EnvironmentFault, match=f"{PLACE}: LookupError"),
    ):
        run(environments, 8)
    assert not workers()


class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__("an exception made of two arguments and kept as one cannot be unpickled")


def cannot_be_unpickled():
    raise TwoArguments(1, 2)


def cannot_be_pickled():
    error = LookupError("no such joint")
    error.holds = lambda: None
    raise error


def dies():
    os._exit(41)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (dies, r"its worker process ended \(exit code 41\)"),
        (cannot_be_pickled, "LookupError: no such joint"),
        (cannot_be_unpickled, "TwoArguments: an exception made of two arguments"),
    ],
)
def test_a_worker_that_is_lost_is_named_and_nothing_is_left(fault, message):
    environments = make_environments(WorkerVectorEnv(second_is(fault)), 2, seed=9)
    assert len(workers()) == 2
    with environments, pytest.raises(EnvironmentFault, match=f"{PLACE}: {message}"):
        run(environments, 8)
    assert not workers()


def test_close_ends_a_plain_async_whose_worker_died():
    vector = AsyncVectorEnv(second_is(dies), autoreset_mode=AutoresetMode.DISABLED)
    environments = make_environments(vector, 2, seed=9)
    with pytest.raises(EnvironmentFault, match="exit code 41"):
        run(environments, 8)
    environments.close()
    assert not workers()


def test_workers_close_their_environments(tmp_path):
    def closing():
        (tmp_path / f"closed-{os.getpid()}").touch()

    environments = make_environments(
        Faulty, 2, seed=0, vectorization="async", env_kwargs={"fault": harmless, "closing": closing}
    )
    processes = workers()
    run(environments, 2)
    environments.close()
    assert not workers()
    assert {f"closed-{process.pid}" for process in processes} <= {path.name for path in tmp_path.iterdir()}


def test_a_worker_that_does_not_close_is_ended(monkeypatch):
    monkeypatch.setattr("ppocore.envs.workers.CLOSING_SECONDS", 0.3)
    hang = functools.partial(__import__("time").sleep, 60)
    vector = WorkerVectorEnv(second_is(harmless, closing=hang))
    environments = make_environments(vector, 2, seed=0)
    environments.reset()
    environments.close()
    assert not workers()


def test_an_environment_that_fails_while_closing_only_warns():
    vector = SyncVectorEnv(second_is(harmless, closing=breaks), autoreset_mode=AutoresetMode.DISABLED)
    environments = make_environments(vector, 2, seed=0)
    with pytest.warns(RuntimeWarning, match="failed while closing: LookupError: no such joint"):
        environments.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environments.close()
