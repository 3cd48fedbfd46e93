"""Implement the backend for PyTorch, on top of `ppocore.backends.autograd`.

The module's parameters and gradients are views into two flat tensors, so that clipping, Adam and the rounding of
exact mode are single in-place operations for any number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ppocore.backends.autograd import AutogradBackend
from ppocore.backends.torch_network import TorchNetwork
from ppocore.distributions.special import TRIGAMMA
from ppocore.errors import UsageError

Array = NDArray[Any]


class _Digamma(torch.autograd.Function):
    """Compute `torch.digamma` with an exact derivative; its own has an error of 5e-10 on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Compute the digamma function."""
        ctx.save_for_backward(x)
        return torch.digamma(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiply by the trigamma function, as in `ppocore.distributions.special`."""
        (x,) = ctx.saved_tensors
        return gradient * trigamma(x)


def trigamma(x: Tensor) -> Tensor:
    """Compute the derivative of digamma for arguments of at least 1 (Abramowitz and Stegun 6.4.12 and recurrence)."""
    total = torch.zeros_like(x)
    for _ in range(8):
        below = x < 8.0
        total = torch.where(below, total + 1.0 / (x * x), total)
        x = x + below
    inverse = 1.0 / x
    square = inverse * inverse
    series = torch.zeros_like(x)
    for coefficient in reversed(TRIGAMMA):
        series = series * square + coefficient
    return total + inverse + 0.5 * square + series * square * inverse


class Operations:
    """Provide the operations that `ppocore.backends.autograd_loss` needs."""

    abs, exp, log, log1p, sqrt, sigmoid = torch.abs, torch.exp, torch.log, torch.log1p, torch.sqrt, torch.sigmoid
    minimum, maximum, where, clip, stack = torch.minimum, torch.maximum, torch.where, torch.clamp, torch.stack
    zeros_like, copy, square, probability = torch.zeros_like, torch.clone, torch.square, torch.exp
    lgamma, digamma = torch.lgamma, _Digamma.apply

    @staticmethod
    def softplus(x: Tensor) -> Tensor:
        """Compute ``log(1 + exp(x))``; `torch.nn.functional.softplus` returns x from 20, with an error of 2e-9."""
        return -F.logsigmoid(-x)

    @staticmethod
    def log_softmax(x: Tensor) -> Tensor:
        """Compute the log-softmax over axis 1."""
        return F.log_softmax(x, dim=1)

    @staticmethod
    def choose(x: Tensor, index: Tensor) -> Tensor:
        """Return the element of each row at its index."""
        return x.gather(1, index.unsqueeze(1)).squeeze(1)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Split the columns into groups."""
        return list(x.split(tuple(sizes), dim=1))

    @staticmethod
    def as_numbers(flags: Tensor, like: Tensor) -> Tensor:
        """Convert flags to 1 and 0."""
        return flags.to(like.dtype)

    @staticmethod
    def constant(array: Array, like: Tensor) -> Tensor:
        """Convert an array to a tensor without a gradient."""
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    @staticmethod
    def rounded(x: Tensor) -> Tensor:
        """Round to float32, in place."""
        return x.copy_(x.to(torch.float32))


class TorchBackend(AutogradBackend):
    """Implement the backend ``torch``; a user's own network is a `torch.nn.Module`."""

    name = "torch"
    xp = Operations
    network_type = nn.Module
    _frozen = "none requires a gradient"
    _computing = staticmethod(torch.no_grad)
    _recording = staticmethod(torch.enable_grad)

    def _build(self, device: str) -> dict[str, tuple[int, ...]]:
        self._device = _device(device)
        self._torch_dtype = torch.float64 if self._exact else torch.float32
        self.network = TorchNetwork(self.spec) if self.own_network is None else self.own_network
        self.network.to(self._device, self._torch_dtype)
        self._parameters = self._trained(self.network, lambda parameter: parameter.requires_grad)
        if not self._parameters:
            return {}
        flat = torch.cat([p.data.reshape(-1) for p in self._parameters.values()])
        self._tensors = (flat, *(torch.zeros_like(flat) for _ in self._optimizer.slots))
        self._grad = torch.zeros_like(flat)
        start = 0
        for parameter in self._parameters.values():
            place = slice(start, start := start + parameter.numel())
            parameter.data, parameter.grad = flat[place].view_as(parameter), self._grad[place].view_as(parameter)
        if self._exact:
            Operations.rounded(flat)
        shapes = {name: tuple(p.shape) for name, p in self._parameters.items()}
        return {name: shape[::-1] if self._transposed(name) else shape for name, shape in shapes.items()}

    @contextmanager
    def using_threads(self, threads: int) -> Iterator[None]:
        """Set torch's number of threads, and restore it at the exit."""
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
        for own, tensor in zip(self._tensors, tensors, strict=True):
            if own is not tensor:
                own.copy_(tensor)

    def _transposed(self, name: str) -> bool:
        return self.own_network is None and name.endswith(".weight")


def _device(device: str) -> torch.device:
    """Return a device, or raise a `UsageError` if it is not available."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device={device!r} is not a device that torch knows: use cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={device!r} was asked for but torch finds no CUDA device here: use cpu")
    return found
