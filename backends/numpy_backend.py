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
        self._optimizer, self._grid = Adam(adam_epsilon), gradient_grid(adam_epsilon)
        # Rows: the weights, then the optimizer's slots. `_stored` is what is kept, `_exact` what is computed with; in
        # float32 mode they are the same array.
        self._stored = np.zeros((1 + len(self._optimizer.slots), size), np.float32)
        self._exact = self._stored if dtype == np.float32 else self._stored.astype(dtype)
        self._gradient = np.zeros(size, dtype)
        self._steps = 0
        self._network = NumpyNetwork(spec, self._exact[0], self._gradient)
        self._layout = self._network.layout
        self._distribution = spec.distribution()
        self._held = 0
        self._critic = self._layout.critic_elements()

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """The linear algebra library's threads are all that NumPy has, and the trainer limits those."""
        return nullcontext()

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        parameters, values = self._network.forward(observations)
        return parameters.copy(), values.copy()

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Every term of the loss, without a step."""
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
        """The gradient of the loss by weight name, before clipping."""
        self._loss(batch, objective).backward()
        return self._copies(self._gradient)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        with np.errstate(all="ignore"):  # what is not finite is found and named here, not warned of
            terms = self._loss(batch, objective)
            terms.backward()
            grad_norm = sqrt(float(self._gradient.dot(self._gradient)))
            if not isfinite(terms.loss + grad_norm):
                raise self._not_finite(terms)
            self._clip(step, grad_norm)
            if self._exact is not self._stored:
                self._gradient += self._grid
                self._gradient -= self._grid
            kept = self._exact[:, ~self._critic] if step.hold_actor else None
            self._steps += 1
            self._held += step.hold_actor
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
        """Hold the gradient's norm, or each optimizer's, to what is allowed; in place."""
        apart = step.separate and step.max_grad_norm is not None
        factors = clip_factors(step, norms_apart(self._gradient, self._critic) if apart else (grad_norm, grad_norm))
        if factors != (1.0, 1.0):
            self._gradient *= per_element(factors, self._critic, self._gradient.dtype)

    def _adam(self, how: OptimizerStep) -> None:
        """The optimizer's step; in place."""
        weights, *slots = self._exact
        dtype = weights.dtype
        factors = self._optimizer.factors(how, self._steps, self._held)
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
        """The weights alone, as float32 copies."""
        return self._copies(self._stored[0])

    def state(self) -> dict[str, Array]:
        """The weights, Adam's moments and its step count: copies."""
        weights, *slots = map(self._copies, self._stored)
        return to_state(self._optimizer, OptimizerState(weights, tuple(slots), self._steps, self._held))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        weights, slots, self._steps, self._held = from_state(self._optimizer, state, self.spec.shapes())
        for row, part in zip(self._stored, (weights, *slots), strict=True):
            for name, view in self._layout.named(row).items():
                np.copyto(view, part[name], casting="same_kind")
        np.copyto(self._exact, self._stored)

    def _copies(self, flat: Array) -> dict[str, Array]:
        return {name: view.copy() for name, view in self._layout.named(flat).items()}
