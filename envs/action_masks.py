"""Read the masks of the actions that each environment allows next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from ppocore.envs.errors import FailedEnvironment
from ppocore.envs.results import read_info, reset_parts, step_parts
from ppocore.envs.spaces import action_space
from ppocore.spaces import ActionAdapter, ActionSpace, every_choice, leaves_nothing, read_mask
from ppocore.typing import Array, Bools

KEY, METHOD = "action_mask", "action_masks"


class MaskInInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Put the environment's ``action_masks()`` into the info dictionary, from which all masks are read."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and add the mask."""
        observation, info = reset_parts(self.env.reset(**settings))
        return observation, {**read_info(info), KEY: self._mask()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and add the mask."""
        observation, reward, terminated, truncated, info = step_parts(self.env.step(action))
        return observation, reward, terminated, truncated, {**read_info(info), KEY: self._mask()}

    def _mask(self) -> Any:
        return self.env.get_wrapper_attr(METHOD)()


def with_mask_in_info(environment: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Wrap the environment if it has a method ``action_masks``."""
    if environment.has_wrapper_attr(METHOD) and callable(environment.get_wrapper_attr(METHOD)):
        return MaskInInfo(environment)
    return environment


class InfoMask:
    """Read the mask in the info of one environment, before it is put together with those of others.

    Args:
        space: the environment's action space.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._adapter = ActionAdapter(action_space(space))

    def __call__(self, info: Mapping[str, Any], index: int) -> Bools | None:
        """Return the mask of environment ``index`` as (mask_size,) bool, or None.

        Raises:
            FailedEnvironment: a mask of another shape, or one that holds something other than flags.
        """
        mask = info.get(KEY)
        return None if mask is None or not self._adapter.mask_size else _read(mask, self._adapter, index)


def _read(mask: Any, adapter: ActionAdapter, index: int) -> Bools:
    try:
        return read_mask(mask, adapter)
    except (ValueError, TypeError) as error:
        raise FailedEnvironment(index, f"its action mask {error}") from error


class MaskReader:
    """Hold the masks of N environments for their next actions.

    Masks are read from ``info["action_mask"]``, else from a method ``action_masks`` of the vector environment, else
    from those of its environments.

    Attributes:
        current: (N, mask_size) bool, overwritten by every step; None until an environment gives a mask. An environment
            without a mask at a step allows everything.
        every_choice: describes the choices that a mask forbids if it allows no action.
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any], space: ActionSpace) -> None:
        self.current: Bools | None = None
        self._adapter = ActionAdapter(space)
        self.every_choice = every_choice(self._adapter)
        self._count = vector.num_envs
        self._all = np.ones(self._count, np.bool_)
        self._size = self._adapter.mask_size
        self._method = _method(vector) if self._size else None

    def read(self, info: Mapping[str, Any], keep: Array | None = None) -> None:
        """Read the masks of a reset or a step, except those of the environments in ``keep``.

        Raises:
            FailedEnvironment: a mask of another shape, or one that holds something other than flags.
            ValueError: masks for another number of environments.
        """
        if not self._size:
            return
        given, present = info.get(KEY), self._all
        if given is not None:
            present = np.asarray(info.get("_" + KEY, present), np.bool_)
        elif self._method is not None:
            given = self._method()
        if given is None:
            if self.current is None:
                return
            given = [None] * self._count
        if len(given) != self._count or present.shape != (self._count,):
            raise ValueError(f"there are {len(given)} action masks for {self._count} environments")
        if self.current is None:
            self.current = np.ones((self._count, self._size), np.bool_)
        updated = self._all if keep is None else ~keep
        if isinstance(given, np.ndarray) and given.dtype == np.bool_ and given.shape == self.current.shape:
            np.copyto(self.current, given | ~present[:, None], where=updated[:, None])
            return
        for i in np.flatnonzero(updated).tolist():
            is_absent = not present[i] or given[i] is None
            self.current[i] = True if is_absent else _read(given[i], self._adapter, i)

    def first_without_choice(self, acting: Bools) -> int | None:
        """Return the index of the first acting environment whose mask allows no action, or None.

        The masks of environments that do not act are set to allow everything.
        """
        if self.current is None:
            return None
        self.current[~acting] = True
        nothing = leaves_nothing(self.current, self._adapter)
        return int(nothing.argmax()) if nothing.any() else None


def _method(vector: VectorEnv[Any, Any, Any]) -> Callable[[], Any] | None:
    """Return the method that gives the masks of all environments, if there is one."""
    own = getattr(vector, METHOD, None)
    if callable(own):
        return own  # type: ignore[no-any-return]
    base = vector.unwrapped
    if isinstance(base, SyncVectorEnv | AsyncVectorEnv) and all(base.call("has_wrapper_attr", METHOD)):
        return lambda: base.call(METHOD)
    return None
