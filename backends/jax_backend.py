"""Implement the backend for JAX, on top of `ppocore.backends.autograd`, with compiled updates.

Two functions are compiled for each kind of loss and number of rows: the loss with its gradient, and the optimizer's
step. Clipping and the check for values that are not finite happen between them, in NumPy, as on every backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array as Tensor
from jax import lax
from jax import numpy as jnp

from ppocore.backend import Minibatch, Objective
from ppocore.backends.autograd import AutogradBackend
from ppocore.backends.autograd_loss import loss_terms, statistics
from ppocore.backends.autograd_network import built_in
from ppocore.backends.jax_network import Apply, JaxNetwork, Layout
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec
from ppocore.optimizers import Adam, stepped
from ppocore.typing import Array


class Operations:
    """Provide the operations that `ppocore.backends.autograd_loss` needs."""

    abs, exp, log, log1p, sqrt, sigmoid = jnp.abs, jnp.exp, jnp.log, jnp.log1p, jnp.sqrt, jax.nn.sigmoid
    minimum, maximum, where, stack, square = jnp.minimum, jnp.maximum, jnp.where, jnp.stack, jnp.square
    zeros_like, full_like, concat, broadcast_to = jnp.zeros_like, jnp.full_like, jnp.concatenate, jnp.broadcast_to
    relu, probability, log_softmax, take_along_axis = jax.nn.relu, jnp.exp, jax.nn.log_softmax, jnp.take_along_axis
    lgamma, digamma, stop_gradient = jax.scipy.special.gammaln, jax.scipy.special.digamma, lax.stop_gradient

    @staticmethod
    def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute ``x @ weight + bias``."""
        return x @ weight + bias

    @staticmethod
    def clip(x: Tensor, low: Any, high: Any) -> Tensor:
        """Clip to a range; the gradient of `jnp.clip` would be 0.5 at a bound."""
        return jnp.where(x < low, low, jnp.where(x > high, high, x))

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
        """Split into groups of the given sizes along an axis."""
        return jnp.split(x, np.cumsum(sizes)[:-1], axis)

    @staticmethod
    def constant(array: Array, like: Tensor) -> Tensor:
        """Convert an array to a tensor without a gradient."""
        return jnp.asarray(array, like.dtype)


