"""Convert arrays of torch, paddle and JAX to NumPy and back.

- No framework is imported here: a caller with an array of a framework has imported it, so it is in ``sys.modules``.
- A result has the library and the device of the array that it is computed from; a list of tensors is one tensor.
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
    """Return ``torch``, ``paddle`` or ``jax`` for an array, or a list of arrays, of that framework, else None."""
    x = first_leaf(x)
    if type(x) is np.ndarray:
        return None
    for framework, array_type in _ARRAY_TYPES.items():
        module = sys.modules.get(framework)
        if module is not None and isinstance(x, getattr(module, array_type, ())):
            return framework
    return None


def first_leaf(x: AnyArray) -> AnyArray:
    """Return the first array or number of nested lists, and anything else as it is."""
    while isinstance(x, list | tuple) and len(x) > 0:
        x = x[0]
    return x


def is_traced(x: AnyArray) -> bool:
    """Tell whether JAX holds no numbers for ``x`` yet, because it is inside ``jit``, ``vmap`` or ``grad``."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(first_leaf(x), jax.core.Tracer)


def read(x: AnyArray, framework: str | None) -> Read:
    """Convert ``x``, an array of ``framework`` or a list of them, to NumPy.

    Raises:
        ValueError: ``x`` holds no numbers, as on torch's device "meta", or rows of different lengths.
        TypeError: ``x`` is a masked array with masked elements.
    """
    if isinstance(x, list | tuple) and (framework is not None or isinstance(first_leaf(x), np.ma.MaskedArray)):
        rows = [read(row, framework_of(row)) for row in x]
        return Read(np.array([row.array for row in rows]), common_precision({row.precision for row in rows}))
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            raise TypeError("is a masked array: pass its .data, and where rows do not count valid=~numpy.ma.getmask(x)")
        x = x.data
    if framework in (None, "jax"):
        array = np.asarray(x)
    else:
        x = x.detach().cpu()
        if framework == "torch":
            x = x.resolve_conj().resolve_neg()
            array = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
        else:
            array = (x.astype("float32") if str(x.dtype).endswith("bfloat16") else x).numpy()
    if framework is None and array.dtype.kind in "fiub":
        return Read(array, _PRECISIONS.get(array.dtype.char, "float64"))
    # NumPy lacks bfloat16, which is then float32, or a format that ml_dtypes adds.
    is_bfloat16 = str(getattr(x, "dtype", "")).endswith("bfloat16")
    array = array.astype(np.float32) if is_bfloat16 else array
    return Read(array, "bfloat16" if is_bfloat16 else _PRECISIONS.get(array.dtype.char, "float64"))


def give_back(array: Array, precision: str, like: AnyArray, framework: str | None) -> AnyArray:
    """Convert a NumPy array to ``precision`` and to ``framework``, on the device of ``like``."""
    if framework is None:
        return array.astype(precision, copy=False)
    like = first_leaf(like)
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
