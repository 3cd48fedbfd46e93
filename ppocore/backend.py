"""Define the interface of a backend.

Only NumPy arrays cross this interface. A backend owns the network's parameters, the loss and the optimizer. All random
numbers are drawn, and all shared decisions are made, outside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ppocore.networks import NetworkSpec, in_chunks
from ppocore.optimizers import OptimizerStep
from ppocore.typing import Array

__all__ = [
    "LOG_RATIO_LIMIT",
    "Backend",
    "BackendActor",
    "BackendFactory",
    "Evaluation",
    "Minibatch",
    "Objective",
    "OptimizerStep",
    "UpdateStats",
    "is_critic",
]

LOG_RATIO_LIMIT = 20.0
"""Bound of the absolute log-ratio, which is clamped before it is exponentiated so that no ratio is infinite."""


class Minibatch(NamedTuple):
    """Hold the B samples of one optimizer step, in the dtype of the computation.

    ``advantages`` are as the loss uses them: already normalized if the settings say so.
    """

    observations: Array  # (B, observation_size)
    actions: Array  # (B,) int64, or (B, action_size)
    log_probs: Array  # (B,) of the actions under the policy that took them
    advantages: Array  # (B,)
    returns: Array  # (B,) value targets
    values: Array  # (B,) of the network that took the actions
    masks: Array | None = None  # (B, mask_size) bool: the allowed actions; None for all
    old_parameters: Array | None = None  # (B, P) of the distribution that took the actions; None without a KL penalty

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that are not None, by name."""
        return {name: array for name, array in zip(self._fields, self, strict=True) if array is not None}


@dataclass(frozen=True)
class Objective:
    """Configure the loss.

    ::

        ratio       = exp(clamp(log_prob - old_log_prob, +-20))
        surrogate   = min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A)     (arXiv:1707.06347, equation 7)
                      ratio A                               where not clip            (equation 6)
                      and no less than dual_clip * A        where A < 0               (arXiv:1912.09729, equation 5)
        policy_loss = -mean(surrogate)
        value_loss  = mean((value - return)^2) / 2, or with a value_clip_range the mean of the larger of that
                      and the same with value clipped to within value_clip_range of the rollout's
        kl          = mean(KL(old policy || policy)), of the distributions              (equation 8)
        loss        = policy_loss + kl_coef * kl - entropy_coef * mean(entropy) + value_coef * value_loss
                      + critic_l2_coef * (sum of the squares of the critic's weights without biases)

    A term with a coefficient of 0 is not computed; ``kl`` is then 0. Of all reported figures, only the loss includes
    the L2 term.
    """

    clip_range: float
    value_clip_range: float | None = None
    entropy_coef: float = 0.0
    value_coef: float = 0.5
    clip: bool = True
    dual_clip: float | None = None
    kl_coef: float = 0.0
    critic_l2_coef: float = 0.0


def is_critic(name: str) -> bool:
    """Return whether a weight belongs to the critic alone, which may have its own learning rate and optimizer."""
    return name.startswith("critic.")


class Evaluation(NamedTuple):
    """Hold the terms of the loss; arrays are (B,)."""

    log_prob: Array
    ratio: Array
    entropy: Array
    value: Array
    policy_loss: float
    value_loss: float
    loss: float
    kl: float


class UpdateStats(NamedTuple):
    """Hold the debug variables of one optimizer step (37 details, core 12), measured before the step.

    ``old_approx_kl`` is mean(-log ratio) and ``approx_kl`` is mean((ratio - 1) - log ratio), the estimator with
    less variance (http://joschu.net/blog/kl-approx.html), at least 0 as in theory. ``clip_fraction`` is the fraction
    of ratios outside the clip range, ``grad_norm`` is the global norm before clipping, and ``kl`` is the divergence in
    the objective, or 0 if it has none.
    """

    loss: float
    policy_loss: float
    value_loss: float
    entropy: float
    old_approx_kl: float
    approx_kl: float
    clip_fraction: float
    grad_norm: float
    kl: float


@runtime_checkable
class Backend(Protocol):
    """Define what a backend does.

    State is a dict of arrays by canonical name (see `ppocore.networks` and `ppocore.optimizers`).
    """

    name: ClassVar[str]
    own_network: Any
    """The user's own network, which keeps its weights and acts through `forward`; None for the built-in network."""

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Return a context manager that limits the framework's threads, and restores the limit at its exit."""

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Compute the terms of the loss, without a step."""

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """Compute the gradient of the loss by weight name, before clipping."""

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Take one optimizer step: scale the gradient by ``min(1, max_grad_norm / norm)``, then apply Adam.

        Raises:
            NonFiniteError: the loss or a gradient is not finite; nothing was changed.
        """

    def weights(self) -> dict[str, Array]:
        """Return the weights as float32 copies."""

    def state(self) -> dict[str, Array]:
        """Return copies of the weights, Adam's moments and its step count."""

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore a state; if it has only weights, the moments start at zero."""


class BackendFactory(Protocol):
    """Create a backend for a network; usually the backend's class."""

    def __call__(self, spec: NetworkSpec, *, precision: str, adam_epsilon: float, device: str) -> Backend:
        """Create the backend, or raise a `UsageError` if the device is not available."""


class BackendActor:
    """Act through a backend's forward pass, for networks that a `NetworkSpec` does not describe."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def load(self, weights: Mapping[str, Array]) -> None:
        """Do nothing, because the backend acts with its own weights."""

    def policy(self, observations: Array) -> Array:
        """Compute the distribution parameters (B, P) of observations (B, O)."""
        return self._backend.forward(observations)[0]

    def values(self, observations: Array) -> Array:
        """Compute the values (B,) of observations (B, O), float32."""
        return in_chunks(lambda rows: self._backend.forward(rows)[1].astype(np.float32), observations)
