"""Write files that are whole or absent."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

_numbers = itertools.count()


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write ``content`` to ``path``, so that a reader or a crash sees either the old file or the new one.

    It may be given in parts. The bytes are written to a new temporary file in the same directory and flushed to the
    disk before it is renamed. A link at ``path`` is replaced, not followed.
    """
    # A short name, because a long one with more appended might be too long.
    temporary = path.with_name(f".{path.name[:48]}.{os.getpid()}-{next(_numbers)}.tmp")
    temporary.unlink(missing_ok=True)  # of a killed process that had the same number
    try:
        with open(temporary, "xb") as file:  # never through a link
            for chunk in (content,) if isinstance(content, bytes) else content:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the rename is durable once its directory is flushed
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
