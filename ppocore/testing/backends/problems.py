"""Describe the problems that backends are compared on: a network, its weights, minibatches and a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ppocore.backend import Backend, BackendFactory, Minibatch, Objective, OptimizerStep, UpdateStats
from ppocore.networks import NetworkSpec, compute_dtype
from ppocore.typing import Array

LITERAL_LIMIT = 240
"""Largest count of numbers that `Problem.code` writes out; a larger problem is a call of `random_problem`."""


@dataclass(frozen=True)
class Problem:
    """Hold a network, its float32 weights, one float64 minibatch for each optimizer step, and the steps' settings."""

    spec: NetworkSpec
    weights: Mapping[str, Array]
    batches: tuple[Minibatch, ...]
    objective: Objective
    learning_rate: float = 3e-3
    max_grad_norm: float | None = 0.5
    adam_epsilon: float = 1e-5
    critic_learning_rate: float | None = None
    separate: bool = False
    freeze_actor: tuple[bool, ...] = ()
    """Whether the actor is held in each step; it is not held in steps beyond the last entry."""
    recipe: Mapping[str, Any] | None = field(default=None, compare=False)
    """The arguments of the `random_problem` call that made it, if one did."""

    def with_one_optimizer(self, **changes: Any) -> Problem:
        """Return a copy in which every step updates all weights alike, with other changes to its fields."""
        return replace(self, **{"critic_learning_rate": None, "separate": False, "freeze_actor": (), **changes})

    def minibatches(self, precision: str) -> list[Minibatch]:
        """Return copies of the minibatches in the precision's dtype."""
        dtype = compute_dtype(precision)
        return [in_dtype(batch, dtype) for batch in self.batches]

    def batch(self, precision: str) -> Minibatch:
        """Return a copy of the first minibatch in the precision's dtype."""
        return self.minibatches(precision)[0]

    def backend(self, factory: BackendFactory, precision: str, device: str = "cpu") -> Backend:
        """Build a backend with the problem's weights."""
        backend = factory(self.spec, precision=precision, adam_epsilon=self.adam_epsilon, device=device)
        backend.load_state(self.weights)
        return backend

    def holds(self, index: int) -> bool:
        """Tell whether the actor is held in a step, counted from 0."""
        return index < len(self.freeze_actor) and self.freeze_actor[index]

    def step(self, backend: Backend, batch: Minibatch, index: int = 0) -> UpdateStats:
        """Make one optimizer step with the settings of step ``index``."""
        how = OptimizerStep(
            self.learning_rate, self.max_grad_norm, self.critic_learning_rate, self.separate, self.holds(index)
        )
        return backend.update(batch, self.objective, how)

    def code(self) -> str:
        """Return Python code that assigns this problem to ``problem``."""
        arrays = [*self.weights.values(), *(array for batch in self.batches for array in batch.arrays().values())]
        if self.recipe is not None and sum(array.size for array in arrays) > LITERAL_LIMIT:
            # The settings of now, which `replace` may have changed since the call.
            settings = {name: getattr(self, name) for name in SETTINGS}
            arguments = "".join(f"    {name}={value!r},\n" for name, value in {**self.recipe, **settings}.items())
            return f"problem = random_problem(\n{arguments})\n"
        weights = "".join(f"        {name!r}: {_literal(array)},\n" for name, array in self.weights.items())
        batches = "".join(
            "        Minibatch(\n"
            + "".join(f"            {name}={_literal(array)},\n" for name, array in batch.arrays().items())
            + "        ),\n"
            for batch in self.batches
        )
        settings_lines = "".join(f"    {name}={getattr(self, name)!r},\n" for name in SETTINGS)
        return (
            f"problem = Problem(\n    spec={self.spec!r},\n    weights={{\n{weights}    }},\n"
            f"    batches=(\n{batches}    ),\n    objective={self.objective!r},\n{settings_lines})\n"
        )


SETTINGS = ("learning_rate", "max_grad_norm", "adam_epsilon", "critic_learning_rate", "separate", "freeze_actor")
"""The fields of a `Problem` that are settings of its steps."""


def in_dtype(batch: Minibatch, dtype: Any) -> Minibatch:
    """Copy a minibatch, with its floating-point arrays converted."""
    arrays = batch.arrays().items()
    return Minibatch(**{name: a.astype(dtype if a.dtype.kind == "f" else a.dtype) for name, a in arrays})


def _literal(array: Array) -> str:
    """Return an array as a Python expression that keeps its dtype and shape."""
    reshaped = "" if array.size or array.ndim == 1 else f".reshape({array.shape})"
    return f"np.array({array.tolist()!r}, {array.dtype.name!r}){reshaped}"