@dataclass(frozen=True)
class BuiltIn:
    """Implement the network of a `NetworkSpec`; equal networks share their compiled functions."""

    spec: NetworkSpec

    def __call__(self, pieces: Sequence[Tensor], observations: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        weights = dict(zip(self.spec.shapes(), pieces, strict=True))
        return built_in(Operations, self.spec, weights, observations)


@dataclass(frozen=True, slots=True)
class Unfused:
    """Wrap numbers so that XLA cannot fuse multiplications with additions.

    A fused multiply-add rounds once where all other backends round twice. The exclusive or of each result's bits with
    a zero prevents it; the zero is an argument, so the compiler does not know its value.
    """

    x: Tensor
    zero: Tensor

    def _made(self, x: Tensor) -> Unfused:
        bits = lax.bitcast_convert_type(x, self.zero.dtype) ^ self.zero
        return Unfused(lax.bitcast_convert_type(bits, x.dtype), self.zero)

    def __add__(self, other: Any) -> Unfused:
        return self._made(self.x + _bare(other))

    def __sub__(self, other: Any) -> Unfused:
        return self._made(self.x - _bare(other))

    def __mul__(self, other: Any) -> Unfused:
        return self._made(self.x * _bare(other))

    def __truediv__(self, other: Any) -> Unfused:
        return self._made(self.x / _bare(other))

    def sqrt(self) -> Unfused:
        """Return the square root of each number."""
        return self._made(jnp.sqrt(self.x))

    def rounded(self) -> Unfused:
        """Round to float32 and back; also its subnormal numbers, which XLA's own conversion flushes to 0 on a CPU."""
        near = self.x.astype(jnp.float32).astype(self.x.dtype)
        subnormal = jnp.rint(self.x * 2.0**149) * 2.0**-149  # multiples of the least of them, as IEEE 754 rounds
        return Unfused(jnp.where(jnp.abs(self.x) < 2.0**-126, subnormal, near), self.zero)

    def copy(self) -> Unfused:
        """Return the same object, because nothing is changed in place."""
        return self

    @staticmethod
    def where(condition: Tensor, x: Unfused, y: Unfused) -> Unfused:
        """Select elements of either operand."""
        return Unfused(jnp.where(condition, x.x, y.x), x.zero)


def _bare(x: Any) -> Any:
    return x.x if isinstance(x, Unfused) else x


@partial(jax.jit, static_argnames=("layout",))
def _forward(layout: Layout, flat: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
    return layout.apply(layout.pieces(flat), observations)


@partial(jax.jit, static_argnames=("spec", "layout", "form"))
def _loss_and_gradient(
    spec: NetworkSpec, layout: Layout, flat: Tensor, given: dict[str, Tensor], form: Objective, numbers: dict[str, Any]
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Compile the loss: ``form`` determines its terms and causes a compilation; ``numbers`` may change freely."""
    objective = replace(form, **numbers)

    def loss(pieces: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        named = dict(zip(layout.names, pieces, strict=True))
        terms = loss_terms(Operations, spec, partial(layout.apply, pieces), named, given, form, objective)
        return terms["loss"], terms

    gradients, terms = jax.grad(loss, has_aux=True)(layout.pieces(flat))
    gradient = jnp.concatenate([g.reshape(-1) for g in gradients])
    return terms, gradient, statistics(Operations, terms, gradient, objective.clip_range, given["valid"])


@partial(jax.jit, static_argnames=("epsilon",))
def _stepped(
    epsilon: float, grid: Any, zero: Tensor, tensors: Sequence[Tensor], gradient: Tensor, numbers: Sequence[Any],
    only: Tensor | None,
) -> list[Tensor]:  # fmt: skip
    """Compile `stepped`; if ``grid`` were a constant, the compiler would remove its addition and subtraction."""
    clip, *factors = numbers
    unfused = [Unfused(tensor, zero) for tensor in (gradient, *tensors)]
    after = stepped(Unfused, Adam(epsilon), grid, unfused[1:], unfused[0], clip, factors, only)
    return [tensor.x for tensor in after]


class JaxBackend(AutogradBackend):
    """Implement the backend ``jax``.

    A user's own network is ``JaxBackend(network=apply, parameters=pytree)``, see `JaxNetwork`; its trained parameters
    are in `parameters`.
    """

    name = "jax"
    xp = Operations
    _untrainable = "no array of its parameters is of floating-point numbers"

    def __init__(
        self,
        spec: NetworkSpec | None = None,
        *,
        network: Apply | JaxNetwork | None = None,
        parameters: Any = None,
        **settings: Any,
    ) -> None:
        if network is not None and not isinstance(network, JaxNetwork):
            if not callable(network):
                raise UsageError(f"network={network!r} must be a function of parameters and observations")
            network = JaxNetwork(network, parameters)
        super().__init__(spec, network=network, **settings)

    network_type = JaxNetwork

    @property
    def parameters(self) -> Any:
        """The current parameters of a user's own network, as a pytree of NumPy arrays."""
        return self.own_network.parameters

    def _computing(self) -> AbstractContextManager[Any]:
        """Enable float64 in this thread, whatever is set for the process."""
        context: AbstractContextManager[Any] = jax.enable_x64(True)
        return context

    def _build(self, device: str) -> dict[str, Tensor]:
        self._device = _device(device)
        own = self.own_network
        shapes = self.spec.shapes()
        self._layout = Layout(tuple(shapes), tuple(shapes.values()), BuiltIn(self.spec)) if own is None else own.layout
        self._zero = jax.device_put(np.zeros((), np.int64 if self._exact else np.int32), self._device)
        pieces = map(np.zeros, self._layout.shapes) if own is None else self._layout.pieces(np.asarray(own.flat))
        return dict(zip(self._layout.names, pieces, strict=True))

    def _tensor(self, array: Array) -> Tensor:
        converted = array.astype(self._dtype) if array.dtype.kind == "f" else array
        return jax.device_put(converted, self._device)

    def _array(self, tensor: Tensor) -> Array:
        return np.array(tensor)

    def _store(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        if self.own_network is not None:
            self.own_network.flat = tensors[0]

    def _apply(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        return self._layout.apply(self._layout.pieces(self._tensors[0]), observations)

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Compute the distribution parameters (B, P) and values (B,) of observations (B, O)."""
        with self._computing():
            padded = self._tensor(_padded(observations, _rows(len(observations))))
            outputs = _forward(self._layout, self._tensors[0], padded)
            parameters, values = (self._array(output)[: len(observations)] for output in outputs)
            return parameters, values

    def _terms(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        return self._backward(batch, objective)[0]

    def _backward(self, batch: Minibatch, objective: Objective) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        count = len(batch.advantages)
        rows = _rows(count)
        given = {name: self._tensor(_padded(array, rows)) for name, array in batch.arrays().items()}
        given["valid"] = self._tensor(np.arange(rows) < count)
        numbers = {name: number for name, number in vars(objective).items() if number and number is not True}
        ones: dict[str, Any] = dict.fromkeys(numbers, 1.0)
        form = replace(objective, **ones)
        terms, gradient, figures = _loss_and_gradient(self.spec, self._layout, self._tensors[0], given, form, numbers)
        terms = {name: term[:count] if term.ndim else term for name, term in terms.items()}
        return terms, gradient, figures

    def _stepped(self, gradient: Tensor, clip: Any, factors: Sequence[Any], only: Tensor | None) -> list[Tensor]:
        numbers, epsilon = [clip, *factors], self._optimizer.epsilon
        after: list[Tensor] = _stepped(epsilon, self._grid, self._zero, self._tensors, gradient, numbers, only)
        return after


def _rows(count: int) -> int:
    """Round a number of samples up to one of few numbers of rows, each of which has to be compiled.

    A rollout's minibatches differ by one row, or by any number if some of its steps are not valid.
    """
    grain = max(16, 1 << max(0, count.bit_length() - 4))
    return -(-count // grain) * grain


def _padded(array: Array, rows: int) -> Array:
    """Pad an array to a number of rows by repeating its last row."""
    return array if len(array) == rows else np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def _device(device: str) -> Any:
    """Return a device, or raise a `UsageError` if it is not available."""
    kind, _, index = device.partition(":")
    try:
        return jax.devices("gpu" if kind == "cuda" else kind)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise UsageError(f"device={device!r} was asked for but jax finds none here: use cpu") from error
