"""One rollout: what happened, what was thought of it, and the minibatches made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.advantages.estimators import Experience, estimate
from ppocore.backend import Minibatch
from ppocore.normalize import normalize

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
    ``masks``           (T, N, mask_size) bool      which actions were allowed; None where all always were
    ``parameters``      (T, N, parameter_size)      of the distribution when acting, before masks
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
        parameter_size: int = 0,
    ) -> None:
        shape = (num_steps, num_envs)
        self.observations: NDArray[np.float32] = np.zeros((*shape, observation_size), np.float32)
        self.actions: Array = np.zeros((*shape, *action_shape), action_dtype)
        self.parameters: NDArray[np.float32] = np.zeros((*shape, parameter_size), np.float32)
        self.masks: NDArray[np.bool_] | None = None
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

    def compute_advantages(
        self,
        *,
        gamma: float,
        lam: float,
        estimator: str = "gae",
        value_target: str = "same",
        n: int = 5,
        values: Array | None = None,
        next_values: Array | None = None,
        log_ratios: Array | None = None,
    ) -> None:
        """Fill ``advantages`` and ``returns`` by `ppocore.advantages.estimators.estimate` from the arrays above.

        ``values``, ``next_values`` and ``log_ratios`` (all (T, N)) take the place of those of the rollout where a
        network that has learned since is to judge it.
        """
        experience = Experience(
            self.rewards,
            self.values if values is None else values,
            self.next_values if next_values is None else next_values,
            self.terminated,
            self.truncated,
            self.valid,
            np.zeros_like(self.rewards) if log_ratios is None else log_ratios,
        )
        self.advantages, self.returns = estimate(
            experience, estimator=estimator, value_target=value_target, gamma=gamma, lam=lam, n=n
        )

    def minibatches(
        self,
        size: int,
        rng: np.random.Generator,
        *,
        epochs: int = 1,
        normalize_advantages: bool = True,
        advantage_scope: str = "minibatch",
        with_parameters: bool = False,
        before_epoch: Callable[[], None] | None = None,
        dtype: Any = np.float64,
    ) -> Iterator[Minibatch]:
        """Shuffled minibatches of the valid steps; each step once an epoch (37 details, core 6).

        An epoch is cut into as few minibatches of at most ``size`` samples as it takes, as equal as can be, so
        that none is a remainder of a few samples.  Each is a view that the next epoch overwrites.
        Normalised advantages are those of the minibatch (core 7) or of the rollout, rounded to float32.

        Args:
            size: most samples in one minibatch.
            rng: draws one permutation an epoch.
            epochs: passes over the rollout.
            normalize_advantages: whether advantages are normalised.
            advantage_scope: over what: each ``minibatch``, or the ``rollout``.
            with_parameters: whether minibatches have ``old_parameters``.
            before_epoch: called before each epoch but the first; advantages and returns are read again after it.
            dtype: of the floating-point arrays handed out.
        """
        rows = np.flatnonzero(self.valid)
        count = len(rows)
        actions_dtype = dtype if self.actions.dtype.kind == "f" else self.actions.dtype
        over_rollout = normalize_advantages and advantage_scope == "rollout"

        def estimates() -> list[Array]:
            advantages, returns = (_flat(a, rows, dtype) for a in (self.advantages, self.returns))
            return [_normalized(advantages) if over_rollout else advantages, returns]

        sources = [
            _flat(self.observations, rows, dtype),
            _flat(self.actions, rows, actions_dtype),
            _flat(self.log_probs, rows, dtype),
            *estimates(),
            _flat(self.values, rows, dtype),
        ]
        names = list(Minibatch._fields[: len(sources)])
        if self.masks is not None:
            names.append("masks")
            sources.append(_flat(self.masks, rows, np.bool_))
        if with_parameters:
            names.append("old_parameters")
            sources.append(_flat(self.parameters, rows, dtype))
        shuffled = [np.empty_like(source) for source in sources]
        parts = -(-count // size)
        edges = [count * k // parts for k in range(parts + 1)] if parts else [0]
        for epoch in range(epochs):
            if epoch and before_epoch is not None:
                before_epoch()
                sources[3:5] = estimates()
            order = rng.permutation(count)
            for source, target in zip(sources, shuffled, strict=True):
                np.take(source, order, axis=0, out=target, mode="clip")  # "raise" would buffer the output
            for start, stop in pairwise(edges):
                batch = Minibatch(**{n: a[start:stop] for n, a in zip(names, shuffled, strict=True)})
                if normalize_advantages and not over_rollout:
                    batch = batch._replace(advantages=_normalized(batch.advantages))
                yield batch


def _normalized(advantages: Array) -> Array:
    """Normalised and rounded to float32, in the dtype that they come in."""
    normalized: Array = normalize(advantages).astype(np.float32).astype(advantages.dtype)
    return normalized


def _flat(array: Array, rows: Array, dtype: Any) -> Array:
    """``array`` (T, N, ...) as (rows, ...), the chosen rows only, in another dtype."""
    flat = array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
    return (flat if len(rows) == len(flat) else flat[rows]).astype(dtype)
