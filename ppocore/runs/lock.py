"""Lock a run directory against other processes."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ppocore.errors import UsageError
from ppocore.files import own_lock, parse_json, read_regular
from ppocore.files.schema import TOP, integer, record, text

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_FILE, HOLDER_FILE = ".lock", ".holder.json"


class RunLock:
    """Lock a run directory while a run writes to it; the operating system releases it if the process dies.

    Raises:
        UsageError: another process holds the lock; the message names it.
        OSError: the lock cannot be written, or is not a regular file.
    """

    def __init__(self, directory: Path) -> None:
        from filelock import FileLock, Timeout

        own_lock(directory / LOCK_FILE)
        self._lock: FileLock = FileLock(directory / LOCK_FILE)
        holder = directory / HOLDER_FILE
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"run directory {directory} is being written by {_described(holder)}: wait for it or stop it, or "
                "choose another directory"
            ) from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        known = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        try:
            holder.unlink(missing_ok=True)
            with open(holder, "x") as file:  # never through a link
                file.write(json.dumps(known) + "\n")
        except BaseException:
            self._lock.release()
            raise
        self._holder = holder

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):
            self._holder.unlink(missing_ok=True)
        self._lock.release()


def _described(holder: Path) -> str:
    try:
        known = parse_json(read_regular(holder, 4096))
        record({"process": integer(), "host": text, "since": text})(known, TOP)
        return f"process {known['process']} on {known['host']} (since {known['since']})"
    except (OSError, ValueError):
        return "another process"
