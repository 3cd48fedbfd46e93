"""PPO's network, loss and optimizer in NumPy, with gradients derived by hand.

The default backend, and the oracle that the others are held against.  Written to be read next to the paper
(arXiv:1707.06347, equations 7 and 9) and Adam's (arXiv:1412.6980, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import ADAM_BETAS, LOG_RATIO_LIMIT, Evaluation, Minibatch, Objective, UpdateStats, gradient_grid
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, compute_dtype
from ppocore.state import AdamState, from_state, not_finite, to_state

from .numpy_network import Layout, NumpyNetwork

Array = NDArray[Any]


class NumpyBackend:
    """See `ppocore.backend.Backend`.

    In exact mode all arithmetic is float64 and the weights and moments are rounded to float32 after every
    step; in float32 mode everything is float32.

    Args:
        spec: the network.
        precision: ``exact`` or ``float32``.
        adam_epsilon: added to the root of Adam's second moment.
        device: ``cpu``.

    Raises:
        UsageError: another device.
    """

    name: ClassVar[str] = "numpy"
    own_network = None

    def __init__(
        self, spec: NetworkSpec, *, precision: str = "exact", adam_epsilon: float = 1e-5, device: str = "cpu"
    ) -> None:
        if device != "cpu":
            raise UsageError(f"device={device!r}: the numpy backend computes on the cpu; use torch or paddle")
        self.spec = spec
        dtype = compute_dtype(precision)
        size = Layout(spec).size
        # Rows: weights, first moments, second moments.  `_stored` is what is kept, `_exact` what is computed
        # with; in float32 mode they are the same array.
        self._stored = np.zeros((3, size), np.float32)
        self._exact = self._stored if dtype == np.float32 else self._stored.astype(dtype)
        self._gradient, self._scratch, self._step_size = (np.zeros(size, dtype) for _ in range(3))
        self._steps = 0
        self._adam_epsilon, self._grid = adam_epsilon, gradient_grid(adam_epsilon)
        self._network = NumpyNetwork(spec, self._exact[0], self._gradient)
        self._layout = self._network.layout
        self._distribution = spec.distribution()

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """The linear algebra library's threads are all that NumPy has, and the trainer limits those."""
        return nullcontext()

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        parameters, values = self._network.forward(observations)
        return parameters.copy(), values.copy()

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Every term of the loss, without a step."""
        terms = _Loss(self, batch, objective)
        return Evaluation(
            terms.log_prob,
            terms.ratio,
            terms.entropy,
            terms.values.copy(),
            terms.policy_loss,
            terms.value_loss,
            terms.loss,
        )

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""
        _Loss(self, batch, objective).backward()
        return self._copies(self._gradient)

    def update(
        self, batch: Minibatch, objective: Objective, *, learning_rate: float, max_grad_norm: float | None
    ) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        with np.errstate(all="ignore"):  # what is not finite is found and named here, not warned of
            terms = _Loss(self, batch, objective)
            terms.backward()
            grad_norm = sqrt(float(self._gradient.dot(self._gradient)))
            if not isfinite(terms.loss + grad_norm):
                raise self._not_finite(terms)
            if max_grad_norm is not None and grad_norm > max_grad_norm:
                self._gradient *= max_grad_norm / float(np.float32(grad_norm))
            if self._exact is not self._stored:
                self._gradient += self._grid
                self._gradient -= self._grid
            self._adam(learning_rate)
            return terms.stats(grad_norm)

    def _adam(self, learning_rate: float) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root; in place."""
        weights, m, v = self._exact
        g, scratch, step = self._gradient, self._scratch, self._step_size
        beta1, beta2 = ADAM_BETAS
        self._steps += 1
        m *= beta1
        m += np.multiply(g, 1.0 - beta1, out=scratch)
        v *= beta2
        np.multiply(g, g, out=scratch)
        v += np.multiply(scratch, 1.0 - beta2, out=scratch)
        np.sqrt(v, out=scratch)
        scratch *= 1.0 / sqrt(1.0 - beta2**self._steps)
        scratch += self._adam_epsilon
        np.divide(m, scratch, out=step)
        step *= learning_rate / (1.0 - beta1**self._steps)
        weights -= step
        if self._exact is not self._stored:
            np.copyto(self._stored, self._exact, casting="same_kind")
            np.copyto(self._exact, self._stored)

    def _not_finite(self, terms: _Loss) -> NonFiniteError:
        batch = terms.batch
        tensors = {
            **batch._asdict(),
            "policy output": terms.parameters,
            "value output": terms.values,
            "ratio": terms.ratio,
            **{f"gradient of {name}": g for name, g in self._layout.named(self._gradient).items()},
        }
        return not_finite(self._steps + 1, tensors.items())

    def weights(self) -> dict[str, Array]:
        """The weights alone, as float32 copies."""
        return self._copies(self._stored[0])

    def state(self) -> dict[str, Array]:
        """The weights, Adam's moments and its step count: copies."""
        weights, first, second = map(self._copies, self._stored)
        return to_state(AdamState(weights, first, second, self._steps))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        *parts, self._steps = from_state(state, self.spec.shapes())
        for row, part in zip(self._stored, parts, strict=True):
            for name, view in self._layout.named(row).items():
                np.copyto(view, part[name], casting="same_kind")
        np.copyto(self._exact, self._stored)

    def _copies(self, flat: Array) -> dict[str, Array]:
        return {name: view.copy() for name, view in self._layout.named(flat).items()}


