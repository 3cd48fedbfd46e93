"""Read regular files of bounded size, and check what a path that a user gives would replace."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ppocore.errors import UsageError
from ppocore.files.atomic import write_atomically
from ppocore.files.schema import parse_json

SMALL = 16 * 2**20
"""The largest ``config.json``, and the longest line of ``metrics.jsonl``, that are read, in bytes."""

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str | None:
    """Return what a file is that is not a regular one; None for a regular one."""
    return next((kind for holds, kind in _KINDS if holds(mode)), None)


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes, without waiting for a named pipe or reading a device.

    Raises:
        OSError: it cannot be read.
        UsageError: it is not a regular file, or larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UsageError(f"{path} has {size} bytes, more than the {limit} that are read: restore the file")
        return file.read(limit)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; the caller closes it.

    Raises:
        OSError: it cannot be read.
        UsageError: it is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = open(descriptor, "rb")  # noqa: SIM115 (for the caller)
    kind = kind_of(os.fstat(descriptor).st_mode)
    if kind is not None:
        file.close()
        raise UsageError(f"{path} is {kind}, not a file: put the file of the run there")
    return file


def read_lines_of(path: Path, file: BinaryIO, limit: int = SMALL) -> Iterator[bytes]:
    """Yield the lines of a file of any size, each with its end, in memory that one line takes.

    Raises:
        UsageError: a line is longer than ``limit`` bytes.
    """
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        if len(line) > limit:
            raise UsageError(
                f"line {number} of {path} is longer than the {limit} bytes that are read: restore the file"
            )
        yield line


def check_target(path: str | os.PathLike[str]) -> Path:
    """Check that a path that a user gave is of a new file, or of a regular one that may be replaced.

    Raises:
        UsageError: its directory does not exist, something that is not a regular file is there, or a file of a run
            or one that ppocore reads.
    """
    target = Path(path)
    try:
        missing = not target.parent.is_dir()
        mode = os.lstat(target).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    if missing:
        raise UsageError(f"{path} cannot be written: there is no directory {target.parent}")
    kind = None if mode is None else kind_of(mode)
    if kind is not None:
        advice = "name a file in it" if kind == "a directory" else "name a new file, or a regular one to replace"
        raise UsageError(f"{path} is {kind}: {advice}")
    if _is_of_a_run(target):
        raise UsageError(f"{path} is a file of the run in {target.parent}: name another file")
    return target


def check_replaceable(path: Path, name: str | None) -> None:
    """Check that an existing file is not one of ppocore's, unless of the format called ``name``.

    Raises:
        UsageError: it is one.
    """
    found = format_of(path)
    if found is not None and found != name:
        raise UsageError(f"{path} holds a {found.removeprefix('ppocore-')} of ppocore's: name another file")


def format_of(path: Path) -> str | None:
    """Return the name of the format of one of ppocore's files; None for any other file."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= SMALL:
                return None
            header = parse_json(file.read(size))
        name = parse_json(header["__metadata__"]["ppocore"])["format"]
        return str(name) if str(name).startswith("ppocore-") else None
    return None


def unwritable(path: object, error: Exception) -> UsageError:
    """Return the error for a path that cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return UsageError(f"{path} cannot be written ({reason}): choose another file, or make room for this one")


def _is_of_a_run(target: Path) -> bool:
    """Return whether a path is that of a file which a run has in its directory."""
    names = ("config.json", "metrics.jsonl", "policy.safetensors", "best.safetensors", "fault.txt")
    name = target.name
    ours = name in names or name.startswith((".lock", ".holder", "run-", "damaged-run-", "non-finite-"))
    return ours and (target.parent / "config.json").exists()


def own_copy(path: Path) -> None:
    """Replace a file of lines that has other names by a copy, so that writing does not change it under the others.

    Raises:
        OSError: it cannot be read or written.
        UsageError: it is not a regular file.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode) or found.st_nlink > 1:
        try:
            with open_regular(path) as file:
                write_atomically(path, read_lines_of(path, file))
        except FileNotFoundError:  # a link to nothing
            path.unlink(missing_ok=True)
    elif kind_of(found.st_mode) is not None:
        raise UsageError(f"{path} is {kind_of(found.st_mode)}, not a file: put the file of the run there")


def own_lock(path: Path) -> None:
    """Make sure that a lock file is a regular file without other names, because opening it cuts it off.

    Raises:
        OSError: something else is there, or a file with other names that another process has locked.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    kind = kind_of(found.st_mode)
    if kind is not None:
        raise OSError(errno.EINVAL, f"its {path.name} is {kind}")
    if found.st_nlink > 1:
        with open(path, "rb+") as file:
            if not _is_free(file.fileno()):
                raise OSError(errno.EBUSY, f"its {path.name} is a hard link to that of a run in progress")
        path.unlink()


def _is_free(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no POSIX system
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
