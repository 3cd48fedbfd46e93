"""Solve the linear recurrence ``y[t] = x[t] + c[t] * y[t+1]`` of every estimator, from the last row to the first.

A Python loop over T rows pays NumPy's call overhead T times. `reverse_scan` instead divides time into blocks, scans all
blocks at once, and then carries the results from block to block, which is a scan of the first rows of the blocks. So
about ``sqrt(T)`` calls replace T. Rows that are wide enough to hide the overhead are scanned one by one.

Only elementwise operations are used, so a result depends on the shape of the input but not on the BLAS.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from ppocore.typing import Bools, Floats

# Measured: with this many columns or more, the work of one row hides the overhead of its calls.
WIDE = 300
# Measured: up to this many rows, a single column is scanned fastest in Python numbers.
SHORT_COLUMN = 48
# Measured: fewer rows than this are not worth dividing into blocks.
FEW_ROWS = 16
# Measured: this many numbers, and the other arrays of their size, stay in the processor's cache.
# 2^3 * 3^2 * 5^2 * 7 * 11, so that blocks of many lengths divide it; with a power of two they would share cache lines.
PIECE = 138_600
# Measured: likewise for rows scanned one by one, which the next ones then find in a nearer cache. PIECE itself decides
# how sums of narrow rows are grouped, and so their last bits.
_WIDE_PIECE = 65_536


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """Yield consecutive runs of rows that fit in the cache, the last run first."""
    length = max(1, (PIECE if columns < WIDE else _WIDE_PIECE) // max(1, columns))
    for stop in range(rows, 0, -length):
        yield slice(max(0, stop - length), stop)


_kept = threading.local()


def workspace(name: str, arrays: int, size: int) -> Floats:
    """Return memory for ``arrays`` times ``size`` numbers, which every call of this thread reuses.

    Fresh memory would cost as much as the arithmetic, because the system maps it page by page.
    """
    if size > PIECE:  # a single row, too long to be worth keeping
        return np.empty((arrays, size))
    memory: Floats | None = getattr(_kept, name, None)
    if memory is None or memory.size < arrays * size:
        memory = np.empty(arrays * size)
        setattr(_kept, name, memory)
    return memory[: arrays * size].reshape(arrays, size)


def reverse_scan(
    x: Floats,
    c: float | Floats,
    *,
    cut: Bools | None = None,
    carry: Floats | None = None,
    out: Floats | None = None,
) -> Floats:
    """Solve ``y[t] = x[t] + c[t] * y[t+1]`` in every column, with ``y[T] = carry``.

    At a cut the next row does not count, even if it is NaN or infinite.

    Args:
        x: terms, (T, N) float64.
        c: factors of the next row, a number or (T, N).
        cut: flags (T, N); where True, ``y[t] = x[t]`` whatever the next row holds. By default ``c == 0``; a number c
            of 0 cuts everywhere.
        carry: the row after the last one, (N,) float64; 0 by default.
        out: memory for the result, (T, N) float64, which may be ``x``.

    Returns:
        y, (T, N) float64.
    """
    rows, columns = x.shape
    if cut is None or (isinstance(c, float) and c == 0.0):
        cut = np.broadcast_to(np.equal(c, 0.0), x.shape)
    if carry is None:
        carry = np.zeros(columns)
    if out is None:
        out = np.empty((rows, columns))
    for piece in pieces(rows, columns):
        c_piece = c if isinstance(c, float) else c[piece]
        _scan(x[piece], c_piece, cut[piece], carry, out[piece])
        carry = out[piece.start]
    return out


def _scan(x: Floats, c: float | Floats, cut: Bools, carry: Floats, out: Floats) -> None:
    # Numbers that are not finite are either discarded, at a cut or with the blocks, or visible in the result.
    with np.errstate(over="ignore", invalid="ignore"):
        _scan_piece(x, c, cut, carry, out)


def _scan_piece(x: Floats, c: float | Floats, cut: Bools, carry: Floats, out: Floats) -> None:
    rows, columns = x.shape
    if rows < FEW_ROWS or columns >= WIDE:
        _scan_rows(x, c, cut, carry, out)
        return
    memory = workspace("scan", 4, rows * columns)
    kept, given = memory[:2].reshape(2, rows, columns)
    np.copyto(given, x)
    if isinstance(c, float):
        np.multiply(~cut, c, out=kept)
    else:
        np.copyto(kept, c)
        np.copyto(kept, 0.0, where=cut)
    _scan_in_blocks(x, kept, carry, out, memory[2:])
    if not math.isfinite(np.add.reduce(out, axis=None)):
        # A number that is not finite may have met a cut (0 * inf is not 0), or regrouped sums or products of many
        # c > 1 have overflowed where the recurrence does not, or the result is not finite. Selecting is always right.
        _scan_rows(given, c, cut, carry, out)


def _scan_rows(x: Floats, c: float | Floats, cut: Bools, carry: Floats, out: Floats) -> None:
    """Scan row by row, and select at cuts."""
    # For speed rows are taken by iteration, and no call has to convert a Python number.
    kept, nothing = np.empty(x.shape[1]), np.zeros(())
    factors = repeat(np.array(c)) if isinstance(c, float) else c[::-1]
    for x_t, c_t, cut_t, y_t in zip(x[::-1], factors, cut[::-1], out[::-1], strict=False):  # `repeat` is endless
        np.multiply(carry, c_t, kept)
        np.copyto(kept, nothing, where=cut_t)
        carry = np.add(x_t, kept, y_t)


def _scan_in_blocks(x: Floats, c: Floats, carry: Floats, out: Floats, memory: Floats | None = None) -> None:
    """Scan all blocks at once, and multiply by c = 0 at cuts, which is right if every result is finite."""
    rows, columns = x.shape
    if columns == 1 and rows <= SHORT_COLUMN:
        _scan_column(x, c, carry, out)
        return
    if rows < FEW_ROWS:
        kept = np.empty(columns)
        for t in range(rows - 1, -1, -1):
            carry = np.add(x[t], np.multiply(c[t], carry, out=kept), out=out[t])
        return

    length = _block_length(rows, columns)
    blocks = rows // length
    folded = blocks * length
    if folded < rows:
        _scan_in_blocks(x[folded:], c[folded:], carry, out[folded:])
        carry = out[folded]

    def fold(a: Floats) -> Floats:
        """Put the time within a block first, so that one step of all blocks is one contiguous row."""
        return a[:folded].reshape(blocks, length, columns).swapaxes(0, 1)

    if memory is None:
        memory = np.empty((2, folded * columns))
    y, decay = memory[:, : folded * columns].reshape(2, length, blocks, columns)
    np.copyto(y, fold(x))
    np.copyto(decay, fold(c))  # will be the factor of the row after the block, in each row
    kept = np.empty((blocks, columns))
    for i in range(length - 2, -1, -1):
        np.add(y[i], np.multiply(decay[i], y[i + 1], out=kept), out=y[i])
        np.multiply(decay[i], decay[i + 1], out=decay[i])

    entering = np.empty((blocks + 1, columns))
    entering[blocks] = carry
    _scan_in_blocks(y[0], decay[0], carry, entering[:blocks])
    np.multiply(decay, entering[1:], out=decay)
    np.add(y, decay, out=y)
    np.copyto(fold(out), y)


def _scan_column(x: Floats, c: Floats, carry: Floats, out: Floats) -> None:
    y = carry.item()
    column = []
    for x_t, c_t in zip(x[::-1, 0].tolist(), c[::-1, 0].tolist(), strict=True):
        y = x_t + c_t * y
        column.append(y)
    out[::-1, 0] = column


def _block_length(rows: int, columns: int) -> int:
    """Choose a block length of the order of the square root of the time; one column can have shorter blocks."""
    shortest = max(4, int(math.sqrt(rows) * (0.16 if columns == 1 else 0.4)))
    return min(range(shortest, shortest + shortest // 2 + 1), key=lambda length: rows % length)
