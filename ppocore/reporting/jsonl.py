"""Write and read ``metrics.jsonl``, which has one JSON object per iteration."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, BinaryIO

from ppocore.errors import warn
from ppocore.files import open_regular, parse_json, read_lines_of, write_atomically
from ppocore.files.schema import TOP, integer, number, record
from ppocore.training import Callback, Run

_PART = 2**20  # bytes that are copied at once


class MetricsFile(Callback):
    """Append each iteration's metrics as a line, unbuffered, so that the file can be followed during the run.

    A line that cannot be written, as on a full disk, is kept in memory and written with the next one, after one
    warning.

    Args:
        path: path of the file; existing lines are kept.
        ensure: makes the directory again if it was removed.
    """

    reads_infos = False

    def __init__(self, path: Path, ensure: Callable[[], None] = lambda: None) -> None:
        self._file = _opened(path)
        self._path, self._ensure = path, ensure
        self._end = self._file.tell()  # of the last complete line
        self._pending: list[bytes] = []
        self._failing = False
        self._lost: OSError | None = None  # the error because of which lines are missing from the closed file

    def on_iteration(self, run: Run) -> None:
        """Write the metrics as one line."""
        self._pending.append(_line(run.metrics))
        while self._pending:
            try:
                self._write(self._pending[0])
            except OSError as error:
                if not self._failing:
                    reason = error.strerror or error
                    warn(f"{self._path.name} could not be written ({reason}): its lines are kept until it can be")
                self._failing = True
                return
            self._failing = False
            self._pending.pop(0)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            os.ftruncate(self._file.fileno(), self._end)
            raise
        self._end += len(line)

    def sync(self) -> None:
        """Write pending lines, and flush the file to disk.

        Raises:
            OSError: a line cannot be written.
        """
        if self._file.closed:
            if self._lost is not None:
                raise self._lost
            return
        self._restore_if_removed()
        while self._pending:
            self._write(self._pending[0])
            self._pending.pop(0)
        os.fsync(self._file.fileno())

    def _restore_if_removed(self) -> None:
        """Write the file again if it was removed; what it held can still be read."""
        if self._path.exists():
            return
        self._file.seek(0)
        self._ensure()
        write_atomically(self._path, iter(self._read_part, b""))
        self._file.close()
        self._file = _opened(self._path)

    def _read_part(self) -> bytes:
        """Return the next bytes of the complete lines; none at their end."""
        return self._file.read(min(_PART, self._end - self._file.tell()))

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Close the file; if the run ended early, keep only the lines of complete iterations, each once."""
        try:
            self.sync()
        except OSError as lost:
            self._lost = lost
        self._file.close()
        if error is None and run.complete and self._lost is None:
            return
        try:
            self._ensure()
            keep_lines(self._path, run.snapshot.iterations, run.history)
            self._lost = None
        except OSError as lost:
            self._lost = lost
            warn(f"{self._path.name} could not be written ({lost.strerror or lost})")


def _opened(path: Path) -> FileIO:
    """Open the file for the whole run, to append to and to read what it has; `on_end` closes it."""
    return open(path, "a+b", buffering=0)


def read_lines(path: Path, iterations: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Read the metrics of the first ``iterations`` iterations, each once and in order, and list missing iterations.

    Of more than a thousand missing iterations only the first are listed.
    """
    with _opened_to_read(path) as file:
        rows = {row["iteration"]: row for _, _, row in _lines(path, file, iterations)}
    absent = (number for number in itertools.count(1) if number not in rows)
    missing = list(itertools.islice(absent, min(1000, iterations - len(rows))))
    return [rows[number] for number in sorted(rows)], missing


def keep_lines(path: Path, iterations: int, history: Sequence[dict[str, Any]] = ()) -> None:
    """Keep only the lines of the first ``iterations`` iterations, each once and in order.

    Missing lines are added from ``history``. Only the places of lines are held in memory, however large the file is.
    """
    with _opened_to_read(path) as file:
        places = {row["iteration"]: (start, length) for start, length, row in _lines(path, file, iterations)}
        first = itertools.islice(history, iterations)
        absent = (row for row in first if row["iteration"] not in places and row["iteration"] <= iterations)
        added = {row["iteration"]: row for row in absent}

        def kept() -> Iterator[bytes]:
            for number in sorted(places.keys() | added.keys()):
                if number not in places:
                    yield _line(added[number])
                    continue
                start, length = places[number]
                file.seek(start)
                yield file.read(length)

        ends = [0, *itertools.accumulate(places[number][1] for number in sorted(places))]
        in_order = all(places[number][0] == end for number, end in zip(sorted(places), ends, strict=False))
        if not (in_order and not added and ends[-1] == file.seek(0, os.SEEK_END)):
            write_atomically(path, kept())


_ROW = record({"iteration": integer(1)}, {"seconds": number(0.0)}, others=True)


def _line(metrics: dict[str, Any]) -> bytes:
    return (json.dumps(metrics, allow_nan=False) + "\n").encode()


def _opened_to_read(path: Path) -> BinaryIO:
    """Open the file; an empty one if there is none."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        return BytesIO()


def _lines(path: Path, file: BinaryIO, iterations: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the place, the length and the metrics of every line of the first iterations."""
    start = 0
    for line in read_lines_of(path, file):
        start += len(line)
        try:
            row = parse_json(line)
            _ROW(row, TOP)
        except ValueError:
            continue  # cut off when a process was killed, and the iteration is repeated, or damaged
        if line.endswith(b"\n") and row["iteration"] <= iterations:
            yield start - len(line), len(line), row
