"""Where a random stream stands, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def of_generator(rng: np.random.Generator) -> dict[str, Any]:
    """A random stream's place, as JSON can hold it."""
    return dict(rng.bit_generator.state)


def set_generator(rng: np.random.Generator, place: Mapping[str, Any]) -> None:
    """Continue a random stream from its place.

    Raises:
        ValueError: it is of another kind of stream, or none.
    """
    try:
        rng.bit_generator.state = place
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it has no place of a random stream: {error!r}") from error
