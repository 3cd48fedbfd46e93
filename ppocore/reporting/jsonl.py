"""``metrics.jsonl``: one JSON object an iteration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..result import TrainResult
    from . import RunStart


class MetricsFile:
    """Appends each iteration's metrics as a line, flushed so that it can be followed while the run goes on."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (held for the run; closed by `close`)

    def begin(self, start: RunStart) -> None:
        """Nothing: the configuration has a file of its own."""

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Write one line."""
        self._file.write(json.dumps(metrics, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def end(self, result: TrainResult) -> None:
        """Nothing: the last line says it all."""
