"""The seam: what a backend is given and what it gives back.

NumPy arrays cross it and nothing else.  A backend owns the network's parameters, the loss and the
optimizer; everything random, and everything that can be decided once, is decided on this side.
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
"""The log-ratio is clamped to +-this before it is exponentiated, so that no ratio is infinite."""


class Minibatch(NamedTuple):
    """Samples of one optimizer step, in the dtype of arithmetic; B samples.

    ``advantages`` come as the loss uses them: normalised, where that is asked for, on this side of the seam.
    """

    observations: Array  # (B, observation_size)
    actions: Array  # (B,) int64, or (B, action_size)
    log_probs: Array  # (B,) of the actions when they were taken
    advantages: Array  # (B,)
    returns: Array  # (B,) value targets
    values: Array  # (B,) when the actions were taken
    masks: Array | None = None  # (B, mask_size) bool: which actions were allowed; None for all
    old_parameters: Array | None = None  # (B, P) of the distribution when they were taken; None without a KL penalty

    def arrays(self) -> dict[str, Array]:
        """The arrays that are there, by name."""
        return {name: array for name, array in zip(self._fields, self, strict=True) if array is not None}


@dataclass(frozen=True)
class Objective:
    """The loss.

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
                      + critic_l2_coef * (sum of the squares of the critic's weights, biases apart)

    What has a coefficient of 0 is not computed: ``kl`` is 0 then.  The L2 term is not part of any figure that is
    reported but the loss.
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
    """Whether a weight is the critic's own: the part that has a learning rate and an optimizer of its own."""
    return name.startswith("critic.")


class Evaluation(NamedTuple):
    """Everything the loss is made of, without a step; arrays (B,)."""

    log_prob: Array
    ratio: Array
    entropy: Array
    value: Array
    policy_loss: float
    value_loss: float
    loss: float
    kl: float


class UpdateStats(NamedTuple):
    """Debug variables of one optimizer step (37 details, core 12), measured before it.

    ``old_approx_kl`` is mean(-log ratio) and ``approx_kl`` mean((ratio - 1) - log ratio), the estimator with
    less variance (http://joschu.net/blog/kl-approx.html); ``clip_fraction`` is how many ratios lay outside the
    clip range; ``grad_norm`` is the global norm before clipping; ``kl`` is the divergence of the objective, 0 where
    it has none.
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
    """What a backend does.

    State is a dict of arrays under canonical names (see `ppocore.networks` and `ppocore.optimizers`).
    """

    name: ClassVar[str]
    own_network: Any
    """A network that the user brought, else None; it then keeps its own weights and acts through `forward`."""

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Limits the framework's own threads while it is entered, and leaves them as found."""

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Every term of the loss, without a step."""

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """One optimizer step: gradient * min(1, max_grad_norm / norm), then Adam.

        Raises:
            NonFiniteError: the loss or a gradient is not finite; nothing was changed.
        """

    def weights(self) -> dict[str, Array]:
        """The weights alone, as float32 copies."""

    def state(self) -> dict[str, Array]:
        """The weights, Adam's moments and its step count: copies."""

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""


class BackendFactory(Protocol):
    """Makes a backend for a network: usually the backend's class."""

    def __call__(self, spec: NetworkSpec, *, precision: str, adam_epsilon: float, device: str) -> Backend:
        """The backend; `UsageError` where the device is not to be had."""


class BackendActor:
    """Acting through a backend's own forward pass, for networks that a `NetworkSpec` does not describe."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def load(self, weights: Mapping[str, Array]) -> None:
        """Nothing: the backend acts with the weights it has."""

    def policy(self, observations: Array) -> Array:
        """Distribution parameters (B, P) for observations (B, O)."""
        return self._backend.forward(observations)[0]

    def values(self, observations: Array) -> Array:
        """Values (B,) for observations (B, O), float32."""
        return in_chunks(lambda rows: self._backend.forward(rows)[1].astype(np.float32), observations)
