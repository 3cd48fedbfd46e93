"""Name the arrays of type annotations."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

AnyArray: TypeAlias = Any
"""A NumPy, torch, paddle or JAX array, or a nested sequence of numbers."""
