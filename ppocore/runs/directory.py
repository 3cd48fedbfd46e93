"""Manage a run directory: its configuration, its metrics, its checkpoints and its policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from ppocore.errors import UsageError, warn
from ppocore.files import run_files, write_atomically
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

    def make(self) -> Path:
        """Make the directory; of several runs that start at once, each makes its own.

        Raises:
            UsageError: it cannot be made.
        """
        candidate, number = self._first, 2
        try:
            candidate.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    candidate.mkdir()
                    return candidate
                except FileExistsError:
                    candidate, number = Path(f"{self._first}-{number}"), number + 1
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"run directory {candidate} cannot be made ({reason}): choose another --run-dir"
            ) from error


class RunDirectory:
    """Hold the files of one run, locked against other processes; a context manager, or call `close`.

    Raises:
        UsageError: another process is writing to the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_path = path / METRICS_FILE
        self._lock = RunLock(path)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    @classmethod
    def create(cls, path: str | PathLike[str] | UnusedDirectory) -> RunDirectory:
        """Create the directory.

        Raises:
            UsageError: it is not empty, is a file, or cannot be written to.
        """
        if isinstance(path, UnusedDirectory):
            path = path.make()
        directory = Path(path)
        try:
            if not _is_empty(directory):
                raise _not_empty_error(directory)
            directory.mkdir(parents=True, exist_ok=True)
            opened = cls(directory)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"run directory {directory} cannot be written to ({reason}): choose another --run-dir"
            ) from error
        if not _is_empty(directory):  # another run started at the same moment
            opened.close()
            raise UsageError(f"run directory {directory} is not empty: choose another --run-dir or move it away")
        return opened

    @classmethod
    def reopen(cls, path: str | PathLike[str]) -> RunDirectory:
        """Open the directory of a run to resume, and delete the temporary files of a killed process.

        Raises:
            UsageError: not a run directory, or another process is writing to it.
        """
        directory = Path(path)
        if not (directory / CONFIGURATION_FILE).is_file():
            raise UsageError(f"{directory} is not a run directory: it has no {CONFIGURATION_FILE}")
        try:
            opened = cls(directory)
        except OSError as error:
            raise UsageError(
                f"run directory {directory} cannot be written to ({error.strerror or error}): make it writable"
            ) from error
        for unfinished in directory.glob(".*.tmp"):
            unfinished.unlink(missing_ok=True)
        return opened

    def write_configuration(self, configuration: RunConfiguration) -> None:
        """Write ``config.json``."""
        whole = {"ppocore": __version__, **configuration.to_dict()}
        with os_errors_as_usage_errors(self.path):
            write_atomically(self.path / CONFIGURATION_FILE, (json.dumps(whole, indent=2) + "\n").encode())

    def write_policy(self, policy: Policy) -> None:
        """Write ``policy.safetensors``."""
        policy.save(self.path / POLICY_FILE)

    def remove_policy(self) -> None:
        """Remove ``policy.safetensors`` of a run that is resumed, whose checkpoints will have newer weights."""
        (self.path / POLICY_FILE).unlink(missing_ok=True)

    def newest(self) -> Snapshot | None:
        """Read the newest checkpoint that is not damaged; return None if the run was never saved.

        Newer checkpoints that are damaged are renamed, with a warning for each.

        Raises:
            UsageError: every checkpoint is damaged, or there is a policy but no checkpoint.
        """
        files = run_files(self.path)
        damaged: list[Path] = []
        for file in reversed(files):
            try:
                snapshot = read_checkpoint(file)
            except UsageError as error:
                warn(f"{error}; an older checkpoint is read instead")
                damaged.append(file)
                continue
            for bad in damaged:
                bad.rename(bad.with_name(f"damaged-{bad.name}"))
            return snapshot
        if not files and (self.path / POLICY_FILE).exists():
            raise UsageError(
                f"{self.path} holds a policy but no checkpoint to resume from: train in another directory, or move "
                f"{POLICY_FILE} away to restart this run"
            )
        if files:
            raise UsageError(
                f"none of the {len(files)} checkpoints in {self.path} can be read: restore one from a backup, or move "
                "them away to restart the run"
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


def _not_empty_error(directory: Path) -> UsageError:
    """Return the error for a new run in a directory that is not empty; raise the lock's if it is in use."""
    if (directory / LOCK_FILE).exists():
        RunLock(directory).release()  # raises, naming the process, if a run is in progress
    hint = ""
    if (directory / CONFIGURATION_FILE).is_file():
        hint = f", or resume the run in it with: ppocore resume {directory}"
    return UsageError(f"run directory {directory} is not empty: choose another --run-dir or move it away{hint}")


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
        content = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"{path} is not a run directory: {file} cannot be read") from error
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, dict) or not {"env", "config", "seed"} <= set(content):
        raise UsageError(f"{file} is not a run's configuration: env, config or seed is missing")
    try:
        return RunConfiguration.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{file} is not a run's configuration: {error}") from error


def without_import(env: str, path: str | PathLike[str]) -> str:
    """Return an environment id that a file holds.

    Raises:
        UsageError: it names a module to import.
    """
    if ":" in env:  # Gymnasium imports the module before the colon, which a file must not cause
        raise UsageError(
            f"{path} names the environment {env}, for which a module would be imported: if you trust it, pass "
            f"--env {env}"
        )
    return env
