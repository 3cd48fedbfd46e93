"""PPO in PaddlePaddle: what `ppocore.backends.autograd` needs of it.

Gradients are gathered into one flat tensor, so that clipping, Adam and the rounding of exact mode are single
operations; paddle's tensors are not changed in place, and the parameters are assigned after each step.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ppocore.backends.autograd import AutogradBackend
from ppocore.errors import UsageError
from ppocore.typing import Array

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "No ccache found")  # said at import; it concerns who compiles extensions
    import paddle
    from paddle import Tensor, nn
    from paddle.nn import functional as F

_LEAST = -700.0
"""Below, exponentials are taken to be 0."""


class Operations:
    """Provide the operations that `ppocore.backends.autograd_loss` needs."""

    abs, exp, log, log1p, sqrt, sigmoid = paddle.abs, paddle.exp, paddle.log, paddle.log1p, paddle.sqrt, F.sigmoid
    minimum, maximum, where, clip, stack = paddle.minimum, paddle.maximum, paddle.where, paddle.clip, paddle.stack
    zeros_like, full_like, copy, square = paddle.zeros_like, paddle.full_like, paddle.clone, paddle.square
    split, concat, broadcast_to, relu, linear = paddle.split, paddle.concat, paddle.broadcast_to, F.relu, F.linear
    take_along_axis, lgamma, digamma = paddle.take_along_axis, paddle.lgamma, paddle.digamma
    stop_gradient = Tensor.detach

    @staticmethod
    def probability(x: Tensor) -> Tensor:
        """Return ``exp(x)``, but 0 where it underflows, as of a masked action; on the CPU paddle stops at 6e-309."""
        return paddle.where(x < _LEAST, paddle.zeros_like(x), x.exp())

    @staticmethod
    def log_softmax(x: Tensor, axis: int) -> Tensor:
        """Compute the log-softmax; `F.log_softmax` limits logits to 64 below the largest on the CPU."""
        return x - paddle.logsumexp(x, axis, keepdim=True)

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
    _untrainable = "every one has stop_gradient set"
    _computing = staticmethod(paddle.no_grad)
    _recording = staticmethod(paddle.enable_grad)

    def _build(self, device: str) -> dict[str, Tensor]:
        self._place = _place(device)
        if self.own_network is None:
            how, shapes = (self._dtype.name, self._place, False), self.spec.shapes().items()
            return {name: paddle.to_tensor(np.zeros(shape), *how) for name, shape in shapes}
        _convert(self.own_network, self._place, self._dtype.name)
        return {name: p for name, p in self.own_network.named_parameters() if not p.stop_gradient}

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
        # A user's layer may have parameters that nothing reads.
        gradients = [paddle.zeros_like(p) if p.grad is None else p.grad for p in self._parameters.values()]
        return paddle.concat([gradient.reshape([-1]) for gradient in gradients])

    def _store(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        for name, piece in self._pieces(tensors[0]).items():
            paddle.assign(piece, self._parameters[name])


def _convert(network: nn.Layer, place: Any, dtype: str) -> None:
    """Call ``network.to``, but keep buffers of integers and flags, which it would convert to floating point."""
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
    """Return a place, or raise a `UsageError` if it is not available."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return paddle.CPUPlace()
    if kind not in ("cuda", "gpu"):
        raise UsageError(f"device={device!r} is not a device that paddle knows: use cpu or cuda")
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise UsageError(f"device={device!r} was asked for but paddle finds no CUDA device here: use cpu")
    return paddle.CUDAPlace(int(index or 0))
