"""The fingerprint of a run: one line that is equal when two runs are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fingerprint(state: Mapping[str, NDArray[Any]], counters: Mapping[str, int]) -> str:
    """SHA-256, in hexadecimal, over a backend's state and a run's counters.

    Each tensor enters as its name, dtype, shape and little-endian bytes, in the order of the names; then each
    counter as its name and value.  So it depends on the numbers and on nothing else: not on the backend that
    made them, the order in which it lists them, or the machine's byte order.

    Args:
        state: `ppocore.backend.Backend.state`: weights, Adam's moments and its step count.
        counters: whole numbers such as ``steps`` and ``iterations``.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        array = np.asarray(state[name])
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little_endian.tobytes())
    for name in sorted(counters):
        digest.update(f"{name} {int(counters[name])}\n".encode())
    return digest.hexdigest()
