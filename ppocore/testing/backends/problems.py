"""Problems that backends are compared on: a network, its weights, minibatches and a loss; also as code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ppocore.backend import Backend, BackendFactory, Minibatch, Objective, OptimizerStep, UpdateStats
from ppocore.networks import NetworkSpec, compute_dtype
from ppocore.typing import Array

LITERAL_LIMIT = 240
"""Numbers up to which a problem is written out; beyond, it is written as the call of `random_problem` that made it."""


@dataclass(frozen=True)
class Problem:
    """A network, its weights (float32), minibatches (float64) for as many optimizer steps, and the step's settings."""

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
    """Whether the actor is held, for each step in turn; not at those beyond."""
    recipe: Mapping[str, Any] | None = field(default=None, compare=False)
    """The arguments of `random_problem`, if that made it."""

    def with_one_optimizer(self, **changes: Any) -> Problem:
        """The same, all weights moved by every step in one way."""
        return replace(self, **{"critic_learning_rate": None, "separate": False, "freeze_actor": (), **changes})

    def minibatches(self, precision: str) -> list[Minibatch]:
        """The minibatches in the dtype of arithmetic; fresh copies."""
        dtype = compute_dtype(precision)
        return [in_dtype(batch, dtype) for batch in self.batches]

    def batch(self, precision: str) -> Minibatch:
        """The first minibatch, in the dtype of arithmetic."""
        return self.minibatches(precision)[0]

    def backend(self, factory: BackendFactory, precision: str, device: str = "cpu") -> Backend:
        """A backend with the problem's weights."""
        backend = factory(self.spec, precision=precision, adam_epsilon=self.adam_epsilon, device=device)
        backend.load_state(self.weights)
        return backend

    def holds(self, index: int) -> bool:
        """Whether the actor is held at a step, counted from 0."""
        return index < len(self.freeze_actor) and self.freeze_actor[index]

    def step(self, backend: Backend, batch: Minibatch, index: int = 0) -> UpdateStats:
        """One optimizer step with the settings of the one at ``index``."""
        how = OptimizerStep(
            self.learning_rate, self.max_grad_norm, self.critic_learning_rate, self.separate, self.holds(index)
        )
        return backend.update(batch, self.objective, how)

    def code(self) -> str:
        """Lines of Python that make this problem and call it ``problem``."""
        arrays = [*self.weights.values(), *(array for batch in self.batches for array in batch.arrays().values())]
        if self.recipe is not None and sum(array.size for array in arrays) > LITERAL_LIMIT:
            # Settings are written as they are: `replace` may have changed them since.
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
"""The fields of a `Problem` that say how its steps are made."""


def in_dtype(batch: Minibatch, dtype: Any) -> Minibatch:
    """A copy of the minibatch, its floating-point arrays converted."""
    arrays = batch.arrays().items()
    return Minibatch(**{name: a.astype(dtype if a.dtype.kind == "f" else a.dtype) for name, a in arrays})


def _literal(array: Array) -> str:
    """An array as an expression; an empty one keeps its shape."""
    reshaped = "" if array.size or array.ndim == 1 else f".reshape({array.shape})"
    return f"np.array({array.tolist()!r}, {array.dtype.name!r}){reshaped}"
