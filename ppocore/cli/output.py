"""Print to standard output and standard error, either of which may be closed or full."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TextIO


class Unwritable(Exception):
    """Report that standard output cannot be written; ``reason`` is None if its reader went away."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


def show(text: str) -> None:
    """Print a result.

    Raises:
        Unwritable: standard output cannot be written.
    """
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        _drop(sys.stdout)
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise Unwritable(None) from error
        raise Unwritable(str(getattr(error, "strerror", None) or error)) from error


def complain(command: str, sentence: str) -> None:
    """Print one line to standard error, if that can be written."""
    with suppress(OSError, ValueError):
        print(f"ppocore {command}: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def settle() -> None:
    """Write what is left to write, and drop what cannot be.

    Otherwise the interpreter would try once more when it ends, and exit with a status of its own (120).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream: TextIO) -> None:
    """Lead what a stream still holds, and all that follows, to nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
