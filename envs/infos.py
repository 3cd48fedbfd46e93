"""The info of one environment, taken out of that of a vector of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FINAL = ("final_obs", "final_info")


def own_info(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what environment ``index`` said with the step that ended its episode, as it said it.

    A vector environment that resets within the step hands it on as ``final_info``; in the other modes it is part of
    what all environments said, each entry ``key`` an array with a flag in ``_key`` for those that said it. An entry
    that is None is left out.
    """
    final = _entry(info, "final_info", index)
    if isinstance(final, Mapping):
        return dict(final)
    return _entries(info, index)


def _entries(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    own = {}
    for key in info:
        if key in FINAL or (key.startswith("_") and key[1:] in info):
            continue
        value = _entry(info, key, index)
        if value is not None:
            own[key] = value
    return own


def _entry(info: Mapping[str, Any], key: str, index: int) -> Any:
    """One environment's part of an entry; None where it has none."""
    values, said = info.get(key), info.get("_" + key)
    if said is not None and not said[index]:
        return None
    if isinstance(values, Mapping):
        return _entries(values, index)
    if isinstance(values, np.ndarray):
        values = list(values) if values.ndim else None
    if not isinstance(values, list | tuple) or index >= len(values):
        return None  # of the vector as a whole
    value = values[index]
    if isinstance(value, np.generic):
        return value.item()
    return value.copy() if isinstance(value, np.ndarray) else value
