from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_env import ScriptedEnv, Transition, played_by_hand, policy

from ppocore.envs import episode_seed, make_environments
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.errors import EnvironmentFault, UsageError

SCRIPTS = [
    [(1, "terminated"), (3, "truncated"), (2, "both"), (1, "truncated")],
    [(4, "truncated"), (1, "both"), (1, "both"), (5, "terminated")],
    [(2, "terminated")],
    [(1, "terminated"), (1, "truncated")],
]
MODES = list(AutoresetMode)


def makers(scripts):
    return [functools.partial(ScriptedEnv, number, script) for number, script in enumerate(scripts)]


def vectors():
    for mode in MODES:
        yield pytest.param(functools.partial(SyncVectorEnv, autoreset_mode=mode), id=f"sync-{mode.value}")
        yield pytest.param(functools.partial(AsyncVectorEnv, autoreset_mode=mode), id=f"async-{mode.value}")
    no_copy = functools.partial(SyncVectorEnv, copy=False, autoreset_mode=AutoresetMode.DISABLED)
    yield pytest.param(no_copy, id="sync-without-copies")
    yield pytest.param(WorkerVectorEnv, id="workers")


def collect(environments, rows):
    """The rows of a rollout, each field stacked to (T, N, ...), and the observations acted on."""
    observations, acted_on, steps = environments.reset(), [], []
    for _ in range(rows):
        acted_on.append(observations.copy())
        acting = environments.acting.copy()
        step = environments.step(policy(observations))
        assert (step.valid == acting).all()
        assert (step.observations is step.next_observations) or (step.terminated | step.truncated).any()
        steps.append([np.array(field) for field in step])
        observations = step.observations
    fields = [np.stack(field) for field in zip(*steps, strict=True)]
    return np.stack(acted_on), type(step)(*fields)


def transitions(acted_on, steps, index):
    rows = np.flatnonzero(steps.valid[:, index])
    return [
        Transition(
            tuple(acted_on[t, index]),
            tuple(steps.next_observations[t, index]),
            steps.rewards[t, index],
            steps.terminated[t, index],
            steps.truncated[t, index],
        )
        for t in rows
    ]


def workers():
    return [child for child in multiprocessing.active_children() if child.name.startswith("Worker<")]


# --- one contract --------------------------------------------------------------------------------------


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


def test_reset_begins_everything_anew():
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


def test_a_call_out_of_order_says_so():
    environments = make_environments("CartPole-v1", 1, seed=0)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step"):
        environments.step(np.zeros(1, np.int64))
    environments.reset()
    environments.close()
    environments.close()
    with pytest.raises(RuntimeError, match="make the environments anew"):
        environments.step(np.zeros(1, np.int64))


# --- seeds ---------------------------------------------------------------------------------------------


class SeedEcho(gym.Env):
    """Ends after a number of steps that the actions decide; the observation tells what seeded the episode."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Discrete(9)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = None
        return self.np_random.random(1), {}

    def step(self, action):
        self.left = (int(action) if self.left is None else self.left) - 1
        return np.zeros(1), 0.0, self.left < 0, False, {}


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


# --- vector environments -------------------------------------------------------------------------------


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


class HandedAside(VectorEnv):
    """Resets itself within the step, as simulators on an accelerator do: `final_obs` is one array."""

    num_envs = 2
    single_observation_space = gym.spaces.Box(-1e6, 1e6, (1,), np.float32)
    single_action_space = gym.spaces.Discrete(2)

    def __init__(self, info, **metadata):
        self.info = info
        self.metadata = metadata or {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        ended = np.array([False, True])
        return np.full((2, 1), 7, np.float32), np.ones(2, np.float32), ended, np.zeros(2, bool), self.info


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


# --- faults --------------------------------------------------------------------------------------------


class Faulty(gym.Env):
    """Environment of 5-step episodes that does `fault` in step `at` of the second episode (0: its reset)."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float32)
    action_space = gym.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, fault, at=3, closing=None):
        self.fault, self.at, self.closing, self.episode = fault, at, closing, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action):
        assert action.shape == (3,)
        self.t += 1
        observation = self._observation()
        now = (self.episode, self.t) == (1, self.at)
        return observation, float(self.fault) if now and self._is("reward") else 0.0, self.t == 5, False, {}

    def _is(self, what):
        return isinstance(self.fault, Reward) == (what == "reward") and isinstance(self.fault, float)

    def _observation(self):
        observation = np.full((2, 2), 1e30, np.float32)  # large, yet finite
        if (self.episode, self.t) == (1, self.at):
            if self._is("observation"):
                observation[1, 0] = self.fault
            elif not isinstance(self.fault, float):
                self.fault()
        return observation

    def close(self):
        if self.closing:
            self.closing()


