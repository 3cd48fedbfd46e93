"""Hand arrays to a candidate in its framework and its dtype, and write them as code."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ppocore.advantages.arrays import framework_of, read
from ppocore.errors import UsageError
from ppocore.typing import Array

ARRAYS = ("numpy", "torch", "paddle", "jax")
PRECISIONS = ("float64", "float32", "float16", "bfloat16")
"""Floating-point formats, the finest first."""
EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
TINIEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}


def coarsest(*precisions: str) -> str:
    """Return the format with the largest unit in the last place."""
    return max(precisions, key=lambda precision: EPSILONS[precision])


class Framework:
    """Convert NumPy arrays to a framework's, in one floating-point format.

    Args:
        name: ``numpy``, ``torch``, ``paddle`` or ``jax``.
        dtype: format of rewards and values; None for the framework's own default.

    Raises:
        UsageError: the framework or the format is unknown or not installed.
    """

    def __init__(self, name: str, dtype: str | None = None) -> None:
        if name not in ARRAYS:
            raise UsageError(f"arrays={name!r} is unknown: use one of {', '.join(ARRAYS)}")
        if dtype is not None and dtype not in PRECISIONS:
            raise UsageError(f"dtype={dtype!r} is unknown: use one of {', '.join(PRECISIONS)}")
        self.name = name
        self._module: Any = _import(name)
        self.dtype = self._default() if dtype is None else dtype
        if name == "jax" and self.dtype == "float64" and not _jax_has_float64():
            raise UsageError("dtype='float64' needs JAX's jax_enable_x64: set it, or check in float32")
        if name == "numpy" and self.dtype == "bfloat16":
            raise UsageError("NumPy has no bfloat16: use dtype='float16', or arrays='torch'")

    def _default(self) -> str:
        if self.name == "torch":
            return str(self._module.get_default_dtype()).removeprefix("torch.")
        if self.name == "paddle":
            return str(self._module.get_default_dtype())
        return "float64" if self.name == "numpy" or _jax_has_float64() else "float32"

    def rounded(self, array: Array) -> Array:
        """Round floating-point numbers to the format, in a NumPy array that represents them exactly."""
        if array.dtype.kind != "f":
            return array
        if self.dtype != "bfloat16":
            return array.astype(self.dtype)
        bits = array.astype(np.float32).view(np.uint32)
        nearest_even = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return ((bits + nearest_even) & np.uint32(0xFFFF0000)).view(np.float32)

    def convert(self, array: Array) -> Any:
        """Convert a NumPy array of numbers or flags; floating-point numbers get the format."""
        array = self.rounded(np.asarray(array))
        if self.name == "numpy":
            return array
        if self.name == "torch":
            tensor = self._module.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
            return tensor.bfloat16() if self.dtype == "bfloat16" and array.dtype.kind == "f" else tensor
        if self.name == "paddle":
            tensor = self._module.to_tensor(array, place=self._module.CPUPlace())
            return tensor.astype("bfloat16") if self.dtype == "bfloat16" and array.dtype.kind == "f" else tensor
        if array.dtype.kind == "f":
            return self._module.numpy.asarray(array, dtype=self.dtype)
        return self._module.numpy.asarray(array.astype(np.int32) if array.dtype.kind == "i" else array)

    def read(self, part: Any) -> tuple[Array, str]:
        """Convert a result, or a list of arrays or numbers, to NumPy, and tell its format.

        Raises:
            TypeError: it is an array of another framework, or no array.
        """
        if isinstance(part, list | tuple):
            pieces = [self.read(piece) for piece in part]
            if not pieces:
                raise TypeError("empty list")
            return np.stack([array for array, _ in pieces]), coarsest(*(precision for _, precision in pieces))
        if isinstance(part, bool | int | float | np.generic):
            array = np.asarray(part)
            return array, str(array.dtype) if str(array.dtype) in PRECISIONS else "float64"
        framework = framework_of(part)
        kind = framework or ("numpy" if isinstance(part, np.ndarray) else type(part).__name__)
        if kind != self.name:
            raise TypeError(kind)
        array, precision = read(part, framework)
        return array, precision if array.dtype.kind == "f" else str(array.dtype)

    def imports(self) -> list[str]:
        """Return the lines of code that import what `code` uses."""
        return {
            "numpy": ["import numpy as np"],
            "torch": ["import torch"],
            "paddle": ["import paddle"],
            "jax": ["import jax.numpy as jnp"],
        }[self.name]

    def code(self, array: Array) -> str:
        """Write an array as an expression of the framework."""
        array = np.asarray(array)
        module, make = {
            "numpy": ("np", "np.array"),
            "torch": ("torch", "torch.tensor"),
            "paddle": ("paddle", "paddle.to_tensor"),
            "jax": ("jnp", "jnp.array"),
        }[self.name]
        numbers = array.dtype.kind == "f"
        text = _full(array, module) if array.size > 24 and self.name != "paddle" else None
        if text is None:
            text = f"{make}({_literal(array, module)}"
        plain = self.name != "numpy" or self.dtype == "float64"
        if not numbers:
            return f"{text})" if array.dtype.kind in "bi" else f"{text}, dtype={module}.{array.dtype})"
        if plain and self.dtype == self._default():
            return f"{text})"
        dtype = f"'{self.dtype}'" if self.name == "paddle" else f"{module}.{self.dtype}"
        return f"{text}, dtype={dtype})"


def _full(array: Array, module: str) -> str | None:
    """Write an array of one number with ``full``, without the closing bracket."""
    first = array.flat[0]
    if not (array == first).all():
        return None
    return f"{module}.full({array.shape}, {first.item()!r}"


def _literal(array: Array, module: str) -> str:
    text = repr(array.tolist())
    if array.dtype.kind != "f":
        return text
    numbers = "float('nan')", "float('inf')"
    return text.replace("nan", numbers[0]).replace("inf", numbers[1])


def _import(name: str) -> Any:
    try:
        if name == "torch":
            import torch

            return torch
        if name == "paddle":
            import paddle

            return paddle
        if name == "jax":
            import jax.numpy

            return jax
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed, which arrays={name!r} needs") from error
    return np


def _jax_has_float64() -> bool:
    return bool(sys.modules["jax"].config.jax_enable_x64)
