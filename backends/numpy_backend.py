"""Implement PPO's network, loss and optimizer in NumPy, with gradients derived by hand.

This is the default backend, and the oracle that the others are compared with. The code follows the papers of PPO
(arXiv:1707.06347, equations 7 and 9) and Adam (arXiv:1412.6980, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import Evaluation, Minibatch, Objective, OptimizerStep, UpdateStats
from ppocore.backends.numpy_loss import Loss
from ppocore.backends.numpy_network import Layout, NumpyNetwork
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, compute_dtype
from ppocore.optimizers import (
    Adam,
    OptimizerState,
    clip_factors,
    from_state,
    gradient_grid,
    norms_apart,
    not_finite,
    per_element,
    to_state,
)

Array = NDArray[Any]


class NumpyBackend:
    """Implement `ppocore.backend.Backend`.

    In exact mode all arithmetic is float64, and the weights and moments are rounded to float32 after every step. In
    float32 mode everything is float32.

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
        self._optimizer, self._grid = Adam(adam_epsilon), gradient_grid(adam_epsilon)
        # The rows are the weights and the optimizer's slots. `_stored` is the state in float32, `_exact` is the same
        # in the dtype of the computation; in float32 mode they are one array.
        self._stored = np.zeros((1 + len(self._optimizer.slots), size), np.float32)
        self._exact = self._stored if dtype == np.float32 else self._stored.astype(dtype)
        self._gradient = np.zeros(size, dtype)
        self._steps = 0
        self._network = NumpyNetwork(spec, self._exact[0], self._gradient)
        self._layout = self._network.layout
        self._distribution = spec.distribution()
        self._frozen_steps = 0
        self._critic = self._layout.critic_elements()

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Do nothing, because NumPy only uses the threads of the linear algebra library, which the run limits."""
        return nullcontext()

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        parameters, values = self._network.forward(observations)
        return parameters.copy(), values.copy()

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Compute the terms of the loss, without a step."""
        terms = self._loss(batch, objective)
        return Evaluation(
            terms.log_prob,
            terms.ratio,
            terms.entropy,
            terms.values.copy(),
            terms.policy_loss,
            terms.value_loss,
            terms.loss,
            terms.kl,
        )

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """Compute the gradient of the loss by weight name, before clipping."""
        self._loss(batch, objective).backward()
        return self._copies(self._gradient)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Take one optimizer step; see `ppocore.backend.Backend.update`."""
        with np.errstate(all="ignore"):  # values that are not finite raise an error below instead
            terms = self._loss(batch, objective)
            terms.backward()
            grad_norm = sqrt(float(self._gradient.dot(self._gradient)))
            if not isfinite(terms.loss + grad_norm):
                raise self._not_finite(terms)
            self._clip(step, grad_norm)
            if self._exact is not self._stored:
                self._gradient += self._grid
                self._gradient -= self._grid
            kept = self._exact[:, ~self._critic] if step.freeze_actor else None
            self._steps += 1
            self._frozen_steps += step.freeze_actor
            self._adam(step)
            if kept is not None:
                self._exact[:, ~self._critic] = kept
            if self._exact is not self._stored:
                np.copyto(self._stored, self._exact, casting="same_kind")
                np.copyto(self._exact, self._stored)
            return terms.stats(grad_norm)

    def _loss(self, batch: Minibatch, objective: Objective) -> Loss:
        return Loss(self._network, self._distribution, batch, objective)

    def _clip(self, step: OptimizerStep, grad_norm: float) -> None:
        """Clip the norm of the gradient, or of each optimizer's part, in place."""
        apart = step.separate and step.max_grad_norm is not None
        factors = clip_factors(step, norms_apart(self._gradient, self._critic) if apart else (grad_norm, grad_norm))
        if factors != (1.0, 1.0):
            self._gradient *= per_element(factors, self._critic, self._gradient.dtype)

    def _adam(self, how: OptimizerStep) -> None:
        """Apply the optimizer's step in place."""
        weights, *slots = self._exact
        dtype = weights.dtype
        factors = self._optimizer.factors(how, self._steps, self._frozen_steps)
        elements = [per_element(pair, self._critic, dtype) for pair in factors]
        self._optimizer.step(np, weights, slots, self._gradient, elements)

    def _not_finite(self, terms: Loss) -> NonFiniteError:
        batch = terms.batch
        tensors = {
            **batch.arrays(),
            "policy output": terms.parameters,
            "value output": terms.values,
            "ratio": terms.ratio,
            **{f"gradient of {name}": g for name, g in self._layout.named(self._gradient).items()},
        }
        return not_finite(self._steps + 1, tensors.items())

    def weights(self) -> dict[str, Array]:
        """Return the weights as float32 copies."""
        return self._copies(self._stored[0])

    def state(self) -> dict[str, Array]:
        """Return copies of the weights, Adam's moments and its step count."""
        weights, *slots = map(self._copies, self._stored)
        return to_state(self._optimizer, OptimizerState(weights, tuple(slots), self._steps, self._frozen_steps))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore a state; if it has only weights, the moments start at zero."""
        weights, slots, self._steps, self._frozen_steps = from_state(self._optimizer, state, self.spec.shapes())
        for row, part in zip(self._stored, (weights, *slots), strict=True):
            for name, view in self._layout.named(row).items():
                np.copyto(view, part[name], casting="same_kind")
        np.copyto(self._exact, self._stored)

    def _copies(self, flat: Array) -> dict[str, Array]:
        return {name: view.copy() for name, view in self._layout.named(flat).items()}