class Reward(float):
    pass


def harmless():
    return None


def breaks():
    raise LookupError("no such joint")


def run(environments, steps):
    observations = environments.reset()
    for _ in range(steps):
        observations = environments.step(np.zeros((environments.num_envs, 3), np.float32)).observations
    return observations


def second_is(fault, **kwargs):
    return [functools.partial(Faulty, harmless), functools.partial(Faulty, fault, **kwargs)]


PLACE = rf"environment 1 .*step 3 of its episode 1 \(step 8 since the reset; episode seed {episode_seed(9, 1, 1)}\)"


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
        (cannot_be_pickled, "an exception that cannot be pickled"),
        (cannot_be_unpickled, "an exception that cannot be pickled"),
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


# --- wrong use -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment_id", "meant"),
    [
        ("CartPole-v7", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPol-v1", "CartPole-v1"),
        ("CARTPOL-v1", "CartPole-v1"),
        ("another-long-namespace/CartPole-v1", "CartPole-v1"),
        ("Classic/CartPole-v1", "CartPole-v1"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("phys2d/Cartpole-v1", "phys2d/CartPole-v1"),
        ("ALE/Pong-v5", "package:Name-v0"),
        ("not an id at all", "package:Name-v0"),
        ("", "package:Name-v0"),
    ],
)
def test_an_unknown_id_is_refused_with_what_may_be_meant(environment_id, meant):
    with pytest.raises(UsageError) as caught:
        make_environments(environment_id, 2, seed=0)
    message = str(caught.value)
    assert repr(environment_id) in message
    assert meant in message.replace(repr(environment_id), "")
    assert "\n" not in message


def test_a_module_in_front_of_an_id():
    with make_environments("gymnasium:CartPole-v1", 1, seed=0) as environments:
        assert environments.name == "gymnasium:CartPole-v1"
    with pytest.raises(UsageError, match=r"'no_such_module' .*cannot be imported"):
        make_environments("no_such_module:CartPole-v1", 1, seed=0)


def test_an_id_without_a_version_is_the_newest():
    with make_environments("CartPole", 1, seed=0) as environments:
        assert environments.name == "CartPole-v1"


def test_an_old_version_is_used_with_one_warning():
    with pytest.warns(UserWarning, match="CartPole-v0 is an old version.*CartPole-v1") as caught:
        environments = make_environments("CartPole-v0", 2, seed=0)
    assert environments.name == "CartPole-v0"
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_package_that_is_missing_is_named(monkeypatch):
    def needs_more():
        raise gym.error.DependencyNotInstalled('Box2D is missing, run `pip install "gymnasium[box2d]"`')

    monkeypatch.setitem(gym.registry, "Needs-v0", gym.envs.registration.EnvSpec("Needs-v0", needs_more))
    with pytest.raises(UsageError, match=r"Needs-v0 needs a package .*gymnasium\[box2d\]"):
        make_environments("Needs-v0", 1, seed=0)
    spec = gym.envs.registration.EnvSpec("Needs-v0", "no_such_module:Env")
    monkeypatch.setitem(gym.registry, "Needs-v0", spec)
    with pytest.raises(UsageError, match=r"Needs-v0 needs a package .*no_such_module"):
        make_environments("Needs-v0", 1, seed=0)


def test_an_id_registered_here_reaches_the_workers(monkeypatch):
    spec = gym.envs.registration.EnvSpec("Local-v0", SeedEcho, max_episode_steps=2)
    monkeypatch.setitem(gym.registry, "Local-v0", spec)
    with make_environments("Local-v0", 2, seed=0, vectorization="async") as environments:
        environments.reset()
        environments.step(np.full(2, 8))
        assert environments.step(np.full(2, 8)).truncated.all()


class Dictionary(SeedEcho):
    observation_space = gym.spaces.Dict({"a": gym.spaces.Discrete(2)})


class Several(SeedEcho):
    action_space = gym.spaces.MultiDiscrete([2, 3])


class WholeNumbers(SeedEcho):
    action_space = gym.spaces.Box(0, 9, (2,), np.int64)


def fails():
    raise ZeroDivisionError("nothing to see")


SHARED = SeedEcho()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": Dictionary}, r"observation space Dict\('a': Discrete\(2\)\) is not supported.*Box"),
        ({"env": Several}, r"action space MultiDiscrete\(\[2 3\]\) is not supported.*Discrete and Box"),
        ({"env": WholeNumbers}, r"action space Box\(.*int64\) is not supported.*floating-point"),
        ({"env": dict}, "dict returned {}, expected a new gymnasium.Env"),
        ({"env": lambda: SHARED}, "the same environment twice"),
        ({"env": lambda: HandedAside({})}, "pass the vector environment itself"),
        ({"env": SHARED}, "expected an environment id, a callable that makes an environment"),
        ({"env": None}, "env is None, expected an environment id"),
        ({"env": fails}, "fails could not be made: ZeroDivisionError: nothing to see"),
        ({"env_kwargs": {"no_such": 1}}, "CartPole-v1 could not be made: TypeError: .*no_such"),
        ({"num_envs": 0}, "num_envs is 0"),
        ({"seed": -1}, "the seed is -1"),
        ({"vectorization": "threads"}, "vectorization is 'threads', expected one of sync, async, vector"),
        ({"env": SeedEcho, "vectorization": "vector"}, "needs an environment id"),
        ({"env": "Pendulum-v1", "vectorization": "vector"}, "Pendulum-v1 has no vectorized implementation"),
        ({"env": HandedAside({}), "num_envs": 3}, "num_envs is 3, but the vector environment holds 2"),
        ({"env": HandedAside({}), "env_kwargs": {"a": 1}}, "env_kwargs cannot be passed"),
    ],
)
def test_wrong_use_is_refused_in_one_sentence(arguments, message):
    with pytest.raises(UsageError, match=message) as caught:
        make_environments(**{"env": "CartPole-v1", "num_envs": 2, "seed": 0, **arguments})
    assert "\n" not in str(caught.value)


def test_nothing_is_left_when_a_worker_cannot_make_its_environment():
    parent = os.getpid()

    def make():
        if os.getpid() != parent:
            os._exit(7)
        return SeedEcho()

    with pytest.raises(UsageError, match="make could not be made: a worker process ended") as caught:
        make_environments(make, 2, seed=0, vectorization="async")
    assert not workers(), caught  # which keeps what was made alive: nothing is left to the garbage collector


def test_nothing_is_left_when_a_space_is_refused():
    with pytest.raises(UsageError, match="MultiDiscrete") as caught:
        make_environments(Several, 2, seed=0, vectorization="async")
    assert not workers(), caught


@pytest.mark.parametrize(
    ("env", "name"),
    [
        (SeedEcho, "SeedEcho"),
        (lambda: gym.make("CartPole-v1"), "CartPole-v1"),
        (lambda: SeedEcho(), "SeedEcho"),
        (functools.partial(Faulty, harmless), "Faulty"),
    ],
)
def test_names(env, name):
    with make_environments(env, 2, seed=0) as environments:
        assert environments.name == name
        assert environments.num_envs == 2
