"""Define a snapshot of a run between two iterations, which a checkpoint stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppocore.config import PPOConfig
from ppocore.policy import Policy
from ppocore.typing import Array

NORMALIZER, SCALER, STATISTICS = "observation_normalizer.", "reward_scaler.", "statistics."
_PREFIXES = (NORMALIZER, SCALER, STATISTICS)


@dataclass
class Snapshot:
    """Hold copies of the state of a run after a complete iteration, which an interrupt cannot leave half updated.

    Attributes:
        tensors: arrays by name:

            ==============================  ==================================================================
            ``<weight>``, ``adam.*``        the backend's state (`ppocore.backend.Backend.state`)
            ``observation_normalizer.*``    state of the `ObservationNormalizer`, if there is one
            ``reward_scaler.*``             state of the `RewardScaler`, if there is one
            ``statistics.*``                returns and lengths of current episodes and of the last 100
            ==============================  ==================================================================
        environments: the next observations, and the seeds and actions to replay the current episodes; arrays, or
            objects that can be converted to one.
        description: counters, settings, spaces and RNG states as a JSON object.
        policy: the policy with these weights; None if the snapshot was read from a file.
        mean_return: mean return of the last 100 training episodes; None before the first has ended, or if the
            snapshot was read from a file.
    """

    tensors: dict[str, Array]
    environments: dict[str, Any]
    description: dict[str, Any]
    policy: Policy | None = None
    mean_return: float | None = None

    @property
    def counters(self) -> dict[str, int]:
        """The number of ``steps``, ``iterations``, ``updates`` and ``episodes`` so far."""
        counters: dict[str, int] = self.description["counters"]
        return counters

    @property
    def iterations(self) -> int:
        """The number of completed iterations."""
        return int(self.counters["iterations"])

    @property
    def steps(self) -> int:
        """The number of environment steps."""
        return int(self.counters["steps"])

    @property
    def not_replayable(self) -> list[int]:
        """The environments whose current episode is too long for its actions to be kept."""
        found: list[int] = np.asarray(self.environments.get("dropped", ())).tolist()
        return found

    def part(self, prefix: str) -> dict[str, Array]:
        """Return the tensors with a prefix, which is removed from their names."""
        return {name.removeprefix(prefix): a for name, a in self.tensors.items() if name.startswith(prefix)}

    def backend_state(self) -> dict[str, Array]:
        """Return the backend's state."""
        return {name: array for name, array in self.tensors.items() if not name.startswith(_PREFIXES)}

    def config(self) -> PPOConfig:
        """Return the settings."""
        return PPOConfig.from_dict({**self.description["config"]})
