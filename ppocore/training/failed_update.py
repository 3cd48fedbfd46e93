"""Record an update that was not applied because its loss or gradient is not finite."""

from __future__ import annotations

from dataclasses import dataclass

from ppocore.backend import Backend, Minibatch, Objective, OptimizerStep
from ppocore.config import PPOConfig
from ppocore.networks import NetworkSpec
from ppocore.typing import Array


@dataclass(frozen=True)
class FailedUpdate:
    """Hold what is needed to replay an update: the state before it, the minibatch and the settings.

    ``update`` counts the optimizer steps of the run from 1; ``backend`` and ``precision`` are those of the run.
    """

    spec: NetworkSpec
    state: dict[str, Array]
    batch: Minibatch
    objective: Objective
    step: OptimizerStep
    adam_epsilon: float
    update: int
    backend: str
    precision: str

    @classmethod
    def of(
        cls,
        backend: Backend,
        spec: NetworkSpec,
        config: PPOConfig,
        batch: Minibatch,
        objective: Objective,
        step: OptimizerStep,
    ) -> FailedUpdate | None:
        """Record the update that a backend has just refused; return None for the user's own network."""
        if backend.own_network is not None:  # NumPy cannot run it
            return None
        state = backend.state()
        # Copies, because the next epoch overwrites the minibatch.
        kept = Minibatch(**{name: array.copy() for name, array in batch._asdict().items() if array is not None})
        return cls(
            spec,
            state,
            kept,
            objective,
            step,
            config.adam_epsilon,
            int(state["adam.step"]) + 1,
            backend.name,
            config.precision,
        )
