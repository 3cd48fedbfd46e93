"""Load the compiled kernel of `gae` when it is first needed, if Numba is installed.

Numba is optional (``pip install 'ppocore[numba]'``) and is imported by the first call that can use it, never by
``import ppocore``. The kernel gives the bits that NumPy gives, which is tried before it is used; where it cannot be
loaded or does not, one warning says why and NumPy computes. ``PPOCORE_NUMBA=0`` in the environment leaves it out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from ppocore.advantages.rows import Rows, gae_rows
from ppocore.advantages.scan import PIECE
from ppocore.errors import warn
from ppocore.typing import AnyArray, Array

Kernel = Callable[..., bool]

# A result of this size is left to NumPy, because its sums may overflow, or it may not fit in its format.
_LIMITS = {"f": 1e38, "d": 1e300}  # by NumPy's one-letter dtype codes

_BOOL = np.dtype(np.bool_)
_lock = threading.Lock()
_kept = threading.local()
_kernels: dict[str, Kernel | None] = {}


def kernel_for(dtype: str) -> Kernel | None:
    """Return the kernel for arrays of dtype "f" (float32) or "d" (float64), or None where NumPy has to compute."""
    if dtype in _kernels:
        return _kernels[dtype]
    with _lock:
        if dtype not in _kernels:
            _kernels[dtype], reason = _load(dtype)
            if reason:
                warn(f"ppocore.gae computes in NumPy, because its compiled kernel cannot be used: {reason}")
    return _kernels[dtype]


def _load(dtype: str) -> tuple[Kernel | None, str]:
    """Compile the kernel, or read it from Numba's cache; with Numba installed, say why it cannot be used."""
    if os.environ.get("PPOCORE_NUMBA") == "0" or find_spec("numba") is None:
        return None, ""
    try:
        kernel: Kernel = import_module("ppocore.advantages.compiled").compile_for(dtype)
        if _gives_the_same_bits(kernel, dtype):
            return kernel, ""
    except Exception as error:  # whatever Numba, LLVM or the cache's folder does
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None, "it does not give the same bits as NumPy here"


def _gives_the_same_bits(kernel: Kernel, dtype: str) -> bool:
    """Compare with NumPy on rows in blocks, of one column and of several, and on rows one by one."""
    rng = np.random.default_rng(0)
    for shape in ((131, 1), (75, 3), (5, 3), (3, 301)):
        numbers = [rng.standard_normal(shape).astype(dtype) for _ in range(3)]
        flags = [rng.random(shape) < 0.05 for _ in range(2)]
        arrays = Rows(*numbers, *flags)
        found = run(kernel, arrays, 0.99, 0.95)
        expected = np.empty(shape, dtype), np.empty(shape, dtype)
        gae_rows(arrays, 0.99, 0.95, *expected)
        if found is None or any(a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)):
            return False
    return True


def takes(r: AnyArray, v: AnyArray, next_v: AnyArray, terminal: AnyArray, truncated: AnyArray) -> bool:
    """Tell whether arrays can be handed to the kernel as they are."""
    if type(r) is not np.ndarray:
        return False
    dtype, shape = r.dtype, r.shape
    return (
        dtype.char in "fd"
        and r.size > 0
        and type(v) is type(next_v) is type(terminal) is type(truncated) is np.ndarray
        and v.dtype is dtype
        and next_v.dtype is dtype
        and terminal.dtype is _BOOL
        and truncated.dtype is _BOOL
        and v.shape == next_v.shape == terminal.shape == truncated.shape == shape
        and r.flags.carray
        and v.flags.carray
        and next_v.flags.carray
        and terminal.flags.carray
        and truncated.flags.carray
    )


def of_arrays(arrays: Rows, gamma: float, lam: float) -> tuple[Array, Array]:
    """Return advantages and returns of arrays that the kernel `takes`, from it or from NumPy."""
    shape, dtype = arrays.rewards.shape, arrays.rewards.dtype
    if len(shape) != 2:
        arrays = Rows(*[a.reshape(shape[0], -1) for a in arrays])
    kernel = kernel_for(dtype.char)
    found = None if kernel is None else run(kernel, arrays, gamma, lam)
    if found is None:
        found = np.empty(arrays.rewards.shape, dtype), np.empty(arrays.rewards.shape, dtype)
        gae_rows(arrays, gamma, lam, *found)
    return found if len(shape) == 2 else (found[0].reshape(shape), found[1].reshape(shape))


def of_rows(arrays: Rows, gamma: float, lam: float) -> tuple[Array, Array] | None:
    """Return advantages and returns of any ``(T, N)`` arrays, copied where necessary, or None without a kernel."""
    r, v, next_v, terminal, truncated = arrays
    dtype = "f" if r.dtype.char == v.dtype.char == next_v.dtype.char == "f" else "d"
    kernel = kernel_for(dtype)
    if kernel is None or r.size == 0:
        return None
    numbers = [np.require(a, dtype, ["C", "A", "W"]) for a in (r, v, next_v)]
    flags = [np.require(a, None, ["C", "A", "W"]) for a in (terminal, truncated)]
    return run(kernel, Rows(*numbers, *flags), gamma, lam)


def run(kernel: Kernel, arrays: Rows, gamma: float, lam: float) -> tuple[Array, Array] | None:
    """Return advantages and returns of C-contiguous ``(T, N)`` arrays, or None if NumPy has to compute them."""
    dtype, shape = arrays.rewards.dtype, arrays.rewards.shape
    advantages, returns = np.empty(shape, dtype), np.empty(shape, dtype)
    try:
        memory: tuple[Array, Array] = _kept.memory
    except AttributeError:  # kept by each thread, because the system maps fresh memory page by page
        memory = _kept.memory = np.empty(PIECE), np.empty(PIECE, np.bool_)
    if kernel(*arrays, gamma, gamma * lam, _LIMITS[dtype.char], advantages, returns, *memory):
        return advantages, returns
    return None
