"""Store a rollout in arrays that are allocated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.advantages import AdvantageEstimate
from ppocore.advantages.estimators import estimate
from ppocore.backend import Minibatch
from ppocore.training.rollout import Rollout, minibatches
from ppocore.typing import Array


class RolloutBuffer:
    """Hold the arrays of one rollout, allocated once and overwritten in each iteration.

    It has the arrays of a `Rollout` under the same names, with float32 for floating-point arrays, and the
    ``advantages`` and ``returns`` (T, N) that `compute_advantages` fills.
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
        self.last_observations: NDArray[np.float32] = np.zeros((num_envs, observation_size), np.float32)
        self.final_observations: NDArray[np.float32] = np.zeros((0, observation_size), np.float32)
        self.final_index: NDArray[np.intp] = np.zeros((0, 2), np.intp)
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
        """The number of rows, T."""
        return self.rewards.shape[0]

    @property
    def num_envs(self) -> int:
        """The number of columns, N."""
        return self.rewards.shape[1]

    @property
    def rollout(self) -> Rollout:
        """The arrays as a `Rollout`, not copied."""
        return Rollout(**{name: getattr(self, name) for name in Rollout._fields})

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
        """Fill ``advantages`` and ``returns`` with `ppocore.advantages.estimators.estimate`.

        If the rollout is re-evaluated with updated weights, ``values`` and ``next_values`` (T, N) replace those of the
        rollout, and ``log_ratios`` (T, N) are those of the updated policy.
        """
        newer = {"values": values, "next_values": next_values}
        rollout = self.rollout._replace(**{name: array for name, array in newer.items() if array is not None})
        self.advantages, self.returns = estimate(
            rollout, log_ratios, estimator=estimator, value_target=value_target, gamma=gamma, lam=lam, n=n
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
        """Draw minibatches; see `ppocore.training.rollout.minibatches` for the arguments.

        ``before_epoch`` is called before every epoch except the first, and may change ``advantages`` and ``returns``.
        """

        def reestimate() -> AdvantageEstimate[Array]:
            if before_epoch is not None:
                before_epoch()
            return AdvantageEstimate(self.advantages, self.returns)

        yield from minibatches(
            self.rollout,
            AdvantageEstimate(self.advantages, self.returns),
            size,
            rng,
            epochs=epochs,
            normalize_advantages=normalize_advantages,
            advantage_scope=advantage_scope,
            with_parameters=with_parameters,
            reestimate=None if before_epoch is None else reestimate,
            dtype=dtype,
        )
