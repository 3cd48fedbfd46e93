"""A run between two iterations, as copies: what a checkpoint holds and what a run ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ppocore.config import PPOConfig
from ppocore.policy import Policy
from ppocore.typing import Array

NORMALIZER, SCALER, STATISTICS = "observation_normalizer.", "reward_scaler.", "statistics."
_PREFIXES = (NORMALIZER, SCALER, STATISTICS)


@dataclass
class Snapshot:
    """A run after a whole iteration, in copies, so that an interrupt never leaves half an iteration in it.

    Attributes:
        tensors: arrays by name:

            ==============================  ==================================================================
            ``<weight>``, ``adam.*``        the backend's state (`ppocore.backend.Backend.state`)
            ``observation_normalizer.*``    of the `ObservationNormalizer`, if there is one
            ``reward_scaler.*``             of the `RewardScaler`, if there is one
            ``statistics.*``                returns and lengths of unfinished episodes and of the last hundred
            ==============================  ==================================================================
        environments: the observations to act on next, and the seeds and actions that led to them.
        description: what JSON can hold: counters, settings, spaces, RNG states.
        policy: that acts with these weights; None where the snapshot was read from a file.
        mean_return: of the last 100 training episodes; None before the first has ended, or read from a file.
    """

    tensors: dict[str, Array]
    environments: dict[str, Array]
    description: dict[str, Any]
    policy: Policy | None = None
    mean_return: float | None = None

    @property
    def counters(self) -> dict[str, int]:
        """``steps``, ``iterations``, ``updates`` and ``episodes`` so far."""
        counters: dict[str, int] = self.description["counters"]
        return counters

    @property
    def iterations(self) -> int:
        """How many have been completed."""
        return int(self.counters["iterations"])

    @property
    def steps(self) -> int:
        """Environment steps taken."""
        return int(self.counters["steps"])

    def part(self, prefix: str) -> dict[str, Array]:
        """Return the tensors of one prefix, by the rest of their names."""
        return {name.removeprefix(prefix): a for name, a in self.tensors.items() if name.startswith(prefix)}

    def backend_state(self) -> dict[str, Array]:
        """Return the backend's state: the tensors without a prefix of the run's own."""
        return {name: array for name, array in self.tensors.items() if not name.startswith(_PREFIXES)}

    def config(self) -> PPOConfig:
        """Return the settings."""
        return PPOConfig.from_dict({**self.description["config"]})
