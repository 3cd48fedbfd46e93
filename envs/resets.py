"""Say which environments of a vector are reset, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def reset_arguments(
    count: int, seed: int | Sequence[int | None] | None, options: Mapping[str, Any] | None
) -> dict[int, dict[str, Any]]:
    """Return the arguments of ``reset`` by environment: for all, or for those in ``options["reset_mask"]``.

    Args:
        count: the number of environments.
        seed: a seed for each environment, the seed of the first, after which they count up, or None for none.
        options: those of the vector; all but the mask are handed on.
    """
    if seed is None:
        seed = [None] * count
    seeds = seed if isinstance(seed, Sequence) else [seed + i for i in range(count)]
    which: Sequence[int] = range(count)
    if options is not None and "reset_mask" in options:
        which = np.flatnonzero(options["reset_mask"]).tolist()
        options = {key: value for key, value in options.items() if key != "reset_mask"}
    return {i: {"seed": seeds[i], "options": options} for i in which}
