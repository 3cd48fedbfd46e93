"""Compile the arithmetic of `gae` with Numba: every bit as in NumPy, operation by operation.

Imported by ``ppocore.advantages.kernel`` alone, and only where Numba is installed. Sums are grouped exactly as
``ppocore.advantages.scan`` groups them, and nothing is compiled with ``fastmath``, so that the compiler neither
reorders nor contracts. Arrays are flat, and loops short: one long loop reads too many arrays to be vectorized.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ppocore.advantages.scan import FEW_ROWS, PIECE, SHORT_COLUMN, WIDE

_CHUNK = 1024  # measured: so many numbers, of every array that a loop reads, stay in the first-level cache

_inner = numba.njit(nogil=True)  # compiled, and cached, with what calls it


@_inner
def _residuals(r, v, nv, te, gamma, d):
    """Fill ``d`` with one-step residuals."""
    for k in range(d.size):
        d[k] = ((0.0 if te[k] else nv[k] * gamma) + r[k]) - v[k]


@_inner
def _results(v, y, limit, adv, ret):
    """Write advantages and returns; tell whether any is too large, infinite or NaN."""
    bad = np.int32(0)
    for k in range(y.size):
        adv[k] = y[k]
        ret[k] = v[k] + y[k]
    for k in range(y.size):
        bad |= np.int32(not (abs(adv[k]) < limit)) | np.int32(not (abs(ret[k]) < limit))
    return bad != 0


@_inner
def _in_rows(call, factor, carry, d, start, rows, columns):
    """Scan row by row, a chunk of columns at a time."""
    r, v, nv, te, tr, gamma, limit, adv, ret = call
    bad = False
    for first in range(0, columns, _CHUNK):
        last = min(first + _CHUNK, columns)
        x, y = d[: last - first], carry[first:last]
        for t in range(start + rows - 1, start - 1, -1):
            s = slice(t * columns + first, t * columns + last)
            value, term, trunc = v[s], te[s], tr[s]
            _residuals(r[s], value, nv[s], term, gamma, x)
            for k in range(y.size):
                y[k] = x[k] + (0.0 if term[k] | trunc[k] else y[k] * factor)
            bad |= _results(value, y, limit, adv[s], ret[s])
    return bad


@_inner
def _copy(x, out):
    for k in range(out.size):  # compiles in a tenth of the time of a slice
        out[k] = x[k]


@_inner
def _block_length(rows, columns):
    shortest = max(4, int(math.sqrt(rows) * (0.16 if columns == 1 else 0.4)))
    best = shortest
    for length in range(shortest + 1, shortest + shortest // 2 + 1):
        if rows % length < rows % best:
            best = length
    return best


@numba.njit("void(f8[::1], f8[::1], f8[::1], i8, i8)", nogil=True, cache=True)
def _scan(x, c, carry, rows, columns):
    """Solve ``x[t] += c[t] * x[t+1]`` in place, grouped as in ``scan._scan_in_blocks``; ``c`` is overwritten."""
    if rows < FEW_ROWS or (columns == 1 and rows <= SHORT_COLUMN):
        for j in range(columns):
            y = carry[j]
            for k in range((rows - 1) * columns + j, -1, -columns):
                y = x[k] + c[k] * y
                x[k] = y
        return
    length = _block_length(rows, columns)
    blocks = rows // length
    size = length * columns
    heads, factors = np.empty((blocks + 1) * columns), np.empty(blocks * columns)
    entering = heads[blocks * columns :]
    if blocks * length < rows:
        rest = x[blocks * size :]
        _scan(rest, c[blocks * size :], carry, rows - blocks * length, columns)
        _copy(rest, entering)
    else:
        _copy(carry, entering)
    for b in range(blocks):
        for k in range((b + 1) * size - columns - 1, b * size - 1, -1):
            x[k] += c[k] * x[k + columns]
            c[k] *= c[k + columns]
        for j in range(columns):
            heads[b * columns + j] = x[b * size + j]
            factors[b * columns + j] = c[b * size + j]
    _scan(heads, factors, entering, blocks, columns)
    for b in range(blocks):
        for i in range(length):
            for j in range(columns):
                k = b * size + i * columns + j
                x[k] += c[k] * heads[(b + 1) * columns + j]


@_inner
def _within_blocks(x, keep, factor, size, columns):
    """Scan blocks of ``size`` numbers; ``keep`` becomes true where no cut follows within the block."""
    if columns == 1:  # blocks side by side: within one, each sum waits for the last
        for i in range(size - 2, -1, -1):
            for k in range(i, x.size, size):
                x[k] += (factor if keep[k] else 0.0) * x[k + 1]
                keep[k] &= keep[k + 1]
        return
    if columns < 32:  # measured: with so few, a loop over the columns is not worth its start
        for stop in range(size, x.size + 1, size):
            for k in range(stop - columns - 1, stop - size - 1, -1):
                x[k] += (factor if keep[k] else 0.0) * x[k + columns]
                keep[k] &= keep[k + columns]
        return
    for stop in range(size, x.size + 1, size):
        for row in range(stop - 2 * columns, stop - size - 1, -columns):
            now, after = x[row : row + columns], x[row + columns : row + 2 * columns]
            kept, later = keep[row : row + columns], keep[row + columns : row + 2 * columns]
            for j in range(columns):
                now[j] += (factor if kept[j] else 0.0) * after[j]
            for j in range(columns):
                kept[j] &= later[j]


@_inner
def _between_blocks(x, keep, decay, heads, columns):
    """Add to each row what enters its block."""
    for i in range(decay.size):
        y, kept, d = x[i * columns : (i + 1) * columns], keep[i * columns : (i + 1) * columns], decay[i]
        for j in range(columns):
            y[j] += (d if kept[j] else 0.0) * heads[j]


@_inner
def _in_blocks(call, factor, carry, y, keep, start, rows, columns):
    """Scan all blocks of one piece, narrow and of many rows, then carry from block to block."""
    r, v, nv, te, tr, gamma, limit, adv, ret = call
    short = columns == 1 and rows <= SHORT_COLUMN
    length = 1 if short else _block_length(rows, columns)
    blocks = 0 if short else rows // length
    size = length * columns
    folded, begin = blocks * size, start * columns
    heads, factors = np.empty((blocks + 1) * columns), np.empty(max(blocks, rows - blocks * length) * columns)
    decay = np.empty(length)  # of a block without a cut: the factor of the row after it, for each of its rows
    decay[length - 1] = factor
    for i in range(length - 2, -1, -1):
        decay[i] = factor * decay[i + 1]

    together = max(1, _CHUNK // size) * size
    for first in range(0, rows * columns, together):
        last = min(first + together, rows * columns)
        s = slice(begin + first, begin + last)
        x, kept = y[first:last], keep[first:last]
        term, trunc = te[s], tr[s]
        _residuals(r[s], v[s], nv[s], term, gamma, x)
        for k in range(kept.size):
            kept[k] = not (term[k] | trunc[k])
        whole = min(last, folded) - first
        if whole > 0:
            _within_blocks(x[:whole], kept[:whole], factor, size, columns)

    entering = heads[blocks * columns :]
    if folded < rows * columns:
        for k in range(rows * columns - folded):
            factors[k] = factor if keep[folded + k] else 0.0
        rest = y[folded : rows * columns]
        _scan(rest, factors, carry, rows - blocks * length, columns)
        _copy(rest, entering)
    else:
        _copy(carry, entering)
    for b in range(blocks):
        for j in range(columns):
            heads[b * columns + j] = y[b * size + j]
            factors[b * columns + j] = decay[0] if keep[b * size + j] else 0.0
    if blocks > 0:
        _scan(heads, factors, entering, blocks, columns)

    bad = False
    for first in range(0, rows * columns, together):
        last = min(first + together, rows * columns)
        for k in range(first, min(last, folded), size):
            after = (k // size + 1) * columns
            if columns == 1:
                x, kept, head = y[k : k + size], keep[k : k + size], heads[after]
                for i in range(length):
                    x[i] += (decay[i] if kept[i] else 0.0) * head
            else:
                _between_blocks(y[k : k + size], keep[k : k + size], decay, heads[after : after + columns], columns)
        s = slice(begin + first, begin + last)
        bad |= _results(v[s], y[first:last], limit, adv[s], ret[s])
    _copy(y, carry)
    return bad


def gae_kernel(r, v, nv, te, tr, gamma, factor, limit, adv, ret, y, keep):
    """Compute advantages and returns of C-contiguous ``(T, N)`` arrays, none of them empty.

    ``y`` and ``keep`` are memory of PIECE numbers and flags.

    Returns:
        False if a result is not finite, or as large as ``limit``: NumPy then computes all of them, with its warnings.
    """
    rows, columns = r.shape
    call = (r.ravel(), v.ravel(), nv.ravel(), te.ravel(), tr.ravel(), gamma, limit, adv.ravel(), ret.ravel())
    length = max(1, PIECE // columns)
    carry = np.zeros(columns)
    bad = False
    for stop in range(rows, 0, -length):
        start = max(0, stop - length)
        if columns >= WIDE or stop - start < FEW_ROWS:
            bad |= _in_rows(call, factor, carry, y, start, stop - start, columns)
        else:
            bad |= _in_blocks(call, factor, carry, y, keep, start, stop - start, columns)
    return not bad


def compile_for(dtype: str):
    """Compile `gae_kernel` for arrays of one dtype, "f" (float32) or "d" (float64): one declared signature."""
    number = {"f": "f4", "d": "f8"}[dtype]
    numbers, flags = f"{number}[:,::1]", "b1[:,::1]"
    rollout, results = f"{numbers}, {numbers}, {numbers}, {flags}, {flags}", f"{numbers}, {numbers}"
    signature = f"b1({rollout}, f8, f8, {number}, {results}, f8[::1], b1[::1])"
    return numba.njit(signature, nogil=True, cache=True)(gae_kernel)
