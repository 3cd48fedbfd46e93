"""Generate problems from a seed, at the edges of the loss or as in training."""

from __future__ import annotations

import numpy as np

from ppocore.backend import Minibatch, Objective
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import NetworkSpec
from ppocore.testing.backends.problems import Problem
from ppocore.typing import Array

EDGE_MOVES = (0.0, 0.0, 0.03, -0.03, 0.3, -0.3, 1.0, -1.0, 19.5, -19.5, 21.0, -25.0, 300.0, -300.0)
"""Changes of log-probabilities: none, inside the clip range, outside it, and beyond the clamp at 20."""
EDGE_ADVANTAGES = (0.0, 1.0, 1.0, -1.0, 0.5, -2.5)

MASKS = (None, "some", "one")
"""Kinds of masks: none, some of the actions, or all but one."""


def random_problem(
    spec: NetworkSpec,
    objective: Objective,
    *,
    seed: int,
    rows: int,
    steps: int = 1,
    edges: bool = True,
    masks: str | None = None,
    weight_scale: float = 1.0,
    observation_scale: float = 1.0,
    learning_rate: float = 3e-3,
    max_grad_norm: float | None = 0.5,
    adam_epsilon: float = 1e-5,
    critic_learning_rate: float | None = None,
    separate: bool = False,
    freeze_actor: tuple[bool, ...] = (),
) -> Problem:
    """Generate a problem whose numbers are drawn from ``seed``.

    Args:
        spec: the network.
        objective: the loss.
        seed: seed of every number.
        rows: number of samples in each minibatch.
        steps: number of minibatches.
        edges: whether log-ratios lie beyond the clip range and the clamp, advantages are zero or tied, and values have
            moved far; otherwise minibatches are as in training.
        masks: one of ``None``, ``some`` and ``one`` (all actions but one masked).
        weight_scale: standard deviation of a layer's sums for inputs of size 1.
        observation_scale: standard deviation of the observations.
        learning_rate: learning rate of each step.
        max_grad_norm: largest gradient norm of each step; None for no clipping.
        adam_epsilon: epsilon of Adam.
        critic_learning_rate: the critic's learning rate; None for ``learning_rate``.
        separate: whether the actor's and the critic's gradients are clipped separately.
        freeze_actor: whether the actor is held in each step.
    """
    recipe = {k: v for k, v in locals().items() if k != "recipe"}
    rng = np.random.default_rng(seed)
    weights = _weights(spec, rng, weight_scale)
    sampler = _Sampler(spec, weights, rng, rows, observation_scale, masks, objective.kl_coef > 0.0)
    batches = tuple(sampler.edge_batch() if edges else sampler.training_batch() for _ in range(steps))
    settings = {name: recipe[name] for name in ("critic_learning_rate", "separate", "freeze_actor")}
    return Problem(
        spec, weights, batches, objective, learning_rate, max_grad_norm, adam_epsilon, **settings, recipe=recipe
    )


def _weights(spec: NetworkSpec, rng: np.random.Generator, scale: float) -> dict[str, Array]:
    """Draw weights that preserve the scale of activations, and biases and log standard deviations of a third of it."""
    return {
        name: rng.normal(0.0, scale / np.sqrt(shape[0]) if len(shape) == 2 else scale / 3.0, shape).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


class _Sampler:
    """Draw minibatches for a network."""

    def __init__(
        self,
        spec: NetworkSpec,
        weights: dict[str, Array],
        rng: np.random.Generator,
        rows: int,
        observation_scale: float,
        masks: str | None,
        with_old_parameters: bool,
    ) -> None:
        self.spec, self.rng, self.rows, self.scale = spec, rng, rows, observation_scale
        self.distribution = spec.distribution()
        self.masks = masks if self.distribution.mask_size else None
        self.policy = NumpyBackend(spec, precision="exact")
        self.policy.load_state(weights)
        self.old_policy = None
        if with_old_parameters:
            moves = {name: rng.normal(0.0, 0.1, array.shape) for name, array in weights.items()}
            self.old_policy = NumpyBackend(spec, precision="exact")
            moved = {name: (array + moves[name] * np.abs(array)).astype(np.float32) for name, array in weights.items()}
            self.old_policy.load_state(moved)

    def training_batch(self) -> Minibatch:
        """Draw log-probabilities, values and targets near the network's."""
        batch = self._acted()
        moved, advantages, error, change = self.rng.normal(0.0, [[0.15], [1.0], [1.0], [0.2]], (4, self.rows))
        return batch._replace(
            log_probs=batch.log_probs - moved,
            advantages=advantages,
            returns=batch.values + error,
            values=batch.values + change,
        )

    def edge_batch(self) -> Minibatch:
        """Draw a batch at the edges of the loss, a third of its actions improbable (see `random_problem`)."""
        rng, rows = self.rng, self.rows
        batch = self._acted(improbable=True)
        ties, others = rng.choice(EDGE_ADVANTAGES, rows), rng.normal(0.0, 1.5, rows)
        return batch._replace(
            log_probs=batch.log_probs - rng.choice(EDGE_MOVES, rows),
            advantages=np.where(rng.random(rows) < 0.5, ties, others),
            returns=batch.values + rng.normal(0.0, 1.0, rows),
            values=batch.values + rng.choice((0.0, 0.02, 0.5, 3.0), rows) * rng.normal(0.0, 1.0, rows),
        )

    def _acted(self, improbable: bool = False) -> Minibatch:
        """Sample actions from the policy, or a third of them regardless of the observation."""
        rng, rows, distribution = self.rng, self.rows, self.distribution
        observations = rng.normal(0.0, self.scale, (rows, self.spec.observation_size))
        parameters, values = self.policy.forward(observations)
        ignores_observation = rng.random((rows, 1)) < (1 / 3 if improbable else 0.0)
        sampled = np.where(ignores_observation, 0.0, parameters)
        masks = None if self.masks is None else self._drawn_masks()
        if masks is not None:
            parameters, sampled = (distribution.apply_masks(x, masks) for x in (parameters, sampled))
        actions = np.empty((rows, *distribution.action_shape), distribution.action_dtype)
        distribution.sample(sampled, distribution.noise(rng, (rows,)), actions)
        if actions.dtype.kind == "f":
            actions = actions.astype(np.float64)
        log_probs = distribution.evaluate(parameters, actions)[0]
        old_parameters = None
        if self.old_policy is not None:
            old_parameters = self.old_policy.forward(observations)[0].astype(np.float32).astype(np.float64)
        return Minibatch(observations, actions, log_probs, values, values, values, masks, old_parameters)

    def _drawn_masks(self) -> Array:
        """Draw masks that allow at least one choice of each component, and no other with masks of kind ``one``."""
        flags = []
        for size in component_sizes(self.spec):
            kept = np.arange(size) == self.rng.integers(size, size=(self.rows, 1))
            others = self.rng.random((self.rows, size)) < (0.6 if self.masks == "some" else 0.0)
            flags.append(kept | others)
        return np.concatenate(flags, axis=1)


def component_sizes(spec: NetworkSpec) -> tuple[int, ...]:
    """Return the number of mask flags of each component of an action; a bit has two."""
    return spec.distribution().mask_sections
