"""Define one contract for Gymnasium's three autoreset modes: a step returns its true successor in all of them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from ppocore.envs import batches
from ppocore.envs.action_masks import MaskReader
from ppocore.envs.errors import FailedEnvironment, describe, failing_environment, unresponsive_worker
from ppocore.envs.infos import own_info
from ppocore.envs.observations import storable_dtype
from ppocore.envs.replay import ActionLog
from ppocore.envs.spaces import action_space, observation_mapping
from ppocore.envs.timeout import Alarm, TimeLimitExceeded
from ppocore.envs.workers import dead_worker, end_workers
from ppocore.errors import EnvironmentFault
from ppocore.typing import Array, Bools, Floats


class Step(NamedTuple):
    """Hold the result of one step of N environments; the next call may overwrite every array.

    ===================== ============ ==================================================================
    field                 shape        meaning
    ===================== ============ ==================================================================
    ``observations``      ``(N, *O)``  what to act on next, after any reset; flattened to ``(N, size)``
                                       where the observation space is not a Box
    ``next_observations`` ``(N, *O)``  the true successor of the step; the same object as
                                       ``observations`` if nothing was reset
    ``rewards``           ``(N,)``     float64
    ``terminated``        ``(N,)``     bool; the episode reached a terminal state
    ``truncated``         ``(N,)``     bool; the episode was cut off; may be set together with
                                       ``terminated``
    ``valid``             ``(N,)``     bool, read only; False where the environment was only reset and
                                       ignored the action, so that the row is no transition
    ===================== ============ ==================================================================
    """

    observations: Array
    next_observations: Array
    rewards: Floats
    terminated: Bools
    truncated: Bools
    valid: Bools


def episode_seed(seed: int, index: int, episode: int) -> int:
    """Derive the seed of an episode of an environment, both counted from 0, from the seed of the run.

    It depends on nothing else. It is below 2**31, because simulators store seeds in a C int.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(index, episode))
    return int(sequence.generate_state(1)[0]) >> 1


