"""Implement once what every backend with automatic differentiation shares: loss, statistics, steps and state.

A framework supplies some 25 small operations, and the few methods of `AutogradBackend` that say how it differentiates
and where its arrays are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import isfinite, prod
from typing import Any, ClassVar, Self

import numpy as np

from ppocore.backend import Evaluation, Minibatch, Objective, OptimizerStep, UpdateStats, is_critic
from ppocore.backends.autograd_loss import Tensor, loss_terms, statistics
from ppocore.backends.autograd_network import built_in
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, check_network, compute_dtype
from ppocore.optimizers import (
    Adam,
    OptimizerState,
    clip_factors,
    from_state,
    gradient_grid,
    norms_apart,
    not_finite,
    per_element,
    stepped,
    to_state,
)
from ppocore.typing import Array


class AutogradBackend(ABC):
    """Implement `ppocore.backend.Backend` as the base class of a framework's backend.

    Args:
        spec: the network; not needed where ``network`` is given, see below.
        network: one of the user's own, from observations (B, O) to (distribution parameters (B, P), values (B,)); it
            keeps the weights it has, is converted to the precision's dtype and trained in place. A backend made of a
            network alone is given to `ppocore.train` as its backend.
        precision: ``exact`` (float64 arithmetic, float32 state) or ``float32``.
        adam_epsilon: added to the root of Adam's second moment.
        device: where to compute, ``cpu`` or ``cuda``.

    Raises:
        UsageError: a device that this machine lacks, or a network whose outputs have the wrong shape.
    """

    name: ClassVar[str]
    xp: ClassVar[Any]
    """The framework's `Operations`."""
    own_network: Any
    network_type: ClassVar[type]
    """The type of a user's own network."""

    def __init__(
        self,
        spec: NetworkSpec | None = None,
        *,
        network: Any = None,
        precision: str = "exact",
        adam_epsilon: float = 1e-5,
        device: str = "cpu",
    ) -> None:
        if network is not None and not isinstance(network, self.network_type):
            raise UsageError(f"network={network!r} must be a {self.name}.nn.{self.network_type.__name__}")
        self.own_network = network
        if spec is None:
            if network is None:
                raise UsageError(f"{type(self).__name__} needs a NetworkSpec or a network")
            return  # unbound: calling it with a specification makes the backend
        self.spec = spec
        self._exact = precision == "exact"
        self._dtype = compute_dtype(precision)
        self._optimizer = Adam(adam_epsilon)
        self._grid = gradient_grid(adam_epsilon) if self._exact else None
        self._steps, self._frozen_steps = 0, 0
        with self._computing():
            self._parameters = self._build(device)
            if not self._parameters:
                raise UsageError(f"the network has no parameter to train: {self._untrainable}")
            self._shapes = {name: tuple(parameter.shape) for name, parameter in self._parameters.items()}
            flat = self._flat({name: self._array(parameter) for name, parameter in self._parameters.items()})
            zeros = [np.zeros_like(flat) for _ in self._optimizer.slots]
            self._store([self._tensor(array.astype(np.float32)) for array in (flat, *zeros)])
            owners = [np.full(prod(shape), is_critic(name)) for name, shape in self._shapes.items()]
            self._critic = np.concatenate(owners)  # which elements are the critic's
            if network is not None:
                check_network(lambda observations: self._apply(self._tensor(observations)), spec)

    _untrainable: ClassVar[str]
    """Why no parameter of a network is trainable, for an error message."""

    def __call__(self, spec: NetworkSpec, **settings: Any) -> Self:
        """Create a backend for ``spec`` with this backend's network; called by `ppocore.train`."""
        return type(self)(spec, network=self.own_network, **settings)

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Do nothing; for a framework that uses the threads of the linear algebra library, which the run limits."""
        return nullcontext()

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        with self._computing():
            parameters, values = self._apply(self._tensor(observations))
            return self._array(parameters), self._array(values)

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Compute the terms of the loss, without a step."""
        with self._computing():
            terms = self._terms(batch, objective)
            found: dict[str, Any] = {name: self._array(terms[name]) for name in ("log_prob", "ratio", "entropy")}
            found |= {name: float(terms[name]) for name in ("policy_loss", "value_loss", "loss", "kl")}
            return Evaluation(**found, value=self._array(terms["values"]))

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """Compute the gradient of the loss by weight name, before clipping."""
        with self._computing():
            return self._named(self._backward(batch, objective)[1], self._dtype)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Take one optimizer step; see `ppocore.backend.Backend.update`."""
        with self._computing():
            terms, gradient, figures = self._backward(batch, objective)
            stats = UpdateStats(*figures.tolist())
            if not isfinite(stats.loss + stats.grad_norm):
                raise self._not_finite(batch, terms, gradient)
            apart = step.separate and step.max_grad_norm is not None
            norms = norms_apart(self._array(gradient), self._critic) if apart else (stats.grad_norm,) * 2
            self._steps += 1
            self._frozen_steps += step.freeze_actor
            pairs = [clip_factors(step, norms), *self._optimizer.factors(step, self._steps, self._frozen_steps)]
            clip, *factors = [self._elements(pair) for pair in pairs]
            only = self._tensor(self._critic) if step.freeze_actor else None
            self._store(self._stepped(gradient, clip, factors, only))
            return stats

    def weights(self) -> dict[str, Array]:
        """Return the weights as float32 copies."""
        with self._computing():
            return self._named(self._tensors[0])

    def state(self) -> dict[str, Array]:
        """Return copies of the weights, Adam's moments and its step count."""
        with self._computing():
            weights, *slots = map(self._named, self._tensors)
        return to_state(self._optimizer, OptimizerState(weights, tuple(slots), self._steps, self._frozen_steps))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore a state; if it has only weights, the moments start at zero."""
        loaded = from_state(self._optimizer, state, self._shapes)
        with self._computing():
            self._store([self._tensor(self._flat(arrays)) for arrays in (loaded.weights, *loaded.slots)])
        self._steps, self._frozen_steps = loaded.step, loaded.frozen_steps

    # What a framework's backend defines.

    _computing: Callable[[], AbstractContextManager[Any]]
    """Context of every computation, in which no gradients are recorded."""
    _recording: Callable[[], AbstractContextManager[Any]]
    """Context in which gradients are recorded; where `_backward` is not overridden."""
    _gradient: Callable[[Any], Any]
    """Compute the gradient of a recorded loss, flat; where `_backward` is not overridden."""
    _tensors: Sequence[Tensor] = ()
    """The weights and each of the optimizer's slots, flat."""

    @abstractmethod
    def _build(self, device: str) -> dict[str, Tensor]:
        """Return the trainable parameters by canonical name: of the user's network, or new ones of the built-in."""

    @abstractmethod
    def _tensor(self, array: Array) -> Tensor:
        """Convert a NumPy array to the framework's, and floating-point numbers to the dtype of the computation."""

    @abstractmethod
    def _array(self, tensor: Tensor) -> Array:
        """Convert a tensor to a NumPy array."""

    @abstractmethod
    def _store(self, tensors: Sequence[Tensor]) -> None:
        """Store new weights and slots, also in the network."""

    # What a framework's backend may define otherwise.

    def _apply(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        if self.own_network is None:
            return built_in(self.xp, self.spec, self._parameters, observations)
        outputs: tuple[Tensor, Tensor] = self.own_network(observations)
        return outputs

    def _terms(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        given = {name: self._tensor(array) for name, array in batch.arrays().items()}
        return loss_terms(self.xp, self.spec, self._apply, self._parameters, given, objective, objective)

    def _backward(self, batch: Minibatch, objective: Objective) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Compute the terms of the loss, its gradient as a flat tensor, and its `statistics`."""
        with self._recording():
            terms = self._terms(batch, objective)
            gradient = self._gradient(terms["loss"])
        return terms, gradient, statistics(self.xp, terms, gradient, objective.clip_range, None)

    def _stepped(self, gradient: Tensor, clip: Any, factors: Sequence[Any], only: Tensor | None) -> list[Tensor]:
        return stepped(self.xp, self._optimizer, self._grid, self._tensors, gradient, clip, factors, only)

    def _elements(self, pair: tuple[float, float]) -> Tensor | float:
        """Return `per_element`, as a tensor unless it is a single number."""
        elements = per_element(pair, self._critic, self._dtype)
        return elements if isinstance(elements, float) else self._tensor(elements)

    def _pieces(self, flat: Any) -> dict[str, Any]:
        """Split a flat tensor or array into its parts, by canonical name."""
        found, start = {}, 0
        for name, shape in self._shapes.items():
            found[name] = flat[start : (start := start + prod(shape))].reshape(shape)
        return found

    def _named(self, flat: Tensor, dtype: Any = np.float32) -> dict[str, Array]:
        """Return copies of the parts of a flat tensor, by canonical name."""
        return {name: piece.astype(dtype) for name, piece in self._pieces(self._array(flat)).items()}

    def _flat(self, arrays: Mapping[str, Array]) -> Array:
        """Invert `_named`."""
        return np.concatenate([arrays[name].reshape(-1) for name in self._shapes])

    def _not_finite(self, batch: Minibatch, terms: Mapping[str, Tensor], gradient: Tensor) -> NonFiniteError:
        fields = {"policy output": "parameters", "value output": "values", "ratio": "ratio"}
        computed = {name: self._array(terms[field]) for name, field in fields.items()}
        gradients = {f"gradient of {name}": array for name, array in self._named(gradient, self._dtype).items()}
        return not_finite(self._steps + 1, {**batch.arrays(), **computed, **gradients}.items())
