"""Collecting one rollout: act, step, remember; then judge the whole of it at once, and again if asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ppocore.distributions import Distribution
from ppocore.envs import Episodes, VectorEnvironments
from ppocore.errors import NonFiniteError
from ppocore.normalize import ObservationNormalizer, RewardScaler
from ppocore.spaces.actions import ActionAdapter
from ppocore.training.rng import of_generator, set_generator
from ppocore.training.rollout import RolloutBuffer

Array = NDArray[Any]


class Actor(Protocol):
    """What collecting needs of a network."""

    def policy(self, observations: Array) -> Array:
        """Distribution parameters (B, P); may be overwritten by the next call."""

    def values(self, observations: Array) -> Array:
        """Values (B,)."""


class EpisodeStatistics:
    """Returns and lengths of the episodes that ended, the last 100 of them and those of one rollout."""

    def __init__(self, num_envs: int) -> None:
        self.episodes = 0
        self.last_returns: deque[float] = deque(maxlen=100)
        self.last_lengths: deque[int] = deque(maxlen=100)
        self.rollout_returns: list[float] = []
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)

    def begin_rollout(self) -> None:
        """Forget the previous rollout's own list."""
        self.rollout_returns = []

    def add(self, rewards: Array, valid: Array, ended: Array, any_ended: bool) -> None:
        """Count one step of all environments; rewards are the environment's own, 0 where not valid."""
        self._returns += rewards
        self._lengths += valid
        if any_ended:
            for i in np.flatnonzero(ended).tolist():
                self.episodes += 1
                self.rollout_returns.append(float(self._returns[i]))
                self.last_returns.append(float(self._returns[i]))
                self.last_lengths.append(int(self._lengths[i]))
            self._returns[ended] = 0.0
            self._lengths[ended] = 0

    def state(self) -> dict[str, Array]:
        """Copies of what the next rollout goes on with."""
        return {
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "last_returns": np.array(self.last_returns, np.float64),
            "last_lengths": np.array(self.last_lengths, np.int64),
        }

    def load_state(self, state: Mapping[str, Array], episodes: int) -> None:
        """Go on from what `state` gave, after ``episodes`` episodes.

        Raises:
            ValueError: it is of another number of environments.
        """
        if state["returns"].shape != self._returns.shape or state["lengths"].shape != self._lengths.shape:
            raise ValueError(f"statistics of {state['returns'].shape} environments, expected {self._returns.shape}")
        self._returns, self._lengths = state["returns"].astype(np.float64), state["lengths"].astype(np.int64)
        self.last_returns.extend(state["last_returns"].tolist())
        self.last_lengths.extend(state["last_lengths"].tolist())
        self.episodes = episodes

    def forget(self, index: int) -> None:
        """The episode of an environment did not go on."""
        self._returns[index], self._lengths[index] = 0.0, 0

    @property
    def mean_return(self) -> float | None:
        """Mean return of the last 100 episodes; None before the first has ended."""
        return float(np.mean(self.last_returns)) if self.last_returns else None

    @property
    def mean_length(self) -> float | None:
        """Mean length of the last 100 episodes; None before the first has ended."""
        return float(np.mean(self.last_lengths)) if self.last_lengths else None


