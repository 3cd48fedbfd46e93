"""Draw orthogonal initial weights (37 details, core 2) in NumPy, so that every backend starts from the same bits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HIDDEN_GAIN = math.sqrt(2.0)
POLICY_GAIN = 0.01
VALUE_GAIN = 1.0


def orthogonal(shape: tuple[int, int], gain: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw an ``(in, out)`` matrix with orthogonal rows or columns, whichever are fewer, times ``gain``.

    The QR factor of a normal matrix with the signs of R's diagonal removed is uniform over the orthogonal
    matrices (Mezzadri 2007, arXiv:math-ph/0609050).
    """
    rows, columns = max(shape), min(shape)
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    q *= np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    weights = q if shape[0] >= shape[1] else q.T
    return np.ascontiguousarray(gain * weights, dtype=np.float32)
