"""Collect rollouts in this process: act, step and store, then evaluate the entire rollout at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocore.errors import NonFiniteError
from ppocore.training.buffer import RolloutBuffer
from ppocore.training.collector import CollectorSetup
from ppocore.training.rollout import Actor, Rollout, evaluate, log_probs
from ppocore.training.statistics import EpisodeStatistics
from ppocore.typing import Array

if TYPE_CHECKING:  # environments need Gymnasium
    from ppocore.envs import VectorEnvironments


class LocalCollector:
    """Implement `ppocore.training.Collector` for environments in this process or its worker processes.

    The policy runs at every step on N observations. Values are not needed until the end, so they are computed in one
    pass over the rollout. The random numbers of a rollout are drawn at once.

    Args:
        environments: as returned by `ppocore.envs.make_environments`; closed with the collector.
    """

    _setup: CollectorSetup
    _buffer: RolloutBuffer
    _observations: Array
    _parameters: Array

    def __init__(self, environments: VectorEnvironments) -> None:
        self.environments = environments
        self.name, self.num_envs = environments.name, environments.num_envs
        self.observation_mapping = environments.observation_mapping
        self.action_space = environments.action_space
        self.statistics = EpisodeStatistics(environments.num_envs)
        self.keep_final_infos = False
        self.final_infos: list[tuple[int, dict[str, Any]]] = []

    def start(self, setup: CollectorSetup) -> None:
        """See `ppocore.training.Collector.start`."""
        distribution = setup.distribution
        self._setup = setup
        self._buffer = RolloutBuffer(
            setup.num_steps,
            self.num_envs,
            self.observation_mapping.size,
            distribution.action_shape,
            distribution.action_dtype,
            distribution.parameter_size,
        )
        # Unrounded, because log-probabilities are computed before the buffer rounds the parameters to float32.
        self._parameters = np.zeros((setup.num_steps, self.num_envs, distribution.parameter_size))
        self._observations = self.environments.reset()

    def collect(self, actor: Actor) -> Rollout:
        """See `ppocore.training.Collector.collect`.

        Raises:
            EnvironmentFault: an environment failed, or returned a value that is not finite.
            NonFiniteError: the policy has diverged.
        """
        buffer, environments, distribution = self._buffer, self.environments, self._setup.distribution
        adapter, scaler = self._setup.adapter, self._setup.reward_scaler
        continuous = distribution.action_dtype.kind == "f"
        noise = distribution.noise(self._setup.rng, buffer.rewards.shape)
        finals: list[tuple[int, Array, Array]] = []  # (row, environments, their final observations)
        buffer.masks = None
        self.statistics.begin_rollout()
        self.final_infos = []
        for t in range(buffer.num_steps):
            inputs = buffer.observations[t]
            self._observe(self._observations, inputs)
            parameters = actor.policy(inputs)
            self._parameters[t] = parameters
            masks = environments.action_masks
            if masks is not None:
                parameters = distribution.apply_masks(parameters, self._keep_masks(t, masks))
            actions = distribution.sample(parameters, noise[t], buffer.actions[t])
            if continuous and not np.isfinite(actions).all():
                raise NonFiniteError(
                    f"the policy's action {actions[~np.isfinite(actions)][0]} is not finite: the policy has "
                    "diverged; lower the learning rate"
                )
            step = environments.step(adapter(actions))
            buffer.terminated[t] = step.terminated
            buffer.truncated[t] = step.truncated
            buffer.valid[t] = step.valid
            ended = step.terminated | step.truncated
            any_ended = bool(ended.any())
            self.statistics.add(step.rewards, step.valid, ended, any_ended)
            if scaler is None:
                buffer.rewards[t] = step.rewards
            else:
                buffer.rewards[t] = scaler(step.rewards, step.terminated, step.truncated, step.valid)
            if any_ended:
                which = np.flatnonzero(ended)
                if self.keep_final_infos:
                    self.final_infos += environments.final_infos(which)
                if step.next_observations is not step.observations:
                    finals.append((t, which, self._prepare(step.next_observations[which])))
            self._observations = step.observations
        return self._evaluated(actor, finals)

    def state(self) -> dict[str, Any]:
        """See `ppocore.training.Collector.state`."""
        state = {"observations": np.array(self._observations), **self.environments.state()}
        if "previous_lengths" in state:  # of an episode that is replayed, with what it has to lead to
            returns = self.statistics.previous_returns
            state["previous_returns"] = np.where(state["previous_lengths"] > 0, returns, 0.0)
        return state

    def load_state(self, state: Mapping[str, Array]) -> dict[int, str]:
        """See `ppocore.training.Collector.load_state`."""
        observations = state["observations"]
        if observations.shape != np.shape(self._observations):
            expected = np.shape(self._observations)
            raise ValueError(f"it has observations of shape {observations.shape}, expected {expected}")
        dtype = np.asarray(self._observations).dtype
        if observations.dtype != dtype:
            raise ValueError(f"it has observations of dtype {observations.dtype}, expected {dtype}")
        # A wrapper may change rewards by what it has seen in earlier episodes: these must be the same, too.
        returns = self.statistics.current_returns(state["lengths"])
        self._observations, lost = self.environments.restore(state, observations, returns)
        if "previous_actions" in state:
            self.statistics.previous_returns = np.array(state["previous_returns"])
        return lost

    def close(self) -> None:
        """See `ppocore.training.Collector.close`."""
        self.environments.close()

    def _observe(self, observations: Array, out: Array) -> None:
        """Write observations to ``out``, normalized with statistics that include them."""
        normalizer = self._setup.observation_normalizer
        flat = observations.reshape(out.shape)
        if normalizer is None:
            np.copyto(out, flat, casting="unsafe")
        else:
            normalizer.update(flat, self.environments.acting)
            out[...] = normalizer.normalize(flat)

    def _prepare(self, observations: Array) -> Array:
        """Return normalized observations that are only evaluated, which do not update the statistics."""
        normalizer = self._setup.observation_normalizer
        flat = observations.reshape(len(observations), -1)
        if normalizer is not None:
            flat = normalizer.normalize(flat)
        return flat.astype(np.float32)

    def _keep_masks(self, t: int, masks: Array) -> Array:
        """Store the masks of row ``t``; earlier rows without a mask allow everything."""
        buffer = self._buffer
        if buffer.masks is None:
            buffer.masks = np.ones((buffer.num_steps, *masks.shape), np.bool_)
        buffer.masks[t] = masks
        row: Array = buffer.masks[t]
        return row

    def _evaluated(self, actor: Actor, finals: list[tuple[int, Array, Array]]) -> Rollout:
        """Return the rollout with its log-probabilities, values, and the values of each step's true successor."""
        buffer = self._buffer
        buffer.last_observations[...] = self._prepare(self._observations)
        empty = buffer.final_observations[:0], buffer.final_index[:0]
        buffer.final_observations = np.concatenate([empty[0], *(final for _, _, final in finals)])
        index = [np.column_stack([np.full_like(which, t), which]) for t, which, _ in finals]
        buffer.final_index = np.concatenate([empty[1], *index])
        buffer.parameters[...] = self._parameters
        rollout = buffer.rollout
        parameters = self._parameters.reshape(-1, self._parameters.shape[-1])
        buffer.log_probs[...] = log_probs(rollout, parameters, self._setup.distribution)
        buffer.values[...], buffer.next_values[...] = evaluate(rollout, actor)
        return rollout
