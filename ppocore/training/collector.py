"""Define the interface of a collector, which collects the rollouts of a run in this process or elsewhere."""

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
    """Hold what a run provides to its collector."""

    num_steps: int
    """Number of rows of each rollout, T."""
    seed: int
    """Seed of the run, from which the seeds of the environments are derived."""
    distribution: Distribution
    """Distribution of the actions, given the actor's parameters."""
    adapter: ActionAdapter
    """Converts sampled actions to those of the environments."""
    rng: np.random.Generator
    """Draws the noise of the actions; the run saves and restores its state."""
    observation_normalizer: ObservationNormalizer | None
    """Updated with the observations that are acted on, then applied to them; the run saves and restores it."""
    reward_scaler: RewardScaler | None
    """Applied to the rewards of every row; the run saves and restores it."""


class Collector(Protocol):
    """Collect the rollouts of one run.

    A run calls `start` once, then `load_state` if it is resumed, then `collect` and `state` once per iteration, and
    finally `close`, also after an error. It reads the attributes that describe the environments before `start`.

    `collect` raises an `EnvironmentFault` if an environment failed, and a `NonFiniteError` if the policy has diverged;
    the run then saves its last complete iteration.
    """

    name: str
    """Environment id, or the name of the callable or vector environment; a run can only be resumed with the same."""
    num_envs: int
    """Number of environments, N, which must equal the setting ``num_envs`` of the run."""
    observation_mapping: ObservationMapping
    """Flattens an environment's observation to the vector that the network takes."""
    action_space: Any
    """Action space of one environment, as `ppocore.spaces.action_adapter.ActionAdapter` takes it."""
    statistics: EpisodeStatistics
    """Updated by `collect`; the run saves and restores it."""
    keep_final_infos: bool
    """Whether `collect` fills `final_infos`; set by the run if a callback reads them."""
    final_infos: list[tuple[int, dict[str, Any]]]
    """Environment index and final info of each episode that ended in the last rollout, in order."""

    def start(self, setup: CollectorSetup) -> None:
        """Start the first episode of every environment."""

    def collect(self, actor: Actor) -> Rollout:
        """Collect a rollout with the actor's policy, starting where the last one ended.

        The next call may overwrite its arrays.
        """

    def state(self) -> dict[str, Any]:
        """Return copies of the state that the next rollout starts from, arrays by name.

        It includes the next ``observations`` (N, ...), but nothing of the `CollectorSetup` or of `statistics`. It is
        called after every iteration and few states are written, so what is costly may be an object whose
        ``__array__`` gives the array, as long as that does not change.
        """

    def load_state(self, state: Mapping[str, Array]) -> dict[int, str]:
        """Restore what `state` returned.

        Returns:
            The reason for each environment that could not be restored and starts its next episode, by index.

        Raises:
            KeyError, ValueError: not the state of such environments.
        """

    def close(self) -> None:
        """Close the environments and release their resources; may be called again."""


_ATTRIBUTES = tuple(Collector.__annotations__)
_METHODS = ("start", "collect", "state", "load_state", "close")


def check_collector(collector: Any) -> None:
    """Check that an object has the attributes and methods of a `Collector`.

    Raises:
        UsageError: one is missing.
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
