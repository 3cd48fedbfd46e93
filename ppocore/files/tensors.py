"""One file of tensors and a description of them, in safetensors, with a checksum over all that it says.

The layout is safetensors' own (https://huggingface.co/docs/safetensors): nothing in it can be executed, and its header
gives every tensor's size, which is held against the file's before anything is allocated.  The description is one JSON
object under the metadata key ``ppocore``.  Beside what the format puts there it holds ``format``, ``version`` and
``checksum``, the SHA-256 over the names, dtypes, shapes and bytes of all tensors and over the description's other
entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppocore.errors import UsageError
from ppocore.typing import Array

_KEY = "ppocore"


class Format(NamedTuple):
    """A kind of file: its name in the file, what a person calls it, and the versions that can be read.

    ``unchecked`` are the versions from before there was a checksum.
    """

    name: str
    noun: str
    versions: tuple[int, ...]
    unchecked: tuple[int, ...] = ()


class TensorFile(NamedTuple):
    """What a file holds."""

    format: str
    version: int
    tensors: dict[str, Array]
    description: dict[str, Any]


def encode(form: Format, tensors: Mapping[str, Array], description: Mapping[str, Any]) -> bytes:
    """The bytes of a file of the newest version; equal contents give equal bytes."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    whole = {**description, "format": form.name, "version": form.versions[-1]}
    whole["checksum"] = _checksum(arrays, whole)
    # One key: safetensors writes several in no fixed order, and equal contents are to be equal files.
    return save(arrays, {_KEY: json.dumps(whole, sort_keys=True, allow_nan=False)})


def read(path: str | PathLike[str], *forms: Format) -> TensorFile:
    """Read a file of one of the formats.

    Raises:
        UsageError: no such file, not such a file, a version that cannot be read, or contents that are not those that
            were written; says which and what to do.
    """
    from safetensors import safe_open

    file, nouns = Path(path), " or ".join(form.noun for form in forms)
    if not file.is_file():
        raise UsageError(f"there is no {nouns} at {file}: give the path of one, or of a run directory")
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            description = _description(metadata.get(_KEY))
            form = next((form for form in forms if form.name == (description or {}).get("format")), None)
            if description is None or form is None:
                raise UsageError(f"{file} is a safetensors file but not a ppocore {nouns}")
            version = description.get("version")
            if type(version) is not int or version not in form.versions:
                known = " and ".join(map(str, form.versions))
                newer = type(version) is int and version > form.versions[-1]
                raise UsageError(
                    f"{file} is a {form.noun} of version {version}, this ppocore reads {known}: "
                    + ("upgrade ppocore" if newer else "use the ppocore that wrote it")
                )
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except UsageError:
        raise
    except Exception as error:  # whatever safetensors, or NumPy on a dtype that it lacks, makes of foreign bytes
        raise UsageError(
            f"{file} is not a readable safetensors file ({_one_line(error)}): it was cut off, damaged or never one"
        ) from error
    checksum = description.pop("checksum", None)
    if (checksum is not None or version not in form.unchecked) and checksum != _checksum(tensors, description):
        raise UsageError(f"{file} is damaged: its contents are not those that were written; use another copy")
    return TensorFile(form.name, version, tensors, description)


def part(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _checksum(tensors: Mapping[str, Array], description: Mapping[str, Any]) -> str:
    whole = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        whole.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    whole.update(json.dumps(description, sort_keys=True).encode())
    return whole.hexdigest()


def _description(text: str | None) -> dict[str, Any] | None:
    try:
        loaded = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
