"""Which actions each environment allows next, read from what the environments say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from ppocore.envs.errors import FailedEnvironment
from ppocore.envs.spaces import action_space
from ppocore.spaces import ActionAdapter, ActionSpace, every_choice, leaves_nothing, read_mask
from ppocore.typing import Array, Bools

KEY, METHOD = "action_mask", "action_masks"


class MaskInInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Puts what the environment's ``action_masks()`` gives into its information, where every mask is looked for."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment does."""
        observation, info = self.env.reset(**settings)
        return observation, {**info, KEY: self._mask()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment does."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, KEY: self._mask()}

    def _mask(self) -> Any:
        return self.env.get_wrapper_attr(METHOD)()


def with_mask_in_info(environment: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """The environment, wrapped if it has a method ``action_masks``."""
    if environment.has_wrapper_attr(METHOD) and callable(environment.get_wrapper_attr(METHOD)):
        return MaskInInfo(environment)
    return environment


if TYPE_CHECKING:
    _VectorEnv = VectorEnv[Any, Any, Any]
else:  # mixed into vector environments
    _VectorEnv = object


class ReadsMasks(_VectorEnv):
    """Mixed into a vector environment: each mask is read as it comes, before Gymnasium makes one array of them all.

    That array has the shape and the dtype of the first mask, which another would not fit or be cast to; here each is
    (mask_size,) bool, or refused by the name of its environment.
    """

    _mask_adapter: ActionAdapter | None = None
    _within_info = False  # whether the call comes from `_add_info` itself, with a dictionary that it found there

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        if self._within_info:
            return super()._add_info(vector_infos, env_info, env_num)
        if KEY in env_info:
            env_info = self._with_mask_read(env_info, env_num)
        self._within_info = True
        try:
            return super()._add_info(vector_infos, env_info, env_num)
        finally:
            self._within_info = False

    def _with_mask_read(self, info: dict[str, Any], index: int) -> dict[str, Any]:
        if self._mask_adapter is None:
            self._mask_adapter = ActionAdapter(action_space(self.single_action_space))
        others = {key: value for key, value in info.items() if key != KEY}
        if info[KEY] is None or not self._mask_adapter.mask_size:
            return others
        return {**others, KEY: _read(info[KEY], self._mask_adapter, index)}


def _read(mask: Any, adapter: ActionAdapter, index: int) -> Bools:
    try:
        return read_mask(mask, adapter)
    except (ValueError, TypeError) as error:
        raise FailedEnvironment(index, f"its action mask {error}") from error


class MaskReader:
    """Keeps the masks of N environments for their next actions.

    They are taken from ``info["action_mask"]``, else from a method ``action_masks`` of the vector environment, else
    from those of its environments.

    Attributes:
        current: (N, mask_size) bool, written anew by every step; None as long as no environment gave a mask.  An
            environment that gives none at a step allows everything.
        every_choice: what a mask is False for that leaves nothing, in words.
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
        """Take over the masks that a reset or a step gave, but of the environments in ``keep``.

        Raises:
            FailedEnvironment: a mask of another shape, or with something else than flags in it.
            ValueError: masks of another number of environments.
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
        wanted = self._all if keep is None else ~keep
        if isinstance(given, np.ndarray) and given.dtype == np.bool_ and given.shape == self.current.shape:
            np.copyto(self.current, given | ~present[:, None], where=wanted[:, None])
            return
        for i in np.flatnonzero(wanted).tolist():
            silent = not present[i] or given[i] is None
            self.current[i] = True if silent else _read(given[i], self._adapter, i)

    def without_choice(self, acting: Bools) -> int | None:
        """The first environment that is about to act and whose mask allows nothing; None if there is none.

        Those that are not about to act are given masks that allow everything.
        """
        if self.current is None:
            return None
        self.current[~acting] = True
        nothing = leaves_nothing(self.current, self._adapter)
        return int(nothing.argmax()) if nothing.any() else None


def _method(vector: VectorEnv[Any, Any, Any]) -> Callable[[], Any] | None:
    """What gives the masks of all environments, where there is such a method."""
    own = getattr(vector, METHOD, None)
    if callable(own):
        return own  # type: ignore[no-any-return]
    base = vector.unwrapped
    if isinstance(base, SyncVectorEnv | AsyncVectorEnv) and all(base.call("has_wrapper_attr", METHOD)):
        return lambda: base.call(METHOD)
    return None
