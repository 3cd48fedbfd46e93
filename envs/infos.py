"""The info of one environment, read alone or taken out of that of a vector of them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

FINAL = ("final_obs", "final_info", "terminal_observation")
OWN = "own_info"
"""The key under which vector environments made here hand on what each environment said at the end of its episode.

Nothing else is read but masks: Gymnasium merges all infos of every step into arrays, which fails where one environment
says None, or a longer array, where another said a number.
"""


def own_info(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what environment ``index`` said with the step that ended its episode, as it said it.

    A vector environment that resets within the step hands it on as ``final_info``; in the other modes it is part of
    what all environments said, each entry ``key`` an array with a flag in ``_key`` for those that said it. An entry
    that is None is left out.
    """
    if OWN in info:
        others = _entries({key: value for key, value in info.items() if key.removeprefix("_") != "action_mask"}, index)
        return {**others, **info[OWN][index]}
    final = _entry(info, "final_info", index)
    if isinstance(final, Mapping):
        return dict(final)
    return _entries(info, index)


def kept(value: Any) -> Any:
    """Copy an info as far as the environment may change it later: its dicts, lists and arrays."""
    if isinstance(value, Mapping):
        return {key: kept(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, np.number | np.bool_):
        return value.item()
    return copy.copy(value) if type(value) is list else value


def pickled(info: Mapping[str, Any]) -> bytes:
    """Pickle an info for another process, without the entries that cannot be pickled."""
    try:
        return pickle.dumps(kept(info))
    except Exception:  # whatever an object raises
        parts = {}
        for key, value in info.items():
            with suppress(Exception):
                pickle.dumps((key, value))
                parts[key] = value
        return pickle.dumps(kept(parts))


def unpickled(info: bytes) -> dict[str, Any]:
    """Invert `pickled`; empty if this process cannot read it."""
    with suppress(Exception):
        read = pickle.loads(info)
        if isinstance(read, dict):
            return read
    return {}


def joined(count: int, masks: Mapping[int, Any], finals: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the info of a vector of ``count`` environments, with their masks and final infos by index."""
    info: dict[str, Any] = {}
    if masks:
        given = [masks.get(index) for index in range(count)]
        info["action_mask"] = np.array(given) if len(masks) == count else given
    if finals:
        info[OWN] = [finals.get(index, {}) for index in range(count)]
    return info


def merge_whatever_is_said(vector: Any) -> None:
    """Let one of Gymnasium's vector environments merge infos that have no array in common.

    What its own merging refuses is kept as it is, in an array of objects with None for what was not said. Without this
    a run would end because of an info that nobody reads.
    """
    merge = getattr(vector, "_add_info", None)
    if merge is None:
        return

    def add_info(infos: Any, said: Mapping[str, Any], index: int) -> Any:
        if said is None:
            return infos
        with suppress(Exception):  # whatever NumPy, or an object that is compared or converted, raises
            return merge(infos, said, index)
        for key, value in said.items():  # again, each alone
            try:
                infos = merge(infos, {key: value}, index)
            except Exception:
                objects, flags = np.full(vector.num_envs, None, object), np.zeros(vector.num_envs, np.bool_)
                for other in range(vector.num_envs):
                    objects[other] = None if other == index else _entry(infos, key, other)
                    flags[other] = other == index or objects[other] is not None
                objects[index] = value
                infos[key], infos[f"_{key}"] = objects, flags
        return infos

    with suppress(AttributeError):  # it takes no attributes
        vector._add_info = add_info


def from_list(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a list of one dict for each environment as one dict of lists."""
    keys = dict.fromkeys(key for info in infos for key in info)
    lists: dict[str, Any] = {}
    for key in keys:
        lists[key] = [info.get(key) for info in infos]
        lists[f"_{key}"] = np.array([key in info for info in infos])
    return lists


def _entries(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    own = {}
    for key in info:
        if key in FINAL or key == OWN or (str(key).startswith("_") and str(key)[1:] in info):
            continue
        value = _entry(info, key, index)
        if value is not None:
            own[key] = value
    return own


def _entry(info: Mapping[str, Any], key: Any, index: int) -> Any:
    """One environment's part of an entry; None where it has none."""
    values, said = info.get(key), info.get(f"_{key}")
    if said is not None and not said[index]:
        return None
    if isinstance(values, Mapping):
        return _entries(values, index)
    if isinstance(values, np.ndarray):
        values = list(values) if values.ndim else None
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or index >= len(values):
        return None  # of the vector as a whole
    value = values[index]
    if isinstance(value, np.generic):
        return value.item()
    return value.copy() if isinstance(value, np.ndarray) else value
