"""Finding and creating environments, and refusing invalid ones."""

from __future__ import annotations

import functools
import os
import sys

import gymnasium as gym
import numpy as np
import pytest
from support.environments import Faulty, HandedAside, SeedEcho, harmless, workers

from ppocore.envs import make_environments
from ppocore.errors import UsageError


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
def test_an_unknown_id_is_refused_with_close_matches(environment_id, meant):
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


def test_an_id_without_a_version_is_the_newest_version():
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


class Words(SeedEcho):
    observation_space = gym.spaces.Dict(
        {"heard": gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Text(5)]), "seen": gym.spaces.Discrete(2)}
    )


class Numbered(SeedEcho):
    observation_space = gym.spaces.Dict({0: gym.spaces.Discrete(2)})


class Pair(SeedEcho):
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(3)])


class WholeNumbers(SeedEcho):
    action_space = gym.spaces.Box(0, 9, (2,), np.int64)


def fails():
    raise ZeroDivisionError("nothing to see")


SHARED = SeedEcho()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": Words}, r"observation space Text\(.*\) at \['heard'\]\[1\] is not supported.*Box.*Dict.*leave it out"),
        ({"env": Numbered}, r"observation space Dict\(0: Discrete\(2\)\) is not supported.*its keys strings"),
        ({"env": Pair}, r"action space Tuple\(.*\) is not supported.*Discrete, MultiDiscrete, MultiBinary and Box"),
        ({"env": WholeNumbers}, r"action space Box\(.*int64\) is not supported.*floating-point"),
        ({"env": dict}, "dict returned {}, expected a new gymnasium.Env"),
        ({"env": lambda: SHARED}, "the same environment twice"),
        ({"env": lambda: HandedAside({})}, "pass the vector environment itself"),
        ({"env": SHARED}, "expected an environment id, a callable that makes an environment"),
        ({"env": None}, "env is None, expected an environment id"),
        ({"env": fails}, "fails could not be made: ZeroDivisionError: nothing to see"),
        ({"env_kwargs": {"no_such": 1}}, "CartPole-v1 could not be made: TypeError: .*no_such"),
        ({"num_envs": 0}, "num_envs=0 must be a positive integer"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"vectorization": "threads"}, "vectorization='threads' must be one of sync, async, vector"),
        ({"env": SeedEcho, "vectorization": "vector"}, "needs an environment id"),
        ({"env": "Pendulum-v1", "vectorization": "vector"}, "Pendulum-v1 has no vectorized implementation"),
        ({"env": HandedAside({}), "num_envs": 3}, "num_envs=3, but the vector environment holds 2"),
        ({"env": HandedAside({}), "env_kwargs": {"a": 1}}, "env_kwargs cannot be passed"),
    ],
)
def test_wrong_usage_is_refused_in_one_sentence(arguments, message):
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
    with pytest.raises(UsageError, match="action space Tuple") as caught:
        make_environments(Pair, 2, seed=0, vectorization="async")
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


def test_a_module_in_the_current_directory_is_found(tmp_path, monkeypatch):
    """A console script does not look there."""
    text = "import gymnasium\nfrom gymnasium.envs.classic_control import CartPoleEnv\n"
    (tmp_path / "lying_here.py").write_text(text + "gymnasium.register('Here-v0', 'lying_here:CartPoleEnv')\n")
    (tmp_path / "quits_here.py").write_text("import sys\nsys.exit(0)\n")
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    monkeypatch.chdir(elsewhere)
    before = list(sys.path)
    with pytest.raises(
        UsageError, match=r"the module 'lying_here' of the environment .* cannot be imported: No module"
    ):
        make_environments("lying_here:Here-v0", 1, seed=0)
    assert sys.path == before
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"'quits_here' of the environment .* cannot be imported: SystemExit: 0"):
        make_environments("quits_here:Quits-v0", 1, seed=0)
    try:
        for vectorization in ("sync", "async"):
            with make_environments("lying_here:Here-v0", 2, seed=0, vectorization=vectorization) as environments:
                assert environments.reset().shape == (2, 4)
    finally:
        gym.registry.pop("Here-v0", None)
        sys.modules.pop("lying_here", None)


def test_what_a_constructor_raises_is_no_end_of_the_program():
    def quits():
        raise SystemExit(0)

    for vectorization in ("sync", "async"):
        with pytest.raises(UsageError, match="quits could not be made: SystemExit: 0"):
            make_environments(quits, 2, seed=0, vectorization=vectorization)


def test_a_space_of_too_many_choices_is_refused_before_memory_is_taken():
    class Many(SeedEcho):
        observation_space = gym.spaces.Discrete(2**40)

    with pytest.raises(UsageError, match=r"Discrete\(1099511627776\) is 1,099,511,627,776 numbers"):
        make_environments(Many, 2, seed=0)
