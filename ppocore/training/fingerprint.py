"""Compute the fingerprint of a run, which is equal for equal runs, and a digest of each tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Digests(NamedTuple):
    """Hold the digests of a state.

    ``fingerprint`` is that of the entire state. ``tensors`` has, in the order of the state, the first 12 hexadecimal
    digits of the SHA-256 over each tensor's part of the hashed bytes.
    """

    fingerprint: str
    tensors: dict[str, str]


def fingerprint(state: Mapping[str, NDArray[Any]], counters: Mapping[str, int]) -> str:
    """Return the SHA-256, in hexadecimal, over a backend's state and a run's counters.

    The hashed bytes are the name, dtype, shape and little-endian bytes of each tensor, in the order of the names,
    followed by the name and value of each counter. The result depends only on these: not on the backend, on the order
    in which it lists its tensors, or on the machine's byte order.

    Args:
        state: `ppocore.backend.Backend.state`: weights, Adam's moments and its step count.
        counters: integers such as ``steps`` and ``iterations``.
    """
    return digests(state, counters).fingerprint


def digests(state: Mapping[str, NDArray[Any]], counters: Mapping[str, int]) -> Digests:
    """Return the fingerprint and a digest of each tensor, in one pass; see `fingerprint` for the arguments."""
    whole = hashlib.sha256()
    tensors = dict.fromkeys(state, "")
    for name in sorted(state):
        array = np.asarray(state[name])
        heading = _heading(name, array.dtype, array.shape)
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        whole.update(heading)
        whole.update(content.data)
        one = hashlib.sha256(heading)
        one.update(content.data)
        tensors[name] = one.hexdigest()[:12]
    for name in sorted(counters):
        whole.update(f"{name} {int(counters[name])}\n".encode())
    return Digests(whole.hexdigest(), tensors)


@lru_cache(maxsize=1024)  # the same in every iteration, and half of the time for a small tensor
def _heading(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return f"{name} {dtype.name} {shape}\n".encode()
