"""Save and restore the state of a random number generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator as a JSON object."""
    return dict(rng.bit_generator.state)


def set_rng_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Restore what `rng_state` returned.

    Raises:
        ValueError: not the state of this kind of generator.
    """
    try:
        rng.bit_generator.state = state
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it has no valid RNG state: {error!r}") from error
