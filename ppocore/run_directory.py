"""Where a run is written: its configuration, its metrics and its policy."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .atomic import write_atomically
from .errors import UsageError
from .policy import POLICY_FILE, Policy

if TYPE_CHECKING:
    from .reporting import RunStart

CONFIGURATION_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"


class RunDirectory:
    """``config.json``, ``metrics.jsonl`` and ``policy.safetensors`` of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_path = path / METRICS_FILE

    @classmethod
    def create(cls, path: str | PathLike[str]) -> RunDirectory:
        """Make the directory.

        Raises:
            UsageError: it holds a run already, is a file, or cannot be written to.
        """
        directory = Path(path)
        if directory.is_dir() and any(directory.iterdir()):
            raise UsageError(f"run directory {directory} is not empty: choose another --run-dir or move it away")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"run directory {directory} cannot be written to ({reason}): choose another --run-dir"
            ) from error
        return cls(directory)

    @classmethod
    def unused(cls, root: str | PathLike[str], stem: str) -> Path:
        """``root/stem``, with a number behind it where that exists."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem)
        candidate, number = Path(root) / safe, 2
        while candidate.exists():
            candidate, number = Path(root) / f"{safe}-{number}", number + 1
        return candidate

    def write_configuration(self, start: RunStart) -> None:
        """``config.json``: what it takes to repeat the run."""
        content = {
            "ppocore": __version__,
            "env": start.env,
            "backend": start.backend,
            "seed": start.seed,
            "config": start.config.to_dict(),
        }
        write_atomically(self.path / CONFIGURATION_FILE, (json.dumps(content, indent=2) + "\n").encode())

    def write_policy(self, policy: Policy) -> None:
        """``policy.safetensors``."""
        policy.save(self.path / POLICY_FILE)


def read_configuration(path: str | PathLike[str]) -> dict[str, Any]:
    """The configuration of the run in directory ``path``.

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
    return content
