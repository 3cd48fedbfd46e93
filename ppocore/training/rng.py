"""The state of a random number generator, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator, as JSON can hold it."""
    return dict(rng.bit_generator.state)


def set_rng_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Set the state of a generator, as `rng_state` gave it.

    Raises:
        ValueError: it is the state of another kind of generator, or none.
    """
    try:
        rng.bit_generator.state = state
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it has no state of a random number generator: {error!r}") from error
