"""Make the environments that need more than an id, for benchmarks/environments.py."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym

ENVS = 2
"""Environments of a vector environment, where its maker can choose."""


def attribute(name: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, path = name.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))


def wrapped(
    environment_id: str, kwargs: Mapping[str, Any], wrappers: Sequence[str | Mapping[str, Any]]
) -> gym.Env[Any, Any]:
    """Make an environment by its id and put wrappers around it, the first one innermost.

    Each is ``module:Class``, or a table with that as ``class`` and the wrapper's arguments.
    """
    environment = gym.make(environment_id, **kwargs)
    for wrapper in wrappers:
        settings = {"class": wrapper} if isinstance(wrapper, str) else dict(wrapper)
        environment = attribute(settings.pop("class"))(environment, **settings)
    return environment


def scalarized(environment_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment of MO-Gymnasium whose reward is the mean of its objectives."""
    import mo_gymnasium
    import numpy as np

    environment = mo_gymnasium.make(environment_id, **kwargs)
    objectives = environment.unwrapped.reward_space.shape[0]
    return mo_gymnasium.wrappers.LinearReward(environment, weight=np.full(objectives, 1.0 / objectives))


def envpool_vector(environment_id: str, **kwargs: Any) -> Any:
    """Make a vector environment of EnvPool."""
    import envpool

    return envpool.make(environment_id, env_type="gymnasium", num_envs=ENVS, **kwargs)


class OneOfEnvPool(gym.Env[Any, Any]):
    """Step one environment of EnvPool, in a pool that every seeded reset makes anew.

    EnvPool seeds a pool when it is made, and never again: an episode of a given seed is the first one of a pool.
    """

    def __init__(self, environment_id: str, **kwargs: Any) -> None:
        import envpool

        self._make = functools.partial(envpool.make, environment_id, env_type="gymnasium", num_envs=1, **kwargs)
        self._pool = self._make()
        self.observation_space, self.action_space = self._pool.observation_space, self._pool.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; with a seed, the one that depends on nothing else."""
        if seed is not None:
            self._pool.close()
            self._pool = self._make(seed=seed)
        observations, _ = self._pool.reset()
        return observations[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment."""
        import numpy as np

        observations, rewards, terminated, truncated, _ = self._pool.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


def supersuit_vector(environment_id: str, **kwargs: Any) -> Any:
    """Make a vector environment of the agents of a parallel environment of PettingZoo, ``module:attribute``."""
    import supersuit

    agents = attribute(environment_id + ":parallel_env")(**kwargs)
    agents = supersuit.pettingzoo_env_to_vec_env_v1(agents)
    vector = supersuit.concat_vec_envs_v1(agents, 1, num_cpus=0, base_class="gymnasium")
    vector.metadata = {**vector.metadata, "autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    return vector


def supersuit_wrapped(environment_id: str, wrappers: Sequence[Sequence[Any]], **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment and put wrappers of SuperSuit around it, each a name and its arguments."""
    import supersuit

    environment = gym.make(environment_id, **kwargs)
    for name, *arguments in wrappers:
        environment = getattr(supersuit, name)(environment, *arguments)
    return environment


class JointAgents(gym.Wrapper[Any, Any, Any, Any]):
    """Let one policy control all agents of a cooperative environment, and learn from the sum of their rewards."""

    def __init__(self, environment_id: str, **kwargs: Any) -> None:
        super().__init__(gym.make(environment_id, disable_env_checker=True, **kwargs))
        self.action_space = gym.spaces.MultiDiscrete([space.n for space in self.env.action_space])

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step all agents."""
        observation, rewards, terminated, truncated, info = self.env.step(tuple(action.tolist()))
        return observation, float(sum(rewards)), terminated, truncated, info


def is_vector(make: Callable[..., Any]) -> bool:
    """Tell whether a function here makes a vector environment."""
    return make in (envpool_vector, supersuit_vector)
