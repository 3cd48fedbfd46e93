"""PPO in PyTorch: what `ppocore.backends.autograd` needs of it.

All weights and gradients are views into two flat tensors, which the parameters share: clipping, Adam and
the rounding of exact mode are then single operations, in place, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ppocore.backends.autograd import AutogradBackend
from ppocore.distributions.special import trigamma
from ppocore.errors import UsageError
from ppocore.typing import Array


class _Digamma(torch.autograd.Function):
    """`torch.digamma`, whose own derivative on the CPU is good to 5e-10 only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Compute the digamma function."""
        ctx.save_for_backward(x)
        return torch.digamma(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiply by the trigamma function of `ppocore.distributions.special`."""
        (x,) = ctx.saved_tensors
        return gradient * trigamma(x)


class Operations:
    """Provide the operations that `ppocore.backends.autograd_loss` needs."""

    abs, exp, log, log1p, sqrt, sigmoid = torch.abs, torch.exp, torch.log, torch.log1p, torch.sqrt, torch.sigmoid
    minimum, maximum, where, clip, stack = torch.minimum, torch.maximum, torch.where, torch.clamp, torch.stack
    zeros_like, full_like, copy, square = torch.zeros_like, torch.full_like, torch.clone, torch.square
    split, concat, broadcast_to, take_along_axis = torch.split, torch.concat, torch.broadcast_to, torch.take_along_dim
    relu, log_softmax, probability, lgamma = torch.relu, torch.log_softmax, torch.exp, torch.lgamma
    stop_gradient, digamma = Tensor.detach, _Digamma.apply

    @staticmethod
    def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute ``x @ weight + bias``."""
        return torch.addmm(bias, x, weight)

    @staticmethod
    def constant(array: Array, like: Tensor) -> Tensor:
        """Convert an array to a tensor without a gradient."""
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    @staticmethod
    def rounded(x: Tensor) -> Tensor:
        """Round to float32 in place."""
        return x.copy_(x.to(torch.float32))


class TorchBackend(AutogradBackend):
    """Implement the backend ``torch``; a user's own network is a `torch.nn.Module`."""

    name = "torch"
    xp = Operations
    network_type = nn.Module
    _untrainable = "none requires a gradient"
    _computing = staticmethod(torch.no_grad)
    _recording = staticmethod(torch.enable_grad)

    def _build(self, device: str) -> dict[str, Tensor]:
        self._device = _device(device)
        self._torch_dtype = torch.float64 if self._exact else torch.float32
        if self.own_network is None:
            shapes = self.spec.shapes().items()
            return {name: self._tensor(np.zeros(shape)).requires_grad_() for name, shape in shapes}
        self.own_network.to(self._device, self._torch_dtype)
        return {name: p for name, p in self.own_network.named_parameters() if p.requires_grad}

    @contextmanager
    def using_threads(self, threads: int) -> Iterator[None]:
        """Limit torch's threads, and restore their number afterwards."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return tensor.to(self._torch_dtype) if tensor.is_floating_point() else tensor

    def _array(self, tensor: Tensor) -> Array:
        array: Array = tensor.detach().cpu().numpy()
        return array

    def _gradient(self, loss: Tensor) -> Tensor:
        self._grad.zero_()
        loss.backward()
        return self._grad

    def _store(self, tensors: Sequence[Tensor]) -> None:
        before, self._tensors = self._tensors, tensors
        if before and before[0] is tensors[0]:
            return  # the step was in place
        self._grad = torch.zeros_like(tensors[0])
        pieces, gradients = self._pieces(tensors[0]), self._pieces(self._grad)
        for name, parameter in self._parameters.items():
            parameter.data, parameter.grad = pieces[name], gradients[name]


def _device(device: str) -> torch.device:
    """Return a device, or raise a `UsageError` if it is not available."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device={device!r} is not a device that torch knows: use cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={device!r} was asked for but torch finds no CUDA device here: use cpu")
    return found
