"""Forward passes over many rows, some at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppocore.typing import Array

CHUNK = 4096


def in_chunks(function: Callable[[Array], Array], rows: Array) -> Array:
    """Apply ``function`` to at most 4096 rows at a time, which bounds the memory that a large rollout takes.

    Args:
        function: from (B, ...) to (B, ...); each call may overwrite what the one before it returned.
        rows: (R, ...), its input.

    Returns:
        All outputs, (R, ...).
    """
    first = function(rows[:CHUNK])
    outputs = np.empty((len(rows), *first.shape[1:]), first.dtype)
    outputs[:CHUNK] = first
    for start in range(CHUNK, len(rows), CHUNK):
        outputs[start : start + CHUNK] = function(rows[start : start + CHUNK])
    return outputs
