"""One rollout: what happened, what was thought of it, and the minibatches made of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .advantages import gae
from .backend import Minibatch
from .normalize import normalize

Array = NDArray[Any]


class RolloutBuffer:
    """T steps of N environments, time-major, allocated once and filled again each iteration.

    Everything is kept as float32, which is what makes runs exact (see docs/exact-runs.md).

    ==================  ==========================  =====================================================
    ``observations``    (T, N, observation_size)    as the policy saw them
    ``actions``         (T, N, *action_shape)       as sampled, not as clipped for the environment
    ``rewards``         (T, N)                      as learned from
    ``terminated``      (T, N) bool
    ``truncated``       (T, N) bool
    ``valid``           (T, N) bool                 False where the step only reset its environment
    ``log_probs``       (T, N)                      of the actions when taken
    ``values``          (T, N)                      of the observations when acted on
    ``next_values``     (T, N)                      of each step's true successor
    ``advantages``      (T, N)                      after `compute_advantages`
    ``returns``         (T, N)                      after `compute_advantages`
    ==================  ==========================  =====================================================
    """

    def __init__(
        self,
        num_steps: int,
        num_envs: int,
        observation_size: int,
        action_shape: tuple[int, ...] = (),
        action_dtype: Any = np.int64,
    ) -> None:
        shape = (num_steps, num_envs)
        self.observations: NDArray[np.float32] = np.zeros((*shape, observation_size), np.float32)
        self.actions: Array = np.zeros((*shape, *action_shape), action_dtype)
        self.rewards, self.log_probs, self.values, self.next_values, self.advantages, self.returns = (
            np.zeros(shape, np.float32) for _ in range(6)
        )
        self.terminated, self.truncated = (np.zeros(shape, np.bool_) for _ in range(2))
        self.valid: NDArray[np.bool_] = np.ones(shape, np.bool_)

    @property
    def num_steps(self) -> int:
        """Rows, T."""
        return self.rewards.shape[0]

    @property
    def num_envs(self) -> int:
        """Columns, N."""
        return self.rewards.shape[1]

    def compute_advantages(self, *, gamma: float, lam: float) -> None:
        """Fill ``advantages`` and ``returns`` by `ppocore.gae` from the arrays above."""
        self.advantages, self.returns = gae(
            self.rewards,
            self.values,
            self.next_values,
            self.terminated,
            self.truncated,
            gamma=gamma,
            lam=lam,
            valid=self.valid,
        )

    def minibatches(
        self,
        size: int,
        rng: np.random.Generator,
        *,
        epochs: int = 1,
        normalize_advantages: bool = True,
        dtype: Any = np.float64,
    ) -> Iterator[Minibatch]:
        """Shuffled minibatches of the valid steps; each step once an epoch (37 details, core 6).

        An epoch is cut into as few minibatches of at most ``size`` samples as it takes, as equal as can be, so
        that none is a remainder of a few samples.  Each is a view that the next epoch overwrites.
        Normalised advantages are those of the minibatch (core 7), rounded to float32.

        Args:
            size: most samples in one minibatch.
            rng: draws one permutation an epoch.
            epochs: passes over the rollout.
            normalize_advantages: whether advantages are normalised within each minibatch.
            dtype: of the floating-point arrays handed out.
        """
        rows = np.flatnonzero(self.valid)
        count = len(rows)
        actions_dtype = dtype if self.actions.dtype.kind == "f" else self.actions.dtype
        sources = [
            _flat(self.observations, rows, dtype),
            _flat(self.actions, rows, actions_dtype),
            *(_flat(a, rows, dtype) for a in (self.log_probs, self.advantages, self.returns, self.values)),
        ]
        shuffled = [np.empty_like(source) for source in sources]
        parts = -(-count // size)
        edges = [count * k // parts for k in range(parts + 1)] if parts else [0]
        for _ in range(epochs):
            order = rng.permutation(count)
            for source, target in zip(sources, shuffled, strict=True):
                np.take(source, order, axis=0, out=target, mode="clip")  # "raise" would buffer the output
            for start, stop in pairwise(edges):
                batch = Minibatch(*(array[start:stop] for array in shuffled))
                if normalize_advantages:
                    normalized = normalize(batch.advantages).astype(np.float32).astype(dtype)
                    batch = batch._replace(advantages=normalized)
                yield batch


def _flat(array: Array, rows: Array, dtype: Any) -> Array:
    """``array`` (T, N, ...) as (rows, ...), the chosen rows only, in another dtype."""
    flat = array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
    return (flat if len(rows) == len(flat) else flat[rows]).astype(dtype)
