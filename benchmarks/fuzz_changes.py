"""Draw changes of JSON and of tensors, and say of each whether what it leaves may still be possible."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import numpy as np

NESTED, INFINITE = "@nested@", "@infinite@"
"""What stands in JSON for a nested list and for a number beyond the largest, until it is text."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 5, 1.5, -0.5, 0.0, -0.0, 1e-320, 1e308, -1e308, INFINITE, float("nan"), 2**31,
    2**63, 2**64, -(2**63), 10**30, 10**400, "", "x", "CartPole-v1", "os:system", "a\nb", "\x00", "9" * 1000, "inf",
    [], {}, [0], [[]], {"x": 1}, NESTED, [1] * 1000, ["x"], [None], "float32", "numpy",
)  # fmt: skip
DTYPES = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64")


class Change(NamedTuple):
    """Describe a change: what it is, and whether the file it leaves may be another possible one."""

    what: str
    possible: bool


def text_of(content: Any) -> str:
    """Return JSON text, with the placeholders replaced."""
    text = json.dumps(content, sort_keys=True)
    return text.replace(f'"{NESTED}"', "[" * 3000 + "]" * 3000).replace(f'"{INFINITE}"', "1e999")


def change_json(content: Any, draw: random.Random) -> Change:
    """Change one entry of an object, anywhere in it."""
    places = list(_places(content, ""))
    parent, key, name = draw.choice(places)
    old = parent[key]
    kind = draw.choice(("replace", "replace", "replace", "remove", "rename", "scale", "nest"))
    if kind == "remove":
        del parent[key]
        return Change(f"{name} removed", isinstance(parent, list) and "shape" in name)  # another shape of as many
    if kind == "rename" and isinstance(parent, dict):
        parent[draw.choice((f"{key}_", "", "x", key.upper()))] = parent.pop(key)
        return Change(f"{name} renamed", False)
    if kind == "scale" and isinstance(old, int | float) and not isinstance(old, bool):
        parent[key] = draw.choice((old + 1, old * 2, -old, old * 10**9, old / 3 if isinstance(old, float) else old - 1))
        return Change(f"{name} = {parent[key]}", True)
    if kind == "nest":
        parent[key] = draw.choice(([old], {str(key): old}, [old, old]))
        return Change(f"{name} in another", isinstance(parent, list))
    parent[key] = new = draw.choice(VALUES)
    numbers = isinstance(new, int | float) and isinstance(old, int | float)
    same = numbers and isinstance(new, bool) == isinstance(old, bool) and not (
        isinstance(old, int) and isinstance(new, float)
    )  # fmt: skip
    return Change(f"{name} = {str(new)[:60]!r}", same or new is None or old is None or type(new) is type(old))


def _places(content: Any, name: str) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield content, key, f"{name}.{key}" if name else str(key)
        yield from _places(value, f"{name}.{key}" if name else str(key))


def change_tensor(tensors: dict[str, Any], draw: random.Random) -> Change:
    """Change one tensor."""
    name = draw.choice(sorted(tensors))
    old = tensors[name]
    kind = draw.choice(("remove", "rename", "dtype", "dtype", "shape", "shape", "fill", "fill", "entry", "other"))
    if kind == "remove":
        del tensors[name]
        return Change(f"{name} removed", False)
    if kind == "rename":
        tensors[draw.choice((f"{name}_", "x", name.upper(), name.split(".")[0]))] = tensors.pop(name)
        return Change(f"{name} renamed", False)
    if kind == "dtype":
        dtype = draw.choice([dtype for dtype in DTYPES if dtype != old.dtype.name])
        with np.errstate(all="ignore"):
            tensors[name] = old.astype(dtype)
        return Change(f"{name} as {dtype}", False)
    if kind == "shape":
        shapes = [old.ravel(), old[None], old[..., None], np.concatenate([old.ravel()] * 2), old.ravel()[:-1]]
        shapes += [np.zeros((10**9, 0), old.dtype), np.zeros((0, 10**9), old.dtype), np.zeros((), old.dtype), old.T]
        tensors[name] = new = draw.choice([shape for shape in shapes if shape.shape != old.shape])
        return Change(f"{name} of shape {new.shape}", False)
    if kind == "other":
        tensors[name] = tensors[draw.choice(sorted(tensors))]
        return Change(f"{name} is another", True)
    numbers = [np.nan, np.inf, -np.inf, 1e38, -1.0, 0.0] if old.dtype.kind == "f" else [-1, 0, 1, 2**62, -(2**62)]
    number = draw.choice(numbers)
    new = np.array(old)
    with np.errstate(all="ignore"):
        cast = np.array(number).astype(old.dtype)
        if kind == "fill" or not new.size:
            new[...] = cast
        else:
            new[np.unravel_index(draw.randrange(new.size), new.shape)] = cast
    tensors[name] = new
    overflowed = name.startswith("adam.v.") and number == np.inf  # as a squared gradient may
    return Change(f"{name} {kind} {number}", bool(np.isfinite(number)) or overflowed)
