"""Compute PPO's loss in NumPy and its gradient by the network's outputs; see `ppocore.backend.Objective`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import LOG_RATIO_LIMIT, Minibatch, Objective, UpdateStats
from ppocore.backends.numpy_network import NumpyNetwork
from ppocore.distributions import Distribution

Array = NDArray[Any]


class Loss:
    """Compute the forward pass, the terms of the loss, and their gradients by the network's outputs."""

    def __init__(
        self, network: NumpyNetwork, distribution: Distribution, batch: Minibatch, objective: Objective
    ) -> None:
        self.batch, self.objective = batch, objective
        self._network, self._distribution = network, distribution
        self.parameters, self.values = network.forward(batch.observations)
        parameters = self._masked(self.parameters)
        self.log_prob, self.entropy, self._pullback = distribution.evaluate(parameters, batch.actions)
        self._policy_terms()
        self._value_terms()
        self._divergence(parameters)
        self.mean_entropy = float(self.entropy.sum()) / len(self.entropy)
        self.loss = (
            self.policy_loss - objective.entropy_coef * self.mean_entropy + objective.value_coef * self.value_loss
        )
        if objective.kl_coef:
            self.loss += objective.kl_coef * self.kl
        if objective.critic_l2_coef:
            squares = sum(float(np.vdot(weight, weight)) for weight, _ in network.critic_weights())
            self.loss += objective.critic_l2_coef * squares

    def _masked(self, parameters: Array) -> Array:
        masks = self.batch.masks
        return parameters if masks is None else self._distribution.apply_masks(parameters, masks)

    def _divergence(self, parameters: Array) -> None:
        self.kl = 0.0
        if self.objective.kl_coef:
            if self.batch.old_parameters is None:
                raise ValueError("an objective with a kl_coef needs the minibatch's old_parameters")
            kl, self._kl_pullback = self._distribution.divergence(self._masked(self.batch.old_parameters), parameters)
            self.kl = float(kl.sum()) / len(kl)

    def _policy_terms(self) -> None:
        advantages, clip = self.batch.advantages, self.objective.clip_range
        log_ratio = self.log_prob - self.batch.log_probs
        self.log_ratio = np.minimum(np.maximum(log_ratio, -LOG_RATIO_LIMIT), LOG_RATIO_LIMIT)
        self.ratio = np.exp(self.log_ratio)
        self.surrogate = self.ratio * advantages
        self.flows = self.log_ratio == log_ratio
        surrogate = self.surrogate
        if self.objective.clip:
            clipped = np.minimum(np.maximum(self.ratio, 1.0 - clip), 1.0 + clip)
            clipped *= advantages
            # Where the minimum is the clipped term, the ratio is outside the clip range and the gradient is 0.
            self.flows &= surrogate <= clipped
            surrogate = np.minimum(surrogate, clipped)
        if self.objective.dual_clip is not None:
            least = self.objective.dual_clip * advantages
            held = (advantages < 0.0) & (surrogate < least)
            self.flows &= ~held
            surrogate = np.where(held, least, surrogate)
        self.policy_loss = -float(surrogate.sum()) / len(advantages)

    def _value_terms(self) -> None:
        returns, limit = self.batch.returns, self.objective.value_clip_range
        self.error = self.values - returns
        if limit is not None:
            moved = self.values - self.batch.values
            bounded = np.minimum(np.maximum(moved, -limit), limit)
            clipped_error = self.batch.values + bounded - returns
            squares, clipped_squares = self.error * self.error, clipped_error * clipped_error
            self.value_loss = 0.5 * float(np.maximum(squares, clipped_squares).sum()) / len(returns)
            # The gradient of a clipped value is 0. Inside the clip range both errors are equal up to rounding, so the
            # range decides, and not only which error is larger.
            self.error = np.where((clipped_squares > squares) & (np.abs(moved) > limit), 0.0, self.error)
        else:
            self.value_loss = 0.5 * float(self.error.dot(self.error)) / len(returns)

    def backward(self) -> None:
        """Write the gradient of the loss to the backend's flat gradient."""
        count, objective = len(self.ratio), self.objective
        d_log_prob = np.where(self.flows, self.surrogate * (-1.0 / count), 0.0)
        d_entropy = np.full(count, -objective.entropy_coef / count, self.ratio.dtype)
        d_values = self.error * (objective.value_coef / count)
        d_parameters = self._pullback(d_log_prob, d_entropy)
        if objective.kl_coef:
            d_parameters += self._kl_pullback(np.full(count, objective.kl_coef / count, self.ratio.dtype))
        self._network.backward(d_parameters, d_values)
        if objective.critic_l2_coef:
            for weight, gradient in self._network.critic_weights():
                gradient += (2.0 * objective.critic_l2_coef) * weight

    def stats(self, grad_norm: float) -> UpdateStats:
        """Return the debug variables of this step."""
        count = len(self.ratio)
        moved = self.ratio - 1.0
        outside = np.count_nonzero(np.abs(moved) > self.objective.clip_range)
        old_approx_kl = -float(self.log_ratio.sum()) / count
        return UpdateStats(
            self.loss,
            self.policy_loss,
            self.value_loss,
            self.mean_entropy,
            old_approx_kl,
            max(0.0, float(moved.sum()) / count + old_approx_kl),
            outside / count,
            grad_norm,
            self.kl,
        )
