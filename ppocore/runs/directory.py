"""Where a run is written: its configuration, its metrics, its run files and its policy."""

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
from ppocore.runs.configuration import RunConfiguration
from ppocore.runs.lock import HOLDER_FILE, LOCK_FILE, RunLock
from ppocore.runs.state import read_checkpoint
from ppocore.training import Snapshot

CONFIGURATION_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
FAULT_FILE = "fault.txt"


class RunDirectory:
    """The files of one run, which no other process writes meanwhile; a context manager, or `close` it.

    Raises:
        UsageError: another process writes it.
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
        """Let others write it."""
        self._lock.release()

    @classmethod
    def create(cls, path: str | PathLike[str]) -> RunDirectory:
        """Make the directory.

        Raises:
            UsageError: it holds a run already, is a file, or cannot be written to.
        """
        directory = Path(path)
        try:
            if _holds_anything(directory):
                raise _refusal(directory)
            directory.mkdir(parents=True, exist_ok=True)
            opened = cls(directory)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"run directory {directory} cannot be written to ({reason}): choose another --run-dir"
            ) from error
        if _holds_anything(directory):  # another run that began at the same moment
            opened.close()
            raise UsageError(f"run directory {directory} is not empty: choose another --run-dir or move it away")
        return opened

    @classmethod
    def reopen(cls, path: str | PathLike[str]) -> RunDirectory:
        """The directory of a run that is to go on, without what a killed process left unfinished.

        Raises:
            UsageError: there is no run, or another process writes it.
        """
        directory = Path(path)
        if not (directory / CONFIGURATION_FILE).is_file():
            raise UsageError(f"{directory} is not a run directory: it has no {CONFIGURATION_FILE}")
        try:
            opened = cls(directory)
        except OSError as error:
            raise UsageError(f"run directory {directory} cannot be written to ({error.strerror or error})") from error
        for unfinished in directory.glob(".*.tmp"):
            unfinished.unlink(missing_ok=True)
        return opened

    @classmethod
    def unused(cls, root: str | PathLike[str], stem: str) -> Path:
        """``root/stem``, with a number behind it where that exists."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem)
        candidate, number = Path(root) / safe, 2
        while candidate.exists():
            candidate, number = Path(root) / f"{safe}-{number}", number + 1
        return candidate

    def write_configuration(self, configuration: RunConfiguration) -> None:
        """Write ``config.json``: what it takes to repeat the run, and to resume it."""
        whole = {"ppocore": __version__, **configuration.to_dict()}
        with saying_what_cannot_be_written(self.path):
            write_atomically(self.path / CONFIGURATION_FILE, (json.dumps(whole, indent=2) + "\n").encode())

    def write_policy(self, policy: Policy) -> None:
        """``policy.safetensors``."""
        policy.save(self.path / POLICY_FILE)

    def forget_policy(self) -> None:
        """Take away the policy that the run had ended with: it goes on, and its run files hold a newer one."""
        (self.path / POLICY_FILE).unlink(missing_ok=True)

    def newest(self) -> Snapshot | None:
        """Read the newest whole checkpoint; None if the run was never saved.

        Newer ones that are damaged are put aside under another name, with a warning for each.

        Raises:
            UsageError: there are run files, and none of them is whole; or a policy, but no run file.
        """
        files = run_files(self.path)
        damaged: list[Path] = []
        for file in reversed(files):
            try:
                snapshot = read_checkpoint(file)
            except UsageError as error:
                warn(f"{error}; falling back to an older checkpoint")
                damaged.append(file)
                continue
            for bad in damaged:
                bad.rename(bad.with_name(f"damaged-{bad.name}"))
            return snapshot
        if not files and (self.path / POLICY_FILE).exists():
            raise UsageError(
                f"{self.path} holds a policy and no checkpoint, without which the run cannot go on: train anew in "
                f"another directory, or move {POLICY_FILE} away to begin this one anew"
            )
        if files:
            raise UsageError(
                f"none of the {len(files)} checkpoints in {self.path} can be read: bring back a copy of one, or move "
                "them away to begin the run anew"
            )
        return None


@contextmanager
def saying_what_cannot_be_written(path: Path) -> Iterator[None]:
    """A full or read-only disk, before a run has begun, as one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"run directory {path} cannot be read or written ({error.strerror or error}): free space or choose another"
        ) from error


def _refusal(directory: Path) -> UsageError:
    """Why nothing is begun in a directory that holds something."""
    if (directory / LOCK_FILE).exists():
        RunLock(directory).release()  # raises, and says who, where a run is just going on
    hint = ""
    if (directory / CONFIGURATION_FILE).is_file():
        hint = f", or go on with the run that it holds by: ppocore resume {directory}"
    return UsageError(f"run directory {directory} is not empty: choose another --run-dir or move it away{hint}")


def _holds_anything(directory: Path) -> bool:
    """Whether there is more than a process leaves behind that was killed before it wrote anything."""
    if not directory.is_dir():
        return False
    names = {file.name for file in directory.iterdir()} - {LOCK_FILE, HOLDER_FILE}
    return any(not (name.startswith(".") and name.endswith(".tmp")) for name in names)


def read_configuration(path: str | PathLike[str]) -> RunConfiguration:
    """Read the configuration of the run in directory ``path``.

    Raises:
        UsageError: there is none, or it cannot be read.
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


def environment_of(path: str | PathLike[str]) -> str:
    """The id of the environment of a run, by its directory or one of its run files.

    Raises:
        UsageError: there is none, or it names a module to import.
    """
    env = read_configuration(path).env if Path(path).is_dir() else str(read_checkpoint(path).description["env"])
    if ":" in env:  # Gymnasium imports what stands before it, and a file is not to say what is imported
        raise UsageError(
            f"{path} names the environment {env}, for which a module would be imported: if you trust it, pass "
            f"--env {env}"
        )
    return env
