"""Implement the backend for PaddlePaddle, on top of `ppocore.backends.autograd`.

Gradients are gathered into one flat tensor, so that clipping, Adam and the rounding of exact mode are single
operations. Tensors are not changed in place; the network's parameters are assigned after each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ppocore.backends.autograd import AutogradBackend
from ppocore.backends.paddle_network import F, PaddleNetwork, Tensor, nn, paddle
from ppocore.errors import UsageError

Array = NDArray[Any]

_LEAST = -700.0
"""Exponents below this give 0."""


class Operations:
    """Provide the operations that `ppocore.backends.autograd_loss` needs."""

    abs, exp, log, log1p, sqrt, sigmoid = paddle.abs, paddle.exp, paddle.log, paddle.log1p, paddle.sqrt, F.sigmoid
    minimum, maximum, clip, stack = paddle.minimum, paddle.maximum, paddle.clip, paddle.stack
    zeros_like, copy, square = paddle.zeros_like, paddle.clone, paddle.square
    lgamma, digamma = paddle.lgamma, paddle.digamma

    @staticmethod
    def probability(x: Tensor) -> Tensor:
        """Compute the exponential, with 0 for a masked action, where `paddle.exp` returns 6e-309 on the CPU."""
        return paddle.where(x < _LEAST, paddle.zeros_like(x), x.exp())

    @staticmethod
    def where(condition: Tensor, x: Tensor, y: Tensor | float) -> Tensor:
        """Select elements; `paddle.where` would convert a number to the default dtype."""
        return paddle.where(condition, x, paddle.full_like(x, y) if isinstance(y, float) else y)

    @staticmethod
    def softplus(x: Tensor) -> Tensor:
        """Compute ``log(1 + exp(x))``; `F.softplus` returns x from 20, `F.log_sigmoid` 0 from 37 (float32: 17)."""
        return paddle.maximum(x, paddle.zeros_like(x)) + paddle.log1p(Operations.probability(-x.abs()))

    @staticmethod
    def log_softmax(x: Tensor) -> Tensor:
        """Compute the log-softmax over axis 1; `F.log_softmax` clips logits at 64 below the largest on the CPU."""
        return x - paddle.logsumexp(x, axis=1, keepdim=True)

    @staticmethod
    def choose(x: Tensor, index: Tensor) -> Tensor:
        """Return the element of each row at its index."""
        return paddle.take_along_axis(x, index.unsqueeze(1), axis=1).squeeze(1)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Split the columns into groups."""
        return [x] if len(sizes) == 1 else paddle.split(x, list(sizes), axis=1)

    @staticmethod
    def as_numbers(flags: Tensor, like: Tensor) -> Tensor:
        """Convert flags to 1 and 0."""
        return flags.astype(like.dtype)

    @staticmethod
    def constant(array: Array, like: Tensor) -> Tensor:
        """Convert an array to a tensor without a gradient."""
        return paddle.to_tensor(array, dtype=like.dtype, place=like.place)

    @staticmethod
    def rounded(x: Tensor) -> Tensor:
        """Round to float32."""
        return x.astype("float32").astype("float64")


class PaddleBackend(AutogradBackend):
    """Implement the backend ``paddle``; a user's own network is a `paddle.nn.Layer`."""

    name = "paddle"
    xp = Operations
    network_type = nn.Layer
    _frozen = "every one has stop_gradient set"
    _computing = staticmethod(paddle.no_grad)
    _recording = staticmethod(paddle.enable_grad)

    def _build(self, device: str) -> dict[str, tuple[int, ...]]:
        self._place = _place(device)
        self.network = PaddleNetwork(self.spec) if self.own_network is None else self.own_network
        _convert(self.network, self._place, self._dtype.name)
        self._parameters = self._trained(self.network, lambda parameter: not parameter.stop_gradient)
        shapes = {name: tuple(p.shape) for name, p in self._parameters.items()}
        if self._parameters:
            flat = _gathered(self._parameters.values())
            flat = Operations.rounded(flat) if self._exact else flat
            self._store([flat, *(paddle.zeros_like(flat) for _ in self._optimizer.slots)])
        return shapes

    def _tensor(self, array: Array) -> Tensor:
        kind = self._dtype.name if array.dtype.kind == "f" else None
        return paddle.to_tensor(array, dtype=kind, place=self._place)

    def _array(self, tensor: Tensor) -> Array:
        array: Array = tensor.detach().numpy()
        return array

    def _gradient(self, loss: Tensor) -> Tensor:
        for parameter in self._parameters.values():
            parameter.clear_gradient(set_to_zero=False)
        loss.backward()
        # A user's layer may have unused parameters.
        return _gathered([paddle.zeros_like(p) if p.grad is None else p.grad for p in self._parameters.values()])

    def _store(self, tensors: Sequence[Tensor]) -> None:
        self._tensors, start = tensors, 0
        for parameter in self._parameters.values():
            piece = tensors[0][start : (start := start + parameter.size)].reshape(parameter.shape)
            paddle.assign(piece, parameter)


def _gathered(tensors: Any) -> Tensor:
    return paddle.concat([tensor.reshape([-1]) for tensor in tensors])


def _convert(network: nn.Layer, place: Any, dtype: str) -> None:
    """Move and convert a network; ``network.to`` would also convert buffers of integers and flags."""
    kept = [
        (layer, name, buffer)
        for layer in network.sublayers(include_self=True)
        for name, buffer in layer.named_buffers(include_sublayers=False)
        if not buffer.is_floating_point()
    ]
    copies = [buffer.clone() for _, _, buffer in kept]
    network.to(device=place, dtype=dtype)
    for (layer, name, _), copy in zip(kept, copies, strict=True):
        setattr(layer, name, copy.to(place))


def _place(device: str) -> Any:
    """Return the place of a device, or raise a `UsageError` if it is not available."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return paddle.CPUPlace()
    if kind not in ("cuda", "gpu"):
        raise UsageError(f"device={device!r} is not a device that paddle knows: use cpu or cuda")
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise UsageError(f"device={device!r} was asked for but paddle finds no CUDA device here: use cpu")
    return paddle.CUDAPlace(int(index or 0))
