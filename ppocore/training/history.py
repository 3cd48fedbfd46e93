"""Keep the metrics of every iteration of a run of any length, in little memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, overload

Row = dict[str, Any]

KEPT_BYTES = 1 << 20
"""Bytes that are kept in memory before they are written to a temporary file."""


class History(Sequence[Row]):
    """Hold one dict of metrics for each iteration; a sequence that is appended to.

    A row is kept as a line of JSON. Lines go to an unnamed temporary file whenever there are ``KEPT_BYTES`` of them, so
    that memory does not grow with the run: a row as a dict takes 7 kB, and long runs have a hundred thousand. Where no
    file can be written, the lines stay in memory.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._file: IO[bytes] | None = None
        self._ends = array("Q")  # of each row in all bytes
        self._written = 0  # bytes in the file
        self._kept = bytearray()  # those after them
        self._limit = KEPT_BYTES
        self._last: Row | None = None
        for row in rows:
            self.append(row)

    def append(self, row: Row) -> None:
        """Add the metrics of an iteration."""
        self._kept += json.dumps(row, default=_as_number).encode()
        self._ends.append(self._written + len(self._kept))
        self._last = row
        if len(self._kept) >= self._limit:
            self._write()

    def _write(self) -> None:
        import tempfile  # only here, because few runs are that long

        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the history)
            self._file.seek(self._written)
            self._file.write(self._kept)
            self._file.flush()
        except OSError:  # a full disk: try again when twice as much is kept
            self._limit *= 2
            return
        self._written += len(self._kept)
        self._kept, self._limit = bytearray(), KEPT_BYTES

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # raises the IndexError of a sequence
        if number == len(self) - 1 and self._last is not None:
            return self._last
        return self._read(number)

    def _read(self, number: int) -> Row:
        begin, end = self._ends[number - 1] if number else 0, self._ends[number]
        if begin >= self._written:
            line = bytes(self._kept[begin - self._written : end - self._written])
        else:
            assert self._file is not None
            self._file.seek(begin)
            line = self._file.read(end - begin)
        row: Row = json.loads(line)
        return row

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return History, (list(self),)

    def __repr__(self) -> str:
        return f"History of {len(self)} iterations"


def _as_number(value: Any) -> Any:
    """Convert a NumPy number, which a collector of one's own may report."""
    return value.item()
