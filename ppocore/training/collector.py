"""The contract of a collector: what gives a run its rollouts, in this process or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ppocore.distributions import Distribution
from ppocore.errors import UsageError
from ppocore.normalize import ObservationNormalizer, RewardScaler
from ppocore.spaces import ActionAdapter, ObservationMapping
from ppocore.training.rollout import Actor, Rollout
from ppocore.training.statistics import EpisodeStatistics
from ppocore.typing import Array


class CollectorSetup(NamedTuple):
    """What a run decides of how its rollouts are collected."""

    num_steps: int
    """Rows of each rollout, T."""
    seed: int
    """The run's; environments that the collector makes derive their seeds from it."""
    distribution: Distribution
    """What actions are drawn from, given the actor's parameters."""
    adapter: ActionAdapter
    """From sampled actions to the environments'."""
    rng: np.random.Generator
    """Draws the noise of the actions. The run saves and restores its state."""
    observation_normalizer: ObservationNormalizer | None
    """Updated with the observations that are acted on, then applied to them. The run saves and restores it."""
    reward_scaler: RewardScaler | None
    """Applied to every row's rewards. The run saves and restores it."""


class Collector(Protocol):
    """Collects the rollouts of one run.

    A run calls `start` once and before anything else, then `load_state` if it is resumed, then `collect` once an
    iteration, with `state` after each, and `close` in the end, whatever ended it. Attributes that say what the
    environments are like are read before `start`.

    Collecting raises `EnvironmentFault` where an environment failed and `NonFiniteError` where the policy has
    diverged; the run then saves its last whole iteration.
    """

    name: str
    """Of the environments: an id, or what they are made by. A run is resumed only with the same."""
    num_envs: int
    """N; the setting ``num_envs`` of the run must be the same."""
    observation_mapping: ObservationMapping
    """From an environment's observation to the vector that the network takes."""
    action_space: Any
    """Of one environment, as `ppocore.spaces.actions.ActionAdapter` takes it."""
    statistics: EpisodeStatistics
    """Brought up to date by `collect`. The run saves and restores it."""
    keep_final_infos: bool
    """Whether `collect` fills `final_infos`; a run sets it where something reads them."""
    final_infos: list[tuple[int, dict[str, Any]]]
    """For each episode that ended in the last rollout, in order: its environment, and the info of its last step."""

    def start(self, setup: CollectorSetup) -> None:
        """Begin the first episode of every environment."""

    def collect(self, actor: Actor) -> Rollout:
        """Collect a rollout with the actor's policy, going on where the last one ended.

        Its arrays may be overwritten by the next call.
        """

    def state(self) -> dict[str, Array]:
        """By name, copies of what the next rollout goes on with; among them ``observations`` (N, ...), acted on next.

        What is in the `CollectorSetup` and in `statistics` is not part of it.
        """

    def load_state(self, state: Mapping[str, Array]) -> dict[int, str]:
        """Go on from what `state` gave.

        Returns:
            By the index of each environment that could not be brought back and begins its next episode, why.

        Raises:
            KeyError, ValueError: it is not of these environments.
        """

    def close(self) -> None:
        """Close the environments and end what was started for them; may be called again."""


_ATTRIBUTES = tuple(Collector.__annotations__)
_METHODS = ("start", "collect", "state", "load_state", "close")


def check_collector(collector: Any) -> None:
    """Check that an object has what a run uses of a `Collector`.

    Raises:
        UsageError: what it lacks.
    """
    if isinstance(collector, type):
        raise UsageError(f"collector={collector.__name__} is a class: pass an instance of it")
    given = f"collector={type(collector).__name__}"
    for name in _METHODS:
        if not callable(getattr(collector, name, None)):
            raise UsageError(f"{given} has no method {name!r}: see ppocore.training.Collector")
    for name in _ATTRIBUTES:
        if not hasattr(collector, name):
            raise UsageError(f"{given} has no attribute {name!r}: see ppocore.training.Collector")
