"""The whole of a run between two iterations, as what a run file holds (docs/run-files.md)."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from .config import PPOConfig
from .errors import UsageError
from .run_files import RUN_FORMAT
from .tensor_file import encode, part, read

Array = NDArray[Any]

NORMALIZER, SCALER, STATISTICS, ENVIRONMENTS = (
    "observation_normalizer.",
    "reward_scaler.",
    "statistics.",
    "environments.",
)
_OF_THE_RUN = (NORMALIZER, SCALER, STATISTICS, ENVIRONMENTS)


@dataclass
class RunState:
    """Arrays by name, and what JSON can hold.

    ==============================  =============================================================================
    ``<weight>``, ``adam.*``        the backend's state (`ppocore.optimizers`)
    ``observation_normalizer.*``    of the `ObservationNormalizer`, if there is one
    ``reward_scaler.*``             of the `RewardScaler`, if there is one
    ``statistics.*``                returns and lengths of the episodes that go on, and of the last hundred
    ``environments.*``              the observations to act on next, and how the episodes came there
    ==============================  =============================================================================
    """

    tensors: dict[str, Array]
    environments: dict[str, Array]
    """The last of these groups."""
    description: dict[str, Any]

    @property
    def iterations(self) -> int:
        """How many have been completed."""
        return int(self.description["counters"]["iterations"])

    @property
    def steps(self) -> int:
        """Environment steps taken."""
        return int(self.description["counters"]["steps"])

    def part(self, prefix: str) -> dict[str, Array]:
        """One of the groups, by the names behind its prefix."""
        return part(self.tensors, prefix)

    def of_backend(self) -> dict[str, Array]:
        """The first of the groups."""
        return {name: array for name, array in self.tensors.items() if not name.startswith(_OF_THE_RUN)}

    def encode(self) -> bytes:
        """The bytes of a run file; the same for the same run, whatever the backend."""
        environments = {ENVIRONMENTS + name: array for name, array in self.environments.items()}
        return encode(RUN_FORMAT, {**self.tensors, **environments}, self.description)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> RunState:
        """Read a run file.

        Raises:
            UsageError: it is none, or damaged, or contradicts itself.
        """
        file = read(path, RUN_FORMAT)
        environments = part(file.tensors, ENVIRONMENTS)
        tensors = {name: array for name, array in file.tensors.items() if not name.startswith(ENVIRONMENTS)}
        state = cls(tensors, environments, file.description)
        try:
            state._check()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} does not describe a run: {error}") from error
        return state

    def config(self) -> PPOConfig:
        """The settings."""
        return PPOConfig.from_dict({**self.description["config"]})

    def _check(self) -> None:
        """Hold what decides how much is allocated against the arrays that there are."""
        counters = self.description["counters"]
        if min(int(counters[name]) for name in ("steps", "iterations", "updates", "episodes")) < 0:
            raise ValueError("a counter is negative")
        if not isinstance(self.description["env"], str) or not isinstance(self.description["seed"], int):
            raise ValueError("env or seed is of the wrong type")
        num_envs = self.config().num_envs
        if len(self.environments["observations"]) != num_envs:
            raise ValueError(f"it holds {len(self.environments['observations'])} environments, its settings {num_envs}")
