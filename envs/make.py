"""Make the environments of a run from an id, a callable or a vector environment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode, VectorEnv

from ppocore.envs.action_masks import MaskInInfo, with_mask_in_info
from ppocore.envs.autoreset import BY_MODE
from ppocore.envs.base import Step, VectorEnvironments, episode_seed
from ppocore.envs.errors import FailedEnvironment, describe
from ppocore.envs.infos import merge_whatever_is_said
from ppocore.envs.lookup import find_spec
from ppocore.envs.observations import WithStorableSpace, with_storable_space
from ppocore.envs.spaces import action_space, observation_mapping
from ppocore.envs.sync import LeanSyncVectorEnv
from ppocore.envs.workers import WorkerVectorEnv
from ppocore.envs.wrappers import Wrapped, read_wrappers
from ppocore.errors import UsageError

__all__ = ["Step", "VectorEnvironments", "episode_seed", "make_environments"]

Environment = gym.Env[Any, Any]
Vector = VectorEnv[Any, Any, Any]

LARGEST_OBSERVATION = 10**8
"""The most numbers that an observation may have."""
VECTORIZATIONS = ("sync", "async", "vector")


def make_environments(
    env: str | Callable[..., Environment] | Vector,
    num_envs: int,
    *,
    seed: int,
    vectorization: str = "sync",
    env_kwargs: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    wrappers: Iterable[Any] = (),
) -> VectorEnvironments:
    """Make N environments under one contract; close them, or use them as a context manager.

    Args:
        env: an environment id (``"CartPole-v1"``, ``"package:Name-v0"``), a callable that makes one environment (a
            class, a function), or a `gymnasium.vector.VectorEnv`, which is closed with the result.
        num_envs: N; that of the vector environment if one is given.
        seed: the run's seed, at least 0. Every episode's seed derives from it (`episode_seed`); a vector environment
            that resets itself is seeded once.
        vectorization: ``"sync"`` steps the environments in turn in this process; ``"async"`` gives each its own
            process; ``"vector"`` uses the vectorized implementation registered under the id. Ignored for a
            ``VectorEnv``.
        env_kwargs: arguments of the environment's constructor.
        timeout: seconds that a step or a reset of all environments may take; None for no limit.
        wrappers: wrappers of each environment, the innermost first, as `ppocore.envs.read_wrappers` takes them.

    Raises:
        UsageError: an argument that cannot be used, an unknown id, a package that is not installed, an environment
            whose constructor raises, an unsupported space, or a ``VectorEnv`` without an autoreset mode.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise UsageError(f"num_envs={num_envs!r} must be a positive integer")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed={seed!r} must be an integer that is not negative")
    if vectorization not in VECTORIZATIONS:
        raise UsageError(f"vectorization={vectorization!r} must be one of {', '.join(VECTORIZATIONS)}")
    kwargs, named = dict(env_kwargs or {}), read_wrappers(wrappers)
    if named and (isinstance(env, VectorEnv) or vectorization == "vector"):
        raise UsageError("wrappers cannot be put around a vector environment's parts: leave them out")
    if isinstance(env, VectorEnv):
        if kwargs:
            raise UsageError("env_kwargs cannot be passed to a vector environment that is already built")
        if env.num_envs != num_envs:
            raise UsageError(f"num_envs={num_envs}, but the vector environment holds {env.num_envs}")
        return _wrap(env, _name_of_vector(env), int(seed), timeout)

    name, vector = _build(env, int(num_envs), vectorization, kwargs, named)
    try:
        return _wrap(vector, name, int(seed), timeout)
    except BaseException:
        vector.close()
        raise


def _wrap(vector: Vector, name: str, seed: int, timeout: float | None) -> VectorEnvironments:
    for kind in ("observation", "action"):
        if getattr(vector, f"single_{kind}_space", None) is None:
            # SuperSuit's say the space of one environment by the name of that of all.
            space = getattr(vector, f"{kind}_space", None)
            if space is None:
                raise UsageError(f"the vector environment {name} has no single_{kind}_space: set it in its constructor")
            setattr(vector, f"single_{kind}_space", space)
    merge_whatever_is_said(getattr(vector, "unwrapped", vector))
    observation_mapping(vector.single_observation_space)  # these refuse what is not supported
    action_space(vector.single_action_space)
    return BY_MODE[_autoreset_mode(vector, name)](vector, name=name, seed=seed, timeout=timeout)


def _autoreset_mode(vector: Vector, name: str) -> AutoresetMode:
    mode = vector.metadata.get("autoreset_mode")
    if isinstance(mode, AutoresetMode):
        return mode
    for known in AutoresetMode:
        if mode in (known.value, known.name):
            return known
    raise UsageError(
        f'the vector environment {name} has the metadata["autoreset_mode"] {mode!r}; set it to '
        "gymnasium.vector.AutoresetMode.NEXT_STEP, SAME_STEP or DISABLED, whichever says how it resets"
    )


