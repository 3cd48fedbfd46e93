"""Read and write safetensors files of tensors and a JSON description, with a checksum over both.

The layout is that of safetensors (https://huggingface.co/docs/safetensors): nothing in it can be executed, and its
header has every tensor's size, which is compared with the file's before anything is allocated. The description is one
JSON object under the metadata key ``ppocore``. In addition to the entries of its format it has ``format``, ``version``
and ``checksum``, the SHA-256 over the names, dtypes, shapes and bytes of all tensors and over the other entries.
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
from ppocore.files.regular import kind_of
from ppocore.files.schema import parse_json, shown
from ppocore.typing import Array

_KEY = "ppocore"


class Format(NamedTuple):
    """Describe a kind of file: its name in the file and in messages, and the versions that can be read.

    ``unchecked`` are the versions without a checksum.
    """

    name: str
    noun: str
    versions: tuple[int, ...]
    unchecked: tuple[int, ...] = ()


class TensorFile(NamedTuple):
    """Hold the contents of a file."""

    format: str
    version: int
    tensors: dict[str, Array]
    description: dict[str, Any]


def encode(form: Format, tensors: Mapping[str, Array], description: Mapping[str, Any]) -> bytes:
    """Encode a file of the newest version; equal contents give equal bytes."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    whole = {**description, "format": form.name, "version": form.versions[-1]}
    whole["checksum"] = _checksum(arrays, whole)
    # One key, because safetensors writes several in no fixed order, and equal contents must give equal files.
    return save(arrays, {_KEY: json.dumps(whole, sort_keys=True, allow_nan=False)})


def read(path: str | PathLike[str], *forms: Format) -> TensorFile:
    """Read a file of one of the formats.

    Raises:
        UsageError: there is no such file, it has another format or an unknown version, or it is damaged; the message
            says what to do.
    """
    from safetensors import safe_open

    file, nouns = Path(path), " or ".join(form.noun for form in forms)
    if not file.is_file():
        advice = f"give the path of a {forms[0].noun}, or of a run directory"
        kind = _kind(file)
        if kind is not None:
            raise UsageError(f"{file} is {kind}, not a {nouns}: {advice}")
        raise UsageError(f"there is no {nouns} at {file}: {advice}")
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            try:
                description = _description(metadata.get(_KEY))
            except ValueError as error:
                raise UsageError(
                    f"{file} is not a ppocore {nouns}: its description is not valid JSON ({error})"
                ) from error
            form = next((form for form in forms if form.name == (description or {}).get("format")), None)
            if description is None or form is None:
                raise UsageError(f"{file} is a safetensors file but not a ppocore {nouns}")
            version = description.get("version")
            if type(version) is not int or version not in form.versions:
                known = " and ".join(map(str, form.versions))
                newer = type(version) is int and version > form.versions[-1]
                raise UsageError(
                    f"{file} is a {form.noun} of version {shown(version)}, this ppocore reads {known}: "
                    + ("upgrade ppocore" if newer else "use the ppocore that wrote it")
                )
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except UsageError:
        raise
    except Exception as error:  # safetensors, or NumPy for an unknown dtype, may raise anything
        raise UsageError(
            f"{file} is not a readable safetensors file ({_one_line(error)}): it was cut off, damaged or never one"
        ) from error
    checksum = description.pop("checksum", None)
    try:
        whole = checksum == _checksum(tensors, description)
    except RecursionError:  # no description is nested as deeply
        whole = False
    if (checksum is not None or version not in form.unchecked) and not whole:
        raise UsageError(f"{file} is damaged: its contents are not those that were written; use another copy")
    return TensorFile(form.name, version, tensors, description)


def part(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Select the tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _checksum(tensors: Mapping[str, Array], description: Mapping[str, Any]) -> str:
    whole = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        whole.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    whole.update(json.dumps(description, sort_keys=True).encode())
    return whole.hexdigest()


def _kind(file: Path) -> str | None:
    """Return what a path is, if that is neither a regular file nor a directory."""
    try:
        kind = kind_of(file.stat().st_mode)
    except (OSError, ValueError):
        return None
    return None if kind == "a directory" else kind


def _description(text: str | None) -> dict[str, Any] | None:
    loaded = None if text is None else parse_json(text)
    return loaded if isinstance(loaded, dict) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
