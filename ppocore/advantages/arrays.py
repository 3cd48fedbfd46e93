"""Convert arrays of torch, paddle and JAX to NumPy and back.

- No framework is imported here: a caller with an array of a framework has imported it, so it is in ``sys.modules``.
- A result has the library and the device of the array that it is computed from.
- NumPy computes, so no gradient flows through a result: a tensor that requires grad is detached.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from ppocore.typing import AnyArray, Array

_ARRAY_TYPES = {"torch": "Tensor", "paddle": "Tensor", "jax": "Array"}
_PRECISIONS = {"e": "float16", "f": "float32"}  # by NumPy's one-letter dtype codes


class Read(NamedTuple):
    """Hold an array as NumPy, and the floating-point format of results computed from it."""

    array: Array
    precision: str


def framework_of(x: AnyArray) -> str | None:
    """Return ``torch``, ``paddle`` or ``jax`` for an array of that framework, and None for everything else."""
    if type(x) is np.ndarray:
        return None
    for framework, array_type in _ARRAY_TYPES.items():
        module = sys.modules.get(framework)
        if module is not None and isinstance(x, getattr(module, array_type, ())):
            return framework
    return None


def read(x: AnyArray, framework: str | None) -> Read:
    """Convert ``x``, an array of ``framework``, to NumPy; bfloat16, which NumPy lacks, becomes float32."""
    if framework is None:
        array = np.asarray(x)
        return Read(array, _PRECISIONS.get(array.dtype.char, "float64"))
    is_bfloat16 = str(x.dtype).endswith("bfloat16")
    if framework == "torch":
        x = x.detach().cpu()
        array = (x.float() if is_bfloat16 else x.resolve_conj().resolve_neg()).numpy()
    elif framework == "paddle":
        x = x.detach().cpu()
        array = (x.astype("float32") if is_bfloat16 else x).numpy()
    else:
        array = np.asarray(x)
        if is_bfloat16:
            array = array.astype(np.float32)
    return Read(array, "bfloat16" if is_bfloat16 else _PRECISIONS.get(array.dtype.char, "float64"))


def give_back(array: Array, precision: str, like: AnyArray, framework: str | None) -> AnyArray:
    """Convert a NumPy array to ``precision`` and to ``framework``, on the device of ``like``."""
    if framework is None:
        return array.astype(precision, copy=False)
    array = np.ascontiguousarray(array)
    module: Any = sys.modules[framework]
    if framework == "torch":
        return module.from_numpy(array).to(device=like.device, dtype=getattr(module, precision))
    if framework == "paddle":
        return module.to_tensor(array, place=like.place).astype(precision)
    # Unless jax_enable_x64 is set, JAX uses float32 in place of float64.
    dtype = module.dtypes.canonicalize_dtype(precision)
    return module.device_put(module.numpy.asarray(array, dtype=dtype), like.sharding)


def common_precision(precisions: set[str]) -> str:
    """Return the narrowest floating-point format that represents all of ``precisions``."""
    if len(precisions) == 1:
        return next(iter(precisions))
    return "float64" if "float64" in precisions or not precisions else "float32"
