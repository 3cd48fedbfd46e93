"""Define a backend in about forty lines: NumPy's network and loss, and an optimizer step written by hand.

    ppocore check-backend examples.own_backend:OwnBackend
    python examples/own_backend.py

The first command, from the root of a checkout, checks that it computes the same as the numpy backend; the second trains
with it. ``ppocore.backend.Backend`` documents the methods of a backend. A package offers its backend with an entry
point in the group ``ppocore.backends``, and needs no ``ppocore.register_backend``.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, sqrt
from typing import Any

import numpy as np

import ppocore
from ppocore.backend import Minibatch, Objective, OptimizerStep, UpdateStats, is_critic
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.optimizers import ADAM_BETAS, Adam, gradient_grid


def norm(arrays: Iterable[Any]) -> float:
    """Return the norm of all elements together."""
    return sqrt(sum(float(np.vdot(array, array)) for array in arrays))


class OwnBackend(NumpyBackend):
    """Update one tensor at a time, where the numpy backend has all of them in one array."""

    name = "own"

    def __init__(self, spec: Any, *, precision: str = "exact", adam_epsilon: float = 1e-5, device: str = "cpu") -> None:
        super().__init__(spec, precision=precision, adam_epsilon=adam_epsilon, device=device)
        self.epsilon, self.grid = adam_epsilon, gradient_grid(adam_epsilon) if precision == "exact" else None

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Clip the gradient and take an Adam step, in float64 in exact mode; the state is float32."""
        with np.errstate(all="ignore"):
            seen, gradients = self.evaluate(batch, objective), self.gradients(batch, objective)
            total = norm(gradients.values())
            if not isfinite(seen.loss + total):
                return super().update(batch, objective, step)  # raises `NonFiniteError`, which names what is not finite
            state = self.state()
            state["adam.step"] = state["adam.step"] + 1
            state["adam.held"] = state.get("adam.held", 0) + np.int64(step.freeze_actor)
            factors = Adam(self.epsilon).factors(step, int(state["adam.step"]), int(state["adam.held"]))
            for name, gradient in gradients.items():
                critic = is_critic(name)
                if step.freeze_actor and not critic:
                    continue
                mine = norm(g for n, g in gradients.items() if is_critic(n) == critic) if step.separate else total
                if step.max_grad_norm is not None and mine > step.max_grad_norm:
                    gradient = gradient * (step.max_grad_norm / float(np.float32(mine)))
                if self.grid is not None:
                    gradient = gradient + self.grid - self.grid
                self._adam_step(state, name, gradient, *(pair[0 if critic else 1] for pair in factors))
            self.load_state(state)
        log_ratio = np.clip(seen.log_prob - batch.log_probs, -20.0, 20.0)
        old_kl, moved = -float(log_ratio.mean()), seen.ratio - 1.0
        outside = float((np.abs(moved) > objective.clip_range).mean())
        losses = (seen.loss, seen.policy_loss, seen.value_loss, float(seen.entropy.mean()))
        return UpdateStats(*losses, old_kl, float(moved.mean()) + old_kl, outside, total, seen.kl)

    def _adam_step(self, state: dict[str, Any], name: str, gradient: Any, scale: float, rate: float) -> None:
        names, beta1, beta2 = (name, f"adam.m.{name}", f"adam.v.{name}"), *ADAM_BETAS
        weight, first, second = (state[key].astype(gradient.dtype) for key in names)
        first = first * beta1 + gradient * (1.0 - beta1)
        second = second * beta2 + gradient * gradient * (1.0 - beta2)
        weight = weight - first / (np.sqrt(second) * scale + self.epsilon) * rate
        state.update((key, kept.astype(np.float32)) for key, kept in zip(names, (weight, first, second), strict=True))


if __name__ == "__main__":
    ppocore.register_backend("own", OwnBackend)
    config = ppocore.PPOConfig(total_steps=20_000, learning_rate=1e-3)
    for backend in ("own", "numpy"):
        print(backend, ppocore.train("CartPole-v1", config, backend=backend).fingerprint)
