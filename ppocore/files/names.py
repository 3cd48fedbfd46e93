"""Name the run files of a run directory, and list them by age.

``run-000000049152.safetensors`` is the checkpoint after 49,152 steps (docs/run-files.md); ``best.safetensors`` is the
best checkpoint so far.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ppocore.files.tensor_file import Format

RUN_FORMAT = Format("ppocore-run", "checkpoint", (1, 2))
BEST_FILE = "best.safetensors"
_NAME = re.compile(r"run-([0-9]{12,})\.safetensors")


def run_file(directory: Path, steps: int) -> Path:
    """Return the path of the run file after ``steps`` steps."""
    return directory / f"run-{steps:012d}.safetensors"


def run_files(directory: Path) -> list[Path]:
    """List the run files in a directory from the oldest to the newest; they may be damaged.

    A directory that is gone has none.
    """
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [(int(match[1]), directory / name) for name in names if (match := _NAME.fullmatch(name))]
    return [path for _, path in sorted(found)]
