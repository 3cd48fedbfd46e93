"""The one kernel behind every estimator: ``y[t] = x[t] + c[t] * y[t+1]``, from the last row to the first.

A Python loop over T rows pays NumPy's call overhead T times. `reverse_scan` instead folds time into blocks,
scans the inside of all blocks at once, and then carries the result from block to block (itself a scan, of the
block heads), so that about ``sqrt(T)`` calls do the work of T. Rows wide enough to hide the overhead are scanned
one by one.

Only elementwise operations are used: a result depends on the shape of the input, but not on the BLAS.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from ppocore.typing import Bools, Floats

# Measured: from this many columns on, one row hides the overhead of the calls that process it.
_WIDE = 300
# Measured: up to this many rows, Python numbers are the fastest way down a single column.
_SHORT_COLUMN = 48
# Measured: fewer rows than this are not worth folding.
_FEW_ROWS = 16
# Measured: numbers to work on at a time, so that they and their companions stay in the processor's cache.
# 2^3 * 3^2 * 5^2 * 7 * 11: blocks of many lengths fill it; a power of two would put them on the same cache lines.
_PIECE = 138_600


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """Consecutive runs of rows that fit the cache together, the last run first."""
    length = max(1, _PIECE // max(1, columns))
    for stop in range(rows, 0, -length):
        yield slice(max(0, stop - length), stop)


_kept = threading.local()


def workspace(name: str, arrays: int, size: int) -> Floats:
    """Return memory for `arrays` times `size` numbers, this thread's own and the same for every call.

    The system hands out fresh memory page by page, which would cost as much as the arithmetic done in it.
    """
    if size > _PIECE:  # one row, too long to be worth holding on to
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
    """Solve ``y[t] = x[t] + c[t] * y[t+1]`` in every column, with ``y[T] = carry`` (0 when not given).

    ===== ================== ==========================================================================
    x     (T, N) float64     what each row adds
    c     number or (T, N)   how much of the next row is kept
    cut   (T, N) bool        where True, ``y[t] = x[t]`` whatever the next row holds; default ``c == 0``
    carry (N,) float64       the row after the last one
    out   (T, N) float64     where to write; may be `x`
    ===== ================== ==========================================================================

    At a cut the next row does not count, even if it is NaN or infinite: nothing crosses a boundary.
    """
    rows, columns = x.shape
    if cut is None:
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
    # What overflows or meets infinity is either thrown away, at a cut or with the blocks, or there to be seen.
    with np.errstate(over="ignore", invalid="ignore"):
        _scan_somehow(x, c, cut, carry, out)


def _scan_somehow(x: Floats, c: float | Floats, cut: Bools, carry: Floats, out: Floats) -> None:
    rows, columns = x.shape
    if rows < _FEW_ROWS or columns >= _WIDE:
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
        # Either something not finite met a cut, and 0 * inf is not 0; or regrouped sums, or products of many
        # c > 1, overflowed where the recurrence does not; or the result is not finite. Selecting is always right.
        _scan_rows(given, c, cut, carry, out)


def _scan_rows(x: Floats, c: float | Floats, cut: Bools, carry: Floats, out: Floats) -> None:
    """Row by row, selecting at cuts."""
    # Spelled for speed: rows taken by iteration, and no Python number for NumPy to convert in every call.
    kept, nothing = np.empty(x.shape[1]), np.zeros(())
    factors = repeat(np.array(c)) if isinstance(c, float) else c[::-1]
    for x_t, c_t, cut_t, y_t in zip(x[::-1], factors, cut[::-1], out[::-1], strict=False):  # `factors` may not end
        np.multiply(carry, c_t, kept)
        np.copyto(kept, nothing, where=cut_t)
        carry = np.add(x_t, kept, y_t)


def _scan_in_blocks(x: Floats, c: Floats, carry: Floats, out: Floats, memory: Floats | None = None) -> None:
    """All blocks at once, multiplying by c = 0 at cuts: right where every result is finite."""
    rows, columns = x.shape
    if columns == 1 and rows <= _SHORT_COLUMN:
        _scan_column(x, c, carry, out)
        return
    if rows < _FEW_ROWS:
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
        """Time within a block first, so that one step of all blocks is one contiguous row."""
        return a[:folded].reshape(blocks, length, columns).swapaxes(0, 1)

    if memory is None:
        memory = np.empty((2, folded * columns))
    y, decay = memory[:, : folded * columns].reshape(2, length, blocks, columns)
    np.copyto(y, fold(x))
    np.copyto(decay, fold(c))  # becomes: what one unit entering at the block's end is worth here
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
    """In the order of the square root of the time; for one column the scan of the block heads is cheap."""
    shortest = max(4, int(math.sqrt(rows) * (0.16 if columns == 1 else 0.4)))
    return min(range(shortest, shortest + shortest // 2 + 1), key=lambda length: rows % length)
