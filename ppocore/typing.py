"""Name the arrays of type annotations."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

AnyArray: TypeAlias = Any
"""A NumPy, torch, paddle or JAX array, or a nested sequence of numbers."""


class AnyTensor(Protocol):
    """Tell an array of any library from a sequence."""

    @property
    def shape(self) -> Any:
        """Return the length of each axis."""

    @property
    def dtype(self) -> Any:
        """Return the format of an element."""


ArrayT = TypeVar("ArrayT", bound=AnyTensor)
"""An array whose type the result has, too; in NumPy also its dtype, unless numbers of several formats are given."""
