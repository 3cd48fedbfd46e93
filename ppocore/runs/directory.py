"""Manage a run directory: its configuration, its metrics, its checkpoints and its policy."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from ppocore.errors import UsageError, warn
from ppocore.files import SMALL, own_copy, parse_json, read_regular, run_files, write_atomically
from ppocore.files.descriptions import CONFIGURATION
from ppocore.files.schema import TOP
from ppocore.files.version import __version__
from ppocore.policy import POLICY_FILE, Policy
from ppocore.runs.checkpoint_file import read_checkpoint
from ppocore.runs.configuration import RunConfiguration
from ppocore.runs.lock import HOLDER_FILE, LOCK_FILE, RunLock
from ppocore.training import Snapshot

CONFIGURATION_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
FAULT_FILE = "fault.txt"


class UnusedDirectory:
    """Name a directory that is made when the run starts: ``root/stem``, with a number appended if that exists."""

    def __init__(self, root: str | PathLike[str], stem: str) -> None:
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in stem)
        self._first = Path(root) / safe[:200]  # file systems take names of up to 255 bytes
        self._location = located(self._first)

    def make(self) -> tuple[Path, Path]:
        """Make the directory; of several runs that start at once, each makes its own.

        Returns:
            Its path below ``root``, and its absolute path.

        Raises:
            UsageError: it cannot be made.
        """
        candidate, place, number = self._first, self._location, 2
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    place.mkdir()
                    return candidate, place
                except FileExistsError:
                    candidate, place = (Path(f"{path}-{number}") for path in (self._first, self._location))
                    number += 1
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"run directory {candidate} cannot be made ({reason}): pass another run_dir=") from error


class RunDirectory:
    """Hold the files of one run, locked against other processes; a context manager, or call `close`.

    Attributes:
        path: the directory as it was given, for messages.
        location: its absolute path, because an environment may change the working directory.
        metrics_path: the absolute path of ``metrics.jsonl``.
        how_to_resume: the command or the call that resumes the run.

    Raises:
        UsageError: another process is writing to the directory.
    """

    def __init__(self, path: Path, location: Path | None = None) -> None:
        self.path = path
        self.location = located(path) if location is None else location
        self.metrics_path = self.location / METRICS_FILE
        self.how_to_resume = f"ppocore resume {path}"
        self._lock = RunLock(self.location)
        self._identity = _identity(self.location)
        self._configuration: bytes | None = None  # the contents of config.json

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def ensure(self) -> None:
        """Make the directory again, with its configuration, if it was removed while the run was writing to it.

        Raises:
            OSError: it cannot be made, or another directory is in its place.
        """
        found = _identity(self.location)
        configuration = self.location / CONFIGURATION_FILE
        if self._configuration is None or (found == self._identity and configuration.exists()):
            return
        if found not in (None, self._identity) and any(self.location.iterdir()):
            raise OSError(errno.EEXIST, f"another directory is now at {self.path}")
        if found != self._identity:
            warn(f"run directory {self.path} was removed during the run: it is made again, without older checkpoints")
            self.location.mkdir(parents=True, exist_ok=True)
            self._lock.release()
            try:
                self._lock = RunLock(self.location)
            except UsageError as error:
                raise OSError(errno.EBUSY, str(error)) from error
            self._identity = _identity(self.location)
        write_atomically(configuration, self._configuration)

    @classmethod
    def create(cls, path: str | PathLike[str] | UnusedDirectory, location: Path | None = None) -> RunDirectory:
        """Create the directory.

        Args:
            path: as it was given.
            location: its absolute path, if the working directory may have changed since.

        Raises:
            UsageError: it is not empty, is a file, or cannot be written to.
        """
        if isinstance(path, UnusedDirectory):
            path, location = path.make()
        directory = Path(path)
        try:
            place = located(directory) if location is None else location
            if not _is_empty(place):
                raise _not_empty_error(directory, place)
            place.mkdir(parents=True, exist_ok=True)
            opened = cls(directory, place)
        except (OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"run directory {directory} cannot be written to ({reason}): pass another run_dir="
            ) from error
        if not _is_empty(place):  # another run started at the same moment
            opened.close()
            raise _not_empty(directory)
        return opened

    @classmethod
    def reopen(cls, path: str | PathLike[str]) -> RunDirectory:
        """Open the directory of a run to resume, and delete the temporary files of a killed process.

        Raises:
            UsageError: not a run directory, or another process is writing to it.
        """
        directory = Path(path)
        recorded = read_configuration(directory)  # before anything is written
        try:
            opened = cls(directory)
        except OSError as error:
            raise _unwritable(directory, error) from error
        try:
            own_copy(opened.metrics_path)
            for unfinished in opened.location.glob(".*.tmp"):
                with suppress(OSError):  # a directory, which is not ours
                    unfinished.unlink()
            opened.how_to_resume = recorded.how_to_resume(directory)
            opened._configuration = read_regular(opened.location / CONFIGURATION_FILE, SMALL)
        except OSError as error:
            opened.close()
            raise _unwritable(directory, error) from error
        except BaseException:
            opened.close()
            raise
        return opened

    def write_configuration(self, configuration: RunConfiguration) -> None:
        """Write ``config.json``."""
        self.how_to_resume = configuration.how_to_resume(self.path)
        whole = {"ppocore": __version__, **configuration.to_dict()}
        self._configuration = (json.dumps(whole, indent=2) + "\n").encode()
        with os_errors_as_usage_errors(self.path):
            write_atomically(self.location / CONFIGURATION_FILE, self._configuration)

    def write_policy(self, policy: Policy) -> None:
        """Write ``policy.safetensors``."""
        self.ensure()
        write_atomically(self.location / POLICY_FILE, policy.encode())

    def remove_policy(self) -> None:
        """Remove ``policy.safetensors`` of a run that is resumed, whose checkpoints will have newer weights."""
        (self.location / POLICY_FILE).unlink(missing_ok=True)

    def newest(self) -> Snapshot | None:
        """Read the newest checkpoint that is not damaged; return None if the run was never saved.

        Newer checkpoints that are damaged are renamed, with a warning for each.

        Raises:
            UsageError: every checkpoint is damaged, or there is a policy but no checkpoint.
        """
        files = run_files(self.location)
        damaged: dict[Path, UsageError] = {}
        for file in reversed(files):
            try:
                snapshot = read_checkpoint(file)
            except UsageError as error:
                damaged[file] = error
                continue
            for bad, reason in damaged.items():
                warn(f"{reason}; an older checkpoint is read instead")
                bad.rename(bad.with_name(f"damaged-{bad.name}"))
            return snapshot
        if not files and (self.location / POLICY_FILE).exists():
            raise UsageError(
                f"{self.path} holds a policy but no checkpoint to resume from: train in another directory, or move "
                f"{POLICY_FILE} away to restart this run"
            )
        if files:
            raise UsageError(
                f"none of the {len(files)} checkpoints in {self.path} can be read ({damaged[files[-1]]}): restore one "
                "from a backup, or move them away to restart the run"
            )
        return None


@contextmanager
def os_errors_as_usage_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` from within, such as for a full disk, as a `UsageError`; for use before a run starts."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"run directory {path} cannot be read or written ({error.strerror or error}): free space or choose another"
        ) from error


def located(path: str | PathLike[str]) -> Path:
    """Return the absolute path of a run directory, which stays when the working directory changes.

    Raises:
        UsageError: the working directory does not exist any more.
    """
    try:
        return Path(path).absolute()
    except FileNotFoundError:
        raise UsageError(f"run directory {path} is in a directory that was removed: go to another one") from None


def _unwritable(directory: Path, error: OSError) -> UsageError:
    return UsageError(f"run directory {directory} cannot be written to ({error.strerror or error}): make it writable")


def _identity(directory: Path) -> tuple[int, int] | None:
    """Return what tells a directory from another one at the same path; None if there is none."""
    try:
        found = os.stat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _not_empty_error(directory: Path, place: Path) -> UsageError:
    """Return the error for a new run in a directory that is not empty; raise the lock's if it is in use."""
    if (place / LOCK_FILE).exists():
        RunLock(place).release()  # raises, naming the process, if a run is in progress
    hint = ""
    if (place / CONFIGURATION_FILE).is_file():
        with suppress(UsageError):
            hint = f", or resume the run in it with: {read_configuration(place).how_to_resume(directory)}"
    return _not_empty(directory, hint)


def _not_empty(directory: Path, hint: str = "") -> UsageError:
    return UsageError(f"run directory {directory} is not empty: pass another run_dir= or move it away{hint}")


def _is_empty(directory: Path) -> bool:
    """Return whether a directory is missing, or has only the lock and temporary files of a process that was killed."""
    if not directory.is_dir():
        return True
    names = {file.name for file in directory.iterdir()} - {LOCK_FILE, HOLDER_FILE}
    return all(name.startswith(".") and name.endswith(".tmp") for name in names)


def read_configuration(path: str | PathLike[str]) -> RunConfiguration:
    """Read the configuration of the run in directory ``path``.

    Raises:
        UsageError: it is missing or cannot be read.
    """
    file = Path(path) / CONFIGURATION_FILE
    try:
        content = parse_json(read_regular(file, SMALL))
    except OSError as error:
        has = f"it has no {CONFIGURATION_FILE}" if isinstance(error, FileNotFoundError) else f"{file} cannot be read"
        raise UsageError(f"{path} is not a run directory: {has}") from error
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    try:
        CONFIGURATION(content, TOP)
        return RunConfiguration.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{file} is not a run's configuration: {error}") from error