class RolloutCollector:
    """Fills a `RolloutBuffer` with the policy's own experience, carrying on where the last one ended.

    The policy runs at every step on N observations; values are not needed until the end, so one pass over the
    whole rollout gives them all.  The random numbers of a rollout are drawn at once.
    """

    def __init__(
        self,
        environments: VectorEnvironments,
        distribution: Distribution,
        buffer: RolloutBuffer,
        rng: np.random.Generator,
        *,
        adapter: ActionAdapter | None = None,
        observation_normalizer: ObservationNormalizer | None = None,
        reward_scaler: RewardScaler | None = None,
    ) -> None:
        self.environments = environments
        self.buffer = buffer
        self.statistics = EpisodeStatistics(environments.num_envs)
        self._distribution = distribution
        self._rng = rng
        self._normalizer = observation_normalizer
        self._scaler = reward_scaler
        self._adapt = ActionAdapter(environments.action_space) if adapter is None else adapter
        self._continuous = distribution.action_dtype.kind == "f"
        self._observations = environments.reset()
        size = distribution.parameter_size
        self._parameters = np.zeros((buffer.num_steps, buffer.num_envs, size))
        self._judged = np.zeros((0, 0), np.float32)  # the observations that `values` needs, in one array
        self._finals: list[tuple[int, Array, Array]] = []  # (row, environments, their final observations)

    def collect(self, actor: Actor) -> int:
        """Fill the buffer but for advantages and returns; the number of valid steps.

        Raises:
            EnvironmentFault: the environment failed or gave something that is not finite.
            NonFiniteError: the policy has diverged.
        """
        buffer, environments, distribution = self.buffer, self.environments, self._distribution
        noise = distribution.noise(self._rng, buffer.rewards.shape)
        self._finals = []
        buffer.masks = None
        self.statistics.begin_rollout()
        for t in range(buffer.num_steps):
            inputs = buffer.observations[t]
            self._observe(self._observations, inputs)
            parameters = actor.policy(inputs)
            self._parameters[t] = parameters
            masks = environments.action_masks
            if masks is not None:
                parameters = distribution.apply_masks(parameters, self._keep_masks(t, masks))
            actions = distribution.sample(parameters, noise[t], buffer.actions[t])
            if self._continuous and not np.isfinite(actions).all():
                raise NonFiniteError(
                    f"the policy's action {actions[~np.isfinite(actions)][0]} is not finite: the policy has "
                    "diverged; lower the learning rate"
                )
            step = environments.step(self._adapt(actions))
            buffer.terminated[t] = step.terminated
            buffer.truncated[t] = step.truncated
            buffer.valid[t] = step.valid
            ended = step.terminated | step.truncated
            any_ended = bool(ended.any())
            self.statistics.add(step.rewards, step.valid, ended, any_ended)
            if self._scaler is None:
                buffer.rewards[t] = step.rewards
            else:
                buffer.rewards[t] = self._scaler(step.rewards, step.terminated, step.truncated, step.valid)
            if any_ended and step.next_observations is not step.observations:
                which = np.flatnonzero(ended)
                self._finals.append((t, which, self._prepare(step.next_observations[which])))
            self._observations = step.observations
        self._judge(actor)
        return int(np.count_nonzero(buffer.valid))

    def state(self) -> dict[str, Array]:
        """By name, copies of what the next rollout goes on with: the observations, and what led to them."""
        return {"observations": np.array(self._observations), **self.environments.episodes().to_tensors()}

    def place(self) -> dict[str, Any]:
        """Of the stream that draws actions."""
        return of_generator(self._rng)

    def load_state(self, state: Mapping[str, Array], place: Mapping[str, Any]) -> dict[int, str]:
        """Go on from what `state` and `place` gave; by the index of an environment that could not be brought back, why.

        Raises:
            KeyError, ValueError: it is not of these environments.
        """
        set_generator(self._rng, place)
        observations = state["observations"]
        if observations.shape != np.shape(self._observations):
            expected = np.shape(self._observations)
            raise ValueError(f"it has observations of shape {observations.shape}, the environments {expected}")
        episodes = Episodes.from_tensors(state, self.environments.num_envs)
        self._observations, lost = self.environments.restore(episodes, observations)
        for index in lost:
            self.statistics.forget(index)
            if self._scaler is not None:
                self._scaler.forget(index)
        return lost

    def _observe(self, observations: Array, out: Array) -> None:
        """What the policy sees of ``observations``: normalised with statistics that now include them."""
        flat = observations.reshape(out.shape)
        if self._normalizer is None:
            np.copyto(out, flat, casting="unsafe")
        else:
            self._normalizer.update(flat, self.environments.acting)
            out[...] = self._normalizer.normalize(flat)

    def _prepare(self, observations: Array) -> Array:
        """The same for observations that are only valued: the statistics stay as they are."""
        flat = observations.reshape(len(observations), -1)
        if self._normalizer is not None:
            flat = self._normalizer.normalize(flat)
        return flat.astype(np.float32)

    def _keep_masks(self, t: int, masks: Array) -> Array:
        """The masks of row ``t``, kept; rows before the first that any environment gave allowed everything."""
        buffer = self.buffer
        if buffer.masks is None:
            buffer.masks = np.ones((buffer.num_steps, *masks.shape), np.bool_)
        buffer.masks[t] = masks
        row: Array = buffer.masks[t]
        return row

    def _judge(self, actor: Actor) -> None:
        """Log-probabilities, values, and the value of each step's true successor."""
        buffer = self.buffer
        buffer.parameters[...] = self._parameters
        buffer.log_probs[...] = self._log_probs(_rows(self._parameters))
        inputs = [_rows(buffer.observations), self._prepare(self._observations)]
        self._judged = np.concatenate(inputs + [final for _, _, final in self._finals])
        buffer.values[...], buffer.next_values[...] = self.values(actor)

    def _log_probs(self, parameters: Array) -> Array:
        """Of the rollout's actions under ``parameters`` (T * N, P), (T, N)."""
        buffer = self.buffer
        log_probs, _, _ = self._distribution.evaluate(self._masked(parameters), _rows(buffer.actions))
        shaped: Array = log_probs.reshape(buffer.rewards.shape)
        return shaped

    def _masked(self, parameters: Array) -> Array:
        masks = self.buffer.masks
        return parameters if masks is None else self._distribution.apply_masks(parameters, _rows(masks))

    def values(self, actor: Actor) -> tuple[Array, Array]:
        """Values of the rollout's observations and of each step's true successor, (T, N) each, by ``actor``."""
        steps, envs = self.buffer.rewards.shape
        found = actor.values(self._judged)
        # A step's successor is the next row's observation, except where a reset came between the two.
        next_values = found[envs : (steps + 1) * envs].reshape(steps, envs).copy()
        start = (steps + 1) * envs
        for t, which, _ in self._finals:
            next_values[t, which] = found[start : start + len(which)]
            start += len(which)
        return found[: steps * envs].reshape(steps, envs), next_values

    def log_ratios(self, actor: Actor) -> Array:
        """How the log-probabilities of the rollout's actions have changed since, (T, N), float32."""
        now = self._log_probs(self._parameters_now(actor))
        return now.astype(np.float32) - self.buffer.log_probs

    def divergence(self, actor: Actor) -> float:
        """Mean KL(policy that acted || ``actor``'s policy) over the rollout's valid steps, rounded to float32."""
        old, new = (self._masked(p) for p in (_rows(self.buffer.parameters), self._parameters_now(actor)))
        kl, _ = self._distribution.divergence(old.astype(new.dtype), new)
        return float(np.float32(kl[self.buffer.valid.ravel()].mean()))

    def _parameters_now(self, actor: Actor) -> Array:
        """What ``actor``'s policy makes of the rollout's observations, (T * N, P)."""
        rows = _rows(self.buffer.observations)
        chunks = range(0, len(rows), 4096)  # bounds the memory that a large rollout takes
        return np.concatenate([actor.policy(rows[start : start + 4096]).copy() for start in chunks])


def _rows(array: Array) -> Array:
    """``array`` (T, N, ...) as (T * N, ...)."""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
