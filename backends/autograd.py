"""Implement what all backends with automatic differentiation share: statistics, clipping, steps and state.

A framework's backend provides about 25 small operations, a network, and the methods of `AutogradBackend` that
differentiate and store arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import isfinite, prod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import Evaluation, Minibatch, Objective, OptimizerStep, UpdateStats, is_critic
from ppocore.backends.autograd_loss import Coefficients, Tensor, loss_terms, statistics
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, check_outputs, compute_dtype
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


def stepped(
    xp: Any,
    optimizer: Adam,
    grid: float | None,
    tensors: Sequence[Tensor],
    gradient: Tensor,
    clip: Tensor | float,
    factors: Sequence[Tensor | float],
    only: Tensor | None,
) -> list[Tensor]:
    """Return weights and slots after one optimizer step; computed in place for mutable arrays.

    Args:
        xp: the framework's `Operations`.
        optimizer: the optimizer.
        grid: the number that rounds the gradient in exact mode (`gradient_grid`); None in float32 mode.
        tensors: the weights and each slot, flat.
        gradient: the unclipped gradient, flat; may be overwritten.
        clip: the factor that clips the gradient.
        factors: the factors of the optimizer's step (`Adam.factors`).
        only: a mask of the elements to update; None for all.
    """
    gradient *= clip
    if grid is not None:
        gradient += grid
        gradient -= grid
    before = tensors if only is None else [xp.copy(tensor) for tensor in tensors]
    weights, *slots = tensors
    after = optimizer.step(xp, weights, slots, gradient, factors)
    if only is not None:
        after = [xp.where(only, *pair) for pair in zip(after, before, strict=True)]
    return after if grid is None else [xp.rounded(tensor) for tensor in after]


class AutogradBackend:
    """Implement `ppocore.backend.Backend` as the base class of a framework's backend.

    Args:
        spec: the network; may be omitted if ``network`` is given.
        network: the user's own network, which maps observations (B, O) to (distribution parameters (B, P), values
            (B,)). It keeps its weights, is converted to the dtype of ``precision``, and is trained in place. A backend
            with a network and no ``spec`` is passed to `ppocore.train` as its backend.
        precision: ``exact`` (float64 arithmetic, float32 state) or ``float32``.
        adam_epsilon: added to the root of Adam's second moment.
        device: the device to compute on, ``cpu`` or ``cuda``.

    Raises:
        UsageError: a device that is not available, or a network whose outputs have the wrong shape.
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
            return  # not bound to a specification until it is called with one
        self.spec = spec
        self._exact = precision == "exact"
        self._dtype = compute_dtype(precision)
        self._optimizer = Adam(adam_epsilon)
        self._grid = gradient_grid(adam_epsilon) if self._exact else None
        self._steps, self._frozen_steps = 0, 0
        with self._computing():
            self._shapes = self._build(device)
            if not self._shapes:
                raise UsageError(f"the network has no parameter to train: {self._frozen}")
            owners = [np.full(prod(shape), is_critic(name)) for name, shape in self._shapes.items()]
            self._critic = np.concatenate(owners)  # mask of the critic's elements
            if network is not None:
                self._check_outputs()

    _frozen: ClassVar[str]
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
            terms = self._terms(batch, Coefficients.of(objective))
            found: dict[str, Any] = {name: self._array(terms[name]) for name in ("log_prob", "ratio", "entropy")}
            found |= {name: float(terms[name]) for name in ("policy_loss", "value_loss", "loss", "kl")}
            return Evaluation(**found, value=self._array(terms["values"]))

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """Compute the gradient of the loss by weight name, before clipping."""
        with self._computing():
            return self._named(self._backward(batch, Coefficients.of(objective))[1], self._dtype)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """Take one optimizer step; see `ppocore.backend.Backend.update`."""
        with self._computing():
            terms, gradient, figures = self._backward(batch, Coefficients.of(objective))
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

    # A framework's backend defines these.

    _computing: Callable[[], AbstractContextManager[Any]]
    """Context of every computation, in which no gradients are recorded."""
    _recording: Callable[[], AbstractContextManager[Any]]
    """Context in which gradients are recorded."""
    network: Any
    _parameters: Mapping[str, Any]
    """The trainable parameters, by canonical name."""
    _tensors: Sequence[Tensor]
    """The weights and each of the optimizer's slots, flat."""

    def _build(self, device: str) -> dict[str, tuple[int, ...]]:
        """Create the network and its tensors; return the canonical shapes of the trainable parameters by name."""
        raise NotImplementedError

    def _tensor(self, array: Array) -> Tensor:
        """Convert a NumPy array to the framework's, and floating-point numbers to the dtype of the computation."""
        raise NotImplementedError

    def _array(self, tensor: Tensor) -> Array:
        """Convert a tensor to a NumPy array."""
        raise NotImplementedError

    def _gradient(self, loss: Tensor) -> Tensor:
        """Compute the gradient of a recorded loss, flat."""
        raise NotImplementedError

    def _store(self, tensors: Sequence[Tensor]) -> None:
        """Store new weights and slots, also in the network."""
        raise NotImplementedError

    # A framework's backend may override these.

    def _trained(self, network: Any, trains: Callable[[Any], bool]) -> dict[str, Any]:
        """Return the trainable parameters of a network by name; those of the built-in one in canonical order."""
        found = dict(network.named_parameters())
        names = self.spec.shapes() if self.own_network is None else found
        return {name: found[name] for name in names if trains(found[name])}

    def _apply(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.network(observations)
        return outputs

    def _terms(self, batch: Minibatch, coefficients: Coefficients) -> dict[str, Tensor]:
        given = {name: self._tensor(array) for name, array in batch.arrays().items()}
        return loss_terms(self.xp, self.spec, self._apply, self._parameters, given, coefficients)

    def _backward(self, batch: Minibatch, coefficients: Coefficients) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Compute the terms of the loss, its gradient as a flat tensor, and its `statistics`."""
        with self._recording():
            terms = self._terms(batch, coefficients)
            gradient = self._gradient(terms["loss"])
        return terms, gradient, statistics(self.xp, terms, gradient, coefficients.clip_range, None)

    def _stepped(self, gradient: Tensor, clip: Any, factors: Sequence[Any], only: Tensor | None) -> list[Tensor]:
        return stepped(self.xp, self._optimizer, self._grid, self._tensors, gradient, clip, factors, only)

    def _transposed(self, name: str) -> bool:
        """Return whether the framework stores a canonical weight (in, out) as (out, in)."""
        return False

    def _elements(self, pair: tuple[float, float]) -> Tensor | float:
        """Return `per_element`, as a tensor unless it is a single number."""
        elements = per_element(pair, self._critic, self._dtype)
        return elements if isinstance(elements, float) else self._tensor(elements)

    def _named(self, flat: Tensor, dtype: Any = np.float32) -> dict[str, Array]:
        """Return copies of the parts of a flat tensor, by canonical name."""
        array, named, start = self._array(flat).astype(dtype, copy=False), {}, 0
        for name, shape in self._shapes.items():
            piece = array[start : (start := start + prod(shape))]
            piece = piece.reshape(shape[::-1]).T if self._transposed(name) else piece.reshape(shape)
            named[name] = np.array(piece, order="C")
        return named

    def _flat(self, arrays: Mapping[str, Array]) -> Array:
        """Invert `_named`."""
        pieces = [arrays[name].T if self._transposed(name) else arrays[name] for name in self._shapes]
        return np.concatenate([piece.reshape(-1) for piece in pieces])

    def _not_finite(self, batch: Minibatch, terms: Mapping[str, Tensor], gradient: Tensor) -> NonFiniteError:
        fields = {"policy output": "parameters", "value output": "values", "ratio": "ratio"}
        computed = {name: self._array(terms[field]) for name, field in fields.items()}
        gradients = {f"gradient of {name}": array for name, array in self._named(gradient, self._dtype).items()}
        return not_finite(self._steps + 1, {**batch.arrays(), **computed, **gradients}.items())

    def _check_outputs(self) -> None:
        """Check that a user's network returns (B, P) and (B,), before anything is collected."""
        observations = np.zeros((2, self.spec.observation_size))
        try:
            outputs = self._apply(self._tensor(observations))
        except Exception as error:
            raise UsageError(f"the network fails on observations of shape {observations.shape}: {error}") from error
        check_outputs(outputs, 2, self.spec)