class VectorEnvironments(ABC):
    """Step N environments together; `make_environments` makes an instance.

    Attributes:
        name: the environment id, or the name of the callable or class that made the environments.
        num_envs: N.
        action_space: the `ppocore.spaces.ActionSpace` of one environment.
        observation_mapping: flattens the observations of one environment.
        episode_seeds: the seed of each environment's current episode; None where the vector environment chose it.
        acting: ``(N,)`` bool, read only; False where the next step ignores its action and only resets the
            environment. It is the ``valid`` of that step.
    """

    acting: Bools

    def __init__(self, vector: VectorEnv[Any, Any, Any], *, name: str, seed: int, timeout: float | None = None) -> None:
        self.name = name
        self.num_envs = vector.num_envs
        self.action_space = action_space(vector.single_action_space)
        self.observation_mapping = observation_mapping(vector.single_observation_space)
        self.episode_seeds: list[int | None] = [None] * self.num_envs
        self._vector = vector
        # Those made here check what each environment returns, and give arrays; a wrapper around them may not.
        self._is_checked = getattr(type(vector), "returns_checked", False)
        self._seed = seed
        # Other vector environments take one seed for all their episodes.
        self._seeds_each = isinstance(vector.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        self._logging = False  # whether `_log` records the actions of every step
        self._log = ActionLog()
        self._last_actions: Array | None = None  # of the current step
        self._info: dict[str, Any] = {}  # of the last step
        self._timeout = timeout
        self._alarm = Alarm(timeout)
        self._closing_seconds: float | None = None  # for the workers to close; None for the default
        self._running = False
        self._steps = 0  # calls of `step` since `reset`
        self._starts = [0] * self.num_envs  # the value of `_steps` at the start of the current episode
        self._previous_starts = [0] * self.num_envs  # the same of the previous episode
        self._episodes = [0] * self.num_envs  # number of episodes before the current one
        self._ended = np.zeros(self.num_envs, np.bool_)
        self._all_valid = np.ones(self.num_envs, np.bool_)
        self._all_valid.flags.writeable = False
        self.acting = self._all_valid
        self._masks = MaskReader(vector, self.action_space)
        shape = self.observation_mapping.shape
        self._is_box = shape is not None  # whose observations are not flattened
        dtype = storable_dtype(np.dtype(vector.single_observation_space.dtype if self._is_box else np.float64))
        row = shape if shape is not None else (self.observation_mapping.size,)
        self._successors: Array = np.zeros((self.num_envs, *row), dtype)
        is_float32 = dtype.kind == "f" and dtype.itemsize <= 4
        self._zero_observations = np.zeros_like(self._successors) if is_float32 else None

    @property
    def action_masks(self) -> Bools | None:
        """Return the actions that each environment allows next, ``(N, mask_size)``; None before the first mask.

        The next call of `step` overwrites the array.
        """
        return self._masks.current

    def reset(self) -> Array:
        """Reset every environment to its first episode.

        Returns:
            The observations to act on, ``(N, *O)``; the next call of `step` may overwrite the array.

        Raises:
            EnvironmentFault: an environment raised, or an observation has a wrong shape or is not finite.
        """
        self._steps, self._last_actions = 0, None
        self._log.clear()
        self._starts, self._previous_starts = [0] * self.num_envs, [0] * self.num_envs
        self._episodes = [0] * self.num_envs
        self.acting = self._all_valid
        seeds = [episode_seed(self._seed, index, 0) for index in range(self.num_envs)]
        self.episode_seeds = [*seeds] if self._seeds_each else [None] * self.num_envs
        # Annotated as one seed for all, but Gymnasium's own vector environments take a list.
        observations = self._reset_vector(seeds if self._seeds_each else seeds[0])
        self._running = True
        return observations

    def _reset_vector(
        self, seed: Any, options: dict[str, Any] | None = None, keep: Array | None = None, limited: bool = True
    ) -> Array:
        """Reset the vector environment, but for those in ``keep``, and check what it returns."""
        settings = {} if options is None else {"options": options}
        try:
            with self._alarm if limited else nullcontext():
                structured, info = self._vector.reset(seed=seed, **settings)
            observations = self._array(structured)
            self._masks.read(batches.info(info), keep=keep)
        except BaseException as error:
            raise self._fault("reset", error) from error
        self._check_observations(observations)
        self._check_masks()
        return observations

    def _array(self, observations: Any) -> Array:
        """Convert the vector environment's observations to one array, ``(N, *O)`` or flattened.

        Raises:
            ValueError: another shape, or numbers that the space's dtype cannot hold.
        """
        if not self._is_box:
            return self.observation_mapping.flatten(observations)
        return batches.observations(observations, self._successors.dtype, self._successors.shape)

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return by name, as copies, what `restore` needs; an array may be one only when it is converted."""

    @abstractmethod
    def restore(
        self, state: Mapping[str, Array], observations: Array, returns: Array | None = None
    ) -> tuple[Array, dict[int, str]]:
        """Restore every environment by replaying its current episode from its seed.

        An environment whose replay does not reproduce its observation, or the sum of its rewards, starts its next
        episode instead. One at the start of an episode is compared by the rewards of its previous one.

        Args:
            state: the result of `state`, with the sums of the rewards of the previous episodes as
                ``previous_returns``, (N,), where it has ``previous_actions``.
            observations: the observations to act on at that time.
            returns: (N,), the sum of the rewards of each current episode; None if it is not known.

        Returns:
            The observations to act on, and by the index of each environment that could not be restored, why.

        Raises:
            EnvironmentFault: a reset failed.
            KeyError, ValueError: the state is not of these environments.
        """

    def final_infos(self, ended: Array) -> list[tuple[int, dict[str, Any]]]:
        """Return the info that came with the end of each episode which the last step ended, by environment.

        Only what an environment said itself is in its dict. Nothing is computed unless this is called.

        Args:
            ended: the environments whose episode the last step ended, in order.
        """
        return [(index, own_info(self._info, index)) for index in ended.tolist()]

    @abstractmethod
    def step(self, actions: Array) -> Step:
        """Step every environment and reset those whose episode ended.

        Args:
            actions: as `ppocore.spaces.ActionAdapter` returns them; passed to the environments unchanged.

        Raises:
            EnvironmentFault: an environment raised, its process ended, or a reward or an observation is not
                finite.
            RuntimeError: `reset` was not called, or `close` was.
        """

    def close(self) -> None:
        """Close the environments and end their processes; may be called in any state, and again."""
        self._running = False
        base = self._vector.unwrapped
        if getattr(base, "closed", False):
            return
        failures: list[str] = []
        try:
            if isinstance(base, AsyncVectorEnv):
                failures = end_workers(base, self._closing_seconds)
            self._vector.close()
        except FailedEnvironment as error:
            failures = [f"environment {error.index}: {describe(error)}"]
        except (Exception, SystemExit) as error:
            failures = [describe(error)]
        finally:
            with suppress(AttributeError):  # not every vector environment sets it, and a second close may fail
                base.closed = True
        if failures:
            # Nothing depends on the environments any more, and this must not hide an earlier error or a result, not
            # even where an environment has turned warnings into errors.
            with suppress(RuntimeWarning):
                warnings.warn(f"{self.name} failed while closing: {failures[0]}", RuntimeWarning, stacklevel=2)

    def __enter__(self) -> VectorEnvironments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _advance(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Step the vector environment, and set `_ended` where an episode ended."""
        if not self._running:
            raise RuntimeError(f"{self.name}: call reset() before step(); after close(), create the environments again")
        self._last_actions = actions
        if self._logging:
            self._log.append(actions)
        try:
            with self._alarm:
                observations, rewards, terminated, truncated, info = self._vector.step(actions)
            if not (self._is_checked and self._is_box):
                observations = self._array(observations)
            if not self._is_checked:
                shape, info = self._ended.shape, batches.info(info)
                rewards = batches.rewards(rewards, shape)
                terminated = batches.flags("terminated", terminated, shape)
                truncated = batches.flags("truncated", truncated, shape)
            self._masks.read(info)
            np.logical_or(terminated, truncated, out=self._ended)
        except BaseException as error:
            raise self._fault("step", error) from error
        self._steps += 1
        self._info = info
        return observations, rewards, terminated, truncated, info

    def _begin_episode(self, index: int, *, at: int, seed: int | None = None) -> None:
        self._previous_starts[index], self._starts[index] = self._starts[index], at
        self._episodes[index] += 1
        self.episode_seeds[index] = seed

    def _check_observations(self, observations: Array) -> None:
        if observations.dtype.kind == "f" and not batches.fits(observations, self._zero_observations):
            self._raise_if_misfit("observation", observations)

    def _check_rewards(self, rewards: Array) -> None:
        if not batches.fits(rewards):
            self._raise_if_misfit("reward", rewards)

    def _check_masks(self) -> None:
        index = self._masks.first_without_choice(self.acting)
        if index is not None:
            raise EnvironmentFault(
                f"{self.name}: environment {index} allows no action: its action mask is False for "
                f"{self._masks.every_choice}, {self._location(index, self._steps)}"
            )

    def _raise_if_misfit(self, what: str, values: Array) -> None:
        found = batches.first_misfit(values)
        if found is not None:
            index, how = found
            raise EnvironmentFault(
                f"{self.name}: environment {index} gave the {what} {how}, {self._location(index, self._steps)}"
            )

    def _fault(self, call: str, error: BaseException) -> EnvironmentFault:
        """Return the fault to raise in place of an exception of the vector environment."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        base = self._vector.unwrapped
        index, message = failing_environment(self._vector, error), describe(error)
        if isinstance(error, TimeLimitExceeded):
            self._closing_seconds = 1.0  # an unresponsive worker will hardly close
            message = f"it took longer than env_timeout={self._timeout:g} seconds"
            index = unresponsive_worker(base) if isinstance(base, AsyncVectorEnv) else index
        if index is None and isinstance(base, AsyncVectorEnv) and isinstance(error, EOFError | OSError):
            death = dead_worker(base)
            if death is not None:
                index, message = death[0], f"its worker process ended (exit code {death[1]})"
        # A step that raised is not in the count.
        steps = self._steps + (call == "step")
        if index is None:
            return EnvironmentFault(f"{self.name} failed in {call} (step {steps} since the reset): {message}")
        return EnvironmentFault(
            f"{self.name}: environment {index} failed in {call}, {self._location(index, steps)}: {message}"
        )

    def _location(self, index: int, steps: int) -> str:
        seed = self.episode_seeds[index]
        action = "" if self._last_actions is None else f"; last action {np.asarray(self._last_actions[index]).tolist()}"
        return (
            f"step {steps - self._starts[index]} of its episode {self._episodes[index]} "
            f"(step {steps} since the reset; episode seed {'unknown' if seed is None else seed}{action})"
        )