class _Loss:
    """The forward pass, the terms of the loss, and what they hand back to the network."""

    def __init__(self, backend: NumpyBackend, batch: Minibatch, objective: Objective) -> None:
        self.batch, self.objective = batch, objective
        self._network = backend._network
        self.parameters, self.values = backend._network.forward(batch.observations)
        self.log_prob, self.entropy, self._pullback = backend._distribution.evaluate(self.parameters, batch.actions)
        self._policy_terms()
        self._value_terms()
        self.mean_entropy = float(self.entropy.sum()) / len(self.entropy)
        self.loss = (
            self.policy_loss - objective.entropy_coef * self.mean_entropy + objective.value_coef * self.value_loss
        )

    def _policy_terms(self) -> None:
        advantages, clip = self.batch.advantages, self.objective.clip_range
        log_ratio = self.log_prob - self.batch.log_probs
        self.log_ratio = np.minimum(np.maximum(log_ratio, -LOG_RATIO_LIMIT), LOG_RATIO_LIMIT)
        self.ratio = np.exp(self.log_ratio)
        self.surrogate = self.ratio * advantages
        clipped = np.minimum(np.maximum(self.ratio, 1.0 - clip), 1.0 + clip)
        clipped *= advantages
        # Where the minimum is the clipped term the ratio lies outside the range, and nothing flows back.
        self.flows = (self.surrogate <= clipped) & (self.log_ratio == log_ratio)
        self.policy_loss = -float(np.minimum(self.surrogate, clipped).sum()) / len(advantages)

    def _value_terms(self) -> None:
        returns, limit = self.batch.returns, self.objective.value_clip_range
        self.error = self.values - returns
        if limit is not None:
            moved = self.values - self.batch.values
            bounded = np.minimum(np.maximum(moved, -limit), limit)
            clipped_error = self.batch.values + bounded - returns
            squares, clipped_squares = self.error * self.error, clipped_error * clipped_error
            self.value_loss = 0.5 * float(np.maximum(squares, clipped_squares).sum()) / len(returns)
            # Nothing flows back through a clipped value.  Inside the range both errors are the same but for
            # rounding, so that the range decides and not which of them is larger.
            self.error = np.where((clipped_squares > squares) & (np.abs(moved) > limit), 0.0, self.error)
        else:
            self.value_loss = 0.5 * float(self.error.dot(self.error)) / len(returns)

    def backward(self) -> None:
        """Write the gradient of the loss to the backend's flat gradient."""
        count, objective = len(self.ratio), self.objective
        d_log_prob = np.where(self.flows, self.surrogate * (-1.0 / count), 0.0)
        d_entropy = np.full(count, -objective.entropy_coef / count, self.ratio.dtype)
        d_values = self.error * (objective.value_coef / count)
        self._network.backward(self._pullback(d_log_prob, d_entropy), d_values)

    def stats(self, grad_norm: float) -> UpdateStats:
        """The debug variables of this step."""
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
            float(moved.sum()) / count + old_approx_kl,
            outside / count,
            grad_norm,
        )
