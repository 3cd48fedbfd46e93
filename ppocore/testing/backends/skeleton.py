"""Fill in a backend; check it with ppocore check-backend FILE.py:MyBackend, and train with train(backend=MyBackend).

`ppocore.backend.Backend` says what each method does, `ppocore.backend.Objective` what the loss is. Names and shapes of
the weights are those of ``spec.shapes()``, stored (in, out); `ppocore.optimizers` steps, and makes and reads the state.
For a framework that differentiates, derive from ``ppocore.backends.autograd.AutogradBackend`` instead. The repository
has a whole backend in forty lines, examples/own_backend.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ppocore.backend import Evaluation, Minibatch, Objective, OptimizerStep, UpdateStats
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec


class MyBackend:
    """Compute the updates in a framework of your own."""

    name = "mine"
    own_network = None  # the built-in network, which acts in NumPy with `weights`

    def __init__(self, spec: NetworkSpec, *, precision: str, adam_epsilon: float, device: str) -> None:
        if device != "cpu":
            raise UsageError(f"device={device!r}: the {self.name} backend computes on the cpu")
        self.spec, self.precision, self.adam_epsilon = spec, precision, adam_epsilon

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Limit the framework's threads, and restore the limit at the exit."""
        return nullcontext()

    def forward(self, observations: Any) -> tuple[Any, Any]:
        """Return the distribution's parameters (B, P) and the values (B,) of observations (B, O)."""
        raise NotImplementedError

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Return the terms of the loss, without a step."""
        raise NotImplementedError

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Any]:
        """Return the gradient of the loss by weight name, before clipping."""
        raise NotImplementedError

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Take one optimizer step; raise `ppocore.errors.NonFiniteError`, and change nothing, if it is not finite."""
        raise NotImplementedError

    def weights(self) -> dict[str, Any]:
        """Return the weights as float32 copies, by name."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return copies of the weights, the optimizer's moments and its step count."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a state; if it has only weights, the moments start at zero."""
        raise NotImplementedError