def _build(
    env: object, num_envs: int, vectorization: str, kwargs: dict[str, Any], wrappers: list[dict[str, Any]]
) -> tuple[str, Vector]:
    make: Callable[[], Environment]
    maker: _CheckedMaker | None = None
    if isinstance(env, str):
        name, spec = find_spec(env)
        if vectorization == "vector":
            return name, _call_maker(name, functools.partial(_vector_entry_point, name, spec, num_envs, kwargs))
        # The specification and not the id: a worker process may not have registered the id.
        make = functools.partial(gym.make, spec, disable_env_checker=True, **kwargs)
    else:
        if isinstance(env, gym.Env) or not callable(env):
            raise UsageError(
                f"env is {env!r}, expected an environment id, a callable that makes an environment (such as "
                "its class), or a gymnasium.vector.VectorEnv"
            )
        if vectorization == "vector":
            raise UsageError('vectorization="vector" needs an environment id; pass the gymnasium.vector.VectorEnv')
        maker = _CheckedMaker(env, kwargs)
        make = maker
        name = maker.name
    if wrappers:
        make = Wrapped(make, wrappers)
    vector = _call_maker(name, functools.partial(_make_vector, [make] * num_envs, vectorization))
    return (maker.name if maker is not None else name), vector


def _make_vector(makers: list[Callable[[], Environment]], vectorization: str) -> Vector:
    makers = [functools.partial(_make_one, make) for make in makers]
    if vectorization == "async":
        return WorkerVectorEnv(makers)
    vector = LeanSyncVectorEnv(makers)
    if len({id(_without_ours(environment)) for environment in vector.envs}) < len(makers):
        raise UsageError("env returned the same environment twice; it must make a new one at each call")
    return vector


def _make_one(make: Callable[[], Environment]) -> Environment:
    environment = with_mask_in_info(make())
    _check_spaces(environment)  # before processes are started for others of its kind
    return with_storable_space(environment)


def _check_spaces(environment: Environment) -> None:
    """Refuse spaces that are not supported, or not there."""
    for attribute in ("observation_space", "action_space"):
        if getattr(environment, attribute, None) is None:
            raise UsageError(f"the environment {environment} has no {attribute}: set it in its constructor")
    size = observation_mapping(environment.observation_space).size
    if size > LARGEST_OBSERVATION:
        raise UsageError(
            f"an observation in {environment.observation_space} is {size:,} numbers, one for each choice of a Discrete "
            "space, too many for a network: give it other observations, with a gymnasium.ObservationWrapper"
        )
    action_space(environment.action_space)


def _without_ours(environment: Environment) -> Environment:
    while isinstance(environment, MaskInInfo | WithStorableSpace):
        environment = environment.env
    return environment


def _call_maker(name: str, make: Callable[[], Vector]) -> Vector:
    try:
        return make()
    except UsageError:
        raise
    except (DependencyNotInstalled, ImportError) as error:
        raise UsageError(f"{name} needs a package that is not installed: {error}") from error
    except ChildProcessError as error:
        raise UsageError(f"{name} could not be made: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit, which must not end the program as if all were well
        index = f"environment {error.index}: " if isinstance(error, FailedEnvironment) else ""
        raise UsageError(f"{name} could not be made: {index}{describe(error)}") from error


def _vector_entry_point(name: str, spec: EnvSpec, num_envs: int, kwargs: dict[str, Any]) -> Vector:
    if spec.vector_entry_point is None:
        raise UsageError(f'{name} has no vectorized implementation; use vectorization="sync" or "async"')
    return gym.make_vec(spec, num_envs, vectorization_mode="vector_entry_point", **kwargs)


class _CheckedMaker:
    """Call the user's callable, and refuse a result that is not an environment."""

    def __init__(self, make: Callable[..., Any], kwargs: dict[str, Any]) -> None:
        self.name = _name_of_callable(make)
        self._make = make
        self._kwargs = kwargs

    def __call__(self) -> Environment:
        made = self._make(**self._kwargs)
        if isinstance(made, VectorEnv):
            raise UsageError(f"{self.name} returned a vector environment; pass the vector environment itself")
        if not isinstance(made, gym.Env):
            raise UsageError(f"{self.name} returned {made!r}, expected a new gymnasium.Env")
        if self.name == "<lambda>":
            self.name = made.spec.id if made.spec is not None else type(made.unwrapped).__name__
        return made


def _name_of_callable(make: Callable[..., Any]) -> str:
    while isinstance(make, functools.partial):
        make = make.func
    name: str = getattr(make, "__name__", type(make).__name__)
    return name


def _name_of_vector(vector: Vector) -> str:
    """Return the id of a vector environment, or else the name of its class; not every library's has them."""
    base = getattr(vector, "unwrapped", vector)
    name = getattr(getattr(vector, "spec", None), "id", None)
    return name if isinstance(name, str) else type(base).__name__
