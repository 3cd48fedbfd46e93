"""The run files of a run directory: where they lie and which is the newest.

``run-000000049152.safetensors`` holds the whole run as it was after 49,152 steps (docs/run-files.md);
``best.safetensors`` is one of the same kind, the best so far.
"""

from __future__ import annotations

import re
from pathlib import Path

from ppocore.files.tensors import Format

RUN_FORMAT = Format("ppocore-run", "checkpoint", (1, 2))
BEST_FILE = "best.safetensors"
_NAME = re.compile(r"run-(\d{12,})\.safetensors")


def run_file(directory: Path, steps: int) -> Path:
    """The name of the run file after ``steps`` steps."""
    return directory / f"run-{steps:012d}.safetensors"


def run_files(directory: Path) -> list[Path]:
    """The run files in a directory, from the oldest to the newest; they may be damaged."""
    found = [(int(match[1]), path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]
