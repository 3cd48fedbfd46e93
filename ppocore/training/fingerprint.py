"""The fingerprint of a run: one line that is equal when two runs are, and one for each tensor to say where not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Digests(NamedTuple):
    """What is recorded of a state at each iteration.

    ``fingerprint`` is that of the whole; ``tensors`` holds, in the order of the state, the first 12 hexadecimal
    digits of the SHA-256 over what each tensor contributes to it.
    """

    fingerprint: str
    tensors: dict[str, str]


def fingerprint(state: Mapping[str, NDArray[Any]], counters: Mapping[str, int]) -> str:
    """SHA-256, in hexadecimal, over a backend's state and a run's counters.

    Each tensor enters as its name, dtype, shape and little-endian bytes, in the order of the names; then each
    counter as its name and value.  So it depends on the numbers and on nothing else: not on the backend that
    made them, the order in which it lists them, or the machine's byte order.

    Args:
        state: `ppocore.backend.Backend.state`: weights, Adam's moments and its step count.
        counters: whole numbers such as ``steps`` and ``iterations``.
    """
    return digests(state, counters).fingerprint


def digests(state: Mapping[str, NDArray[Any]], counters: Mapping[str, int]) -> Digests:
    """The fingerprint, and a digest of each tensor, in one pass over the state; arguments as above."""
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


@lru_cache(maxsize=1024)  # the same few at every iteration, and half the time that a small tensor takes
def _heading(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return f"{name} {dtype.name} {shape}\n".encode()
