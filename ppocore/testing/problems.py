"""Problems that backends are compared on: a network, its weights, minibatches and a loss; also as code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import Backend, BackendFactory, Minibatch, Objective
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import NetworkSpec, compute_dtype

Array = NDArray[Any]

LITERAL_LIMIT = 240
"""Numbers up to which a problem is written out; beyond, it is written as the call of `random_problem` that made it."""

EDGE_MOVES = (0.0, 0.0, 0.03, -0.03, 0.3, -0.3, 1.0, -1.0, 19.5, -19.5, 21.0, -25.0, 300.0, -300.0)
"""How far log-probabilities have moved: not at all, inside the clip range, outside it, beyond the clamp at 20."""
EDGE_ADVANTAGES = (0.0, 1.0, 1.0, -1.0, 0.5, -2.5)


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
    recipe: Mapping[str, Any] | None = field(default=None, compare=False)
    """The arguments of `random_problem`, if that made it."""

    def minibatches(self, precision: str) -> list[Minibatch]:
        """The minibatches in the dtype of arithmetic; fresh copies."""
        dtype = compute_dtype(precision)
        return [_map(batch, lambda array: array.astype(dtype)) for batch in self.batches]

    def batch(self, precision: str) -> Minibatch:
        """The first minibatch, in the dtype of arithmetic."""
        return self.minibatches(precision)[0]

    def backend(self, factory: BackendFactory, precision: str, device: str = "cpu") -> Backend:
        """A backend with the problem's weights."""
        backend = factory(self.spec, precision=precision, adam_epsilon=self.adam_epsilon, device=device)
        backend.load_state(self.weights)
        return backend

    def step(self, backend: Backend, batch: Minibatch) -> Any:
        """One optimizer step with the problem's settings."""
        return backend.update(batch, self.objective, learning_rate=self.learning_rate, max_grad_norm=self.max_grad_norm)

    def code(self) -> str:
        """Lines of Python that make this problem and call it ``problem``."""
        arrays = [*self.weights.values(), *(array for batch in self.batches for array in batch)]
        if self.recipe is not None and sum(array.size for array in arrays) > LITERAL_LIMIT:
            arguments = "".join(f"    {name}={value!r},\n" for name, value in self.recipe.items())
            return f"problem = random_problem(\n{arguments})\n"
        weights = "".join(f"        {name!r}: {_literal(array)},\n" for name, array in self.weights.items())
        batches = "".join(
            "        Minibatch(\n"
            + "".join(f"            {name}={_literal(array)},\n" for name, array in batch._asdict().items())
            + "        ),\n"
            for batch in self.batches
        )
        return (
            f"problem = Problem(\n    spec={self.spec!r},\n    weights={{\n{weights}    }},\n"
            f"    batches=(\n{batches}    ),\n"
            f"    objective={self.objective!r},\n    learning_rate={self.learning_rate!r},\n"
            f"    max_grad_norm={self.max_grad_norm!r},\n    adam_epsilon={self.adam_epsilon!r},\n)\n"
        )


def _map(batch: Minibatch, change: Any) -> Minibatch:
    """The minibatch with its floating-point arrays changed, the others copied."""
    return Minibatch(*(change(array) if array.dtype.kind == "f" else array.copy() for array in batch))


def _literal(array: Array) -> str:
    """An array as an expression; an empty one keeps its shape."""
    reshaped = "" if array.size or array.ndim == 1 else f".reshape({array.shape})"
    return f"np.array({array.tolist()!r}, {array.dtype.name!r}){reshaped}"


def random_problem(
    spec: NetworkSpec,
    objective: Objective,
    *,
    seed: int,
    rows: int,
    steps: int = 1,
    edges: bool = True,
    weight_scale: float = 1.0,
    observation_scale: float = 1.0,
    learning_rate: float = 3e-3,
    max_grad_norm: float | None = 0.5,
    adam_epsilon: float = 1e-5,
) -> Problem:
    """A problem whose numbers are drawn from ``seed``.

    Args:
        spec: the network.
        objective: the loss.
        seed: of every number.
        rows: samples in each minibatch.
        steps: minibatches.
        edges: log-ratios beyond the clip range and the clamp, advantages that are 0 or tie, values far from where
            they were; otherwise minibatches are as a run makes them.
        weight_scale: standard deviation of what a layer adds up, for inputs of size one.
        observation_scale: standard deviation of the observations.
        learning_rate: of each step.
        max_grad_norm: of each step.
        adam_epsilon: of the optimizer.
    """
    recipe = {k: v for k, v in locals().items() if k != "recipe"}
    rng = np.random.default_rng(seed)
    weights = _weights(spec, rng, weight_scale)
    oracle = NumpyBackend(spec, precision="exact")
    oracle.load_state(weights)
    make = _edge_batch if edges else _ordinary_batch
    batches = tuple(make(spec, oracle, rng, rows, observation_scale) for _ in range(steps))
    return Problem(spec, weights, batches, objective, learning_rate, max_grad_norm, adam_epsilon, recipe)


def _weights(spec: NetworkSpec, rng: np.random.Generator, scale: float) -> dict[str, Array]:
    """Weights that keep the size of what flows through them, biases and log standard deviations a third of it."""
    return {
        name: rng.normal(0.0, scale / np.sqrt(shape[0]) if len(shape) == 2 else scale / 3.0, shape).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


def _acted(
    spec: NetworkSpec, oracle: NumpyBackend, rng: np.random.Generator, rows: int, scale: float, improbable: bool = False
) -> Any:
    """Observations, actions for them, their log-probabilities, and the values.

    The actions are the policy's; where ``improbable``, a third of them are of one that ignores the observation.
    """
    observations = rng.normal(0.0, scale, (rows, spec.observation_size))
    parameters, values = oracle.forward(observations)
    distribution = spec.distribution()
    actions = np.empty((rows, *distribution.action_shape), distribution.action_dtype)
    ignorant = rng.random((rows, 1)) < (1 / 3 if improbable else 0.0)
    distribution.sample(np.where(ignorant, 0.0, parameters), distribution.noise(rng, (rows,)), actions)
    if actions.dtype.kind == "f":
        actions = actions.astype(np.float64)
    return observations, actions, distribution.evaluate(parameters, actions)[0], values


def _ordinary_batch(
    spec: NetworkSpec, oracle: NumpyBackend, rng: np.random.Generator, rows: int, scale: float
) -> Minibatch:
    observations, actions, log_probs, values = _acted(spec, oracle, rng, rows, scale)
    moved, advantages, error, change = rng.normal(0.0, [[0.15], [1.0], [1.0], [0.2]], (4, rows))
    return Minibatch(observations, actions, log_probs - moved, advantages, values + error, values + change)


def _edge_batch(
    spec: NetworkSpec, oracle: NumpyBackend, rng: np.random.Generator, rows: int, scale: float
) -> Minibatch:
    observations, actions, log_probs, values = _acted(spec, oracle, rng, rows, scale, improbable=True)
    moved = rng.choice(EDGE_MOVES, rows)
    ties, others = rng.choice(EDGE_ADVANTAGES, rows), rng.normal(0.0, 1.5, rows)
    advantages = np.where(rng.random(rows) < 0.5, ties, others)
    returns = values + rng.normal(0.0, 1.0, rows)
    old_values = values + rng.choice((0.0, 0.02, 0.5, 3.0), rows) * rng.normal(0.0, 1.0, rows)
    return Minibatch(observations, actions, log_probs - moved, advantages, returns, old_values)
