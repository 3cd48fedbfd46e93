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

from ppocore.backend import (
    ADAM_BETAS,
    Evaluation,
    Minibatch,
    Objective,
    OptimizerStep,
    UpdateStats,
    adam_factors,
    gradient_grid,
)
from ppocore.backends.numpy_loss import Loss
from ppocore.backends.numpy_network import Layout, NumpyNetwork
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks.spec import NetworkSpec, compute_dtype
from ppocore.state import AdamState, from_state, not_finite, to_state

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
        limit, gradient = step.max_grad_norm, self._gradient
        if limit is None:
            return
        if not step.separate:
            if grad_norm > limit:
                gradient *= limit / float(np.float32(grad_norm))
            return
        for part in (self._critic, ~self._critic):
            own = gradient[part]
            norm = sqrt(float(own.dot(own)))
            if norm > limit:
                gradient[part] = own * (limit / float(np.float32(norm)))

    def _adam(self, how: OptimizerStep) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root; in place."""
        weights, m, v = self._exact
        g, scratch, step = self._gradient, self._scratch, self._step_size
        beta1, beta2 = ADAM_BETAS
        critic, actor = adam_factors(how, self._steps, self._held)
        scale: Any
        rate: Any
        scale, rate = critic
        if actor != critic:
            pairs = zip(critic, actor, strict=True)
            scale, rate = (np.where(self._critic, *pair).astype(g.dtype) for pair in pairs)
        m *= beta1
        m += np.multiply(g, 1.0 - beta1, out=scratch)
        v *= beta2
        np.multiply(g, g, out=scratch)
        v += np.multiply(scratch, 1.0 - beta2, out=scratch)
        np.sqrt(v, out=scratch)
        scratch *= scale
        scratch += self._adam_epsilon
        np.divide(m, scratch, out=step)
        step *= rate
        weights -= step

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
        weights, first, second = map(self._copies, self._stored)
        return to_state(AdamState(weights, first, second, self._steps, self._held))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        *parts, self._steps, self._held = from_state(state, self.spec.shapes())
        for row, part in zip(self._stored, parts, strict=True):
            for name, view in self._layout.named(row).items():
                np.copyto(view, part[name], casting="same_kind")
        np.copyto(self._exact, self._stored)

    def _copies(self, flat: Array) -> dict[str, Array]:
        return {name: view.copy() for name, view in self._layout.named(flat).items()}
