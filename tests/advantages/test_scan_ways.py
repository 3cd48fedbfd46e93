"""`reverse_scan` takes the expected path for each shape, reuses its memory and gives no warnings."""

import warnings

import numpy as np
import pytest

from ppocore.advantages import scan
from ppocore.advantages.scan import pieces, reverse_scan, workspace

PIECE = 138_600


def calls_of(rows, columns, monkeypatch):
    """Return the inner functions that a scan of this shape calls, in order, with the shapes of their arguments."""
    calls = []
    for name in ("_scan_rows", "_scan_column", "_block_length"):
        original = getattr(scan, name)

        def recording(*arguments, name=name, original=original):
            first = arguments[0]
            calls.append((name, *(first.shape if isinstance(first, np.ndarray) else arguments)))
            return original(*arguments)

        monkeypatch.setattr(scan, name, recording)
    rng = np.random.default_rng(rows)
    x, c = rng.normal(size=(rows, columns)), rng.uniform(0.1, 0.9, (rows, columns))
    expected = np.zeros((rows, columns))
    carry = np.zeros(columns)
    for t in range(rows - 1, -1, -1):
        carry = expected[t] = x[t] + c[t] * carry
    np.testing.assert_allclose(reverse_scan(x, c), expected, rtol=1e-12)
    return calls


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (15, 1, [("_scan_rows", 15, 1)]),
        (15, 299, [("_scan_rows", 15, 299)]),
        (16, 1, [("_scan_column", 16, 1)]),
        (48, 1, [("_scan_column", 48, 1)]),
        (49, 1, [("_block_length", 49, 1)]),
        (16, 2, [("_block_length", 16, 2)]),
        (16, 299, [("_block_length", 16, 299)]),
        (16, 300, [("_scan_rows", 16, 300)]),
        (100, 300, [("_scan_rows", 100, 300)]),
        (100, 301, [("_scan_rows", 100, 301)]),
    ],
)
def test_the_first_call_depends_on_the_shape(rows, columns, expected, monkeypatch):
    assert calls_of(rows, columns, monkeypatch)[:1] == expected


def test_the_remaining_rows_and_the_block_heads_are_scanned_in_turn(monkeypatch):
    # 49 = 12 * 4 + 1: the last row alone, then the first rows of twelve blocks; both are short columns.
    assert calls_of(49, 1, monkeypatch) == [("_block_length", 49, 1), ("_scan_column", 1, 1), ("_scan_column", 12, 1)]


def test_fewer_than_16_block_heads_of_several_columns_are_not_divided_again(monkeypatch):
    assert calls_of(60, 2, monkeypatch) == [("_block_length", 60, 2)]  # 15 blocks of 4
    assert calls_of(64, 2, monkeypatch) == [("_block_length", 64, 2), ("_block_length", 16, 2)]


def test_finite_results_are_not_scanned_again(monkeypatch):
    assert "_scan_rows" not in {name for name, *_ in calls_of(500, 7, monkeypatch)}


@pytest.mark.parametrize(("columns", "fraction"), [(1, 0.16), (2, 0.4), (50, 0.4)])
def test_block_lengths_are_of_the_order_of_the_square_root_and_leave_few_rows(columns, fraction):
    for rows in [*range(16, 400), 1009, 4096, 9973, 10_000, 99_991]:
        shortest = 4
        while shortest + 1 <= fraction * rows**0.5 + 1e-12:
            shortest += 1
        best, fewest = None, rows
        for length in range(shortest, shortest + shortest // 2 + 1):
            remaining = rows - length * (rows // length)
            if remaining < fewest:
                best, fewest = length, remaining
        assert scan._block_length(rows, columns) == best, rows


class TestPieces:
    @pytest.mark.parametrize(
        ("rows", "columns", "expected"),
        [
            (PIECE, 1, [(0, PIECE)]),
            (PIECE + 1, 1, [(1, PIECE + 1), (0, 1)]),
            (3, PIECE, [(2, 3), (1, 2), (0, 1)]),
            (3, PIECE + 1, [(2, 3), (1, 2), (0, 1)]),
            (5, scan._WIDE_PIECE // 2, [(3, 5), (1, 3), (0, 1)]),
            (PIECE // 299 + 1, 299, [(1, PIECE // 299 + 1), (0, 1)]),
            (scan._WIDE_PIECE // 300 + 1, 300, [(1, scan._WIDE_PIECE // 300 + 1), (0, 1)]),
            (7, 0, [(0, 7)]),
            (0, 3, []),
        ],
    )
    def test_they_fit_in_the_cache_and_the_last_is_first(self, rows, columns, expected):
        assert [(piece.start, piece.stop) for piece in pieces(rows, columns)] == expected


class TestMemory:
    def test_it_is_reused_by_every_call_that_fits(self):
        first = workspace("test", 2, 10)
        assert first.shape == (2, 10)
        for arrays, size in ((2, 10), (1, 20), (2, 3)):
            assert np.shares_memory(workspace("test", arrays, size), first)
        assert not np.shares_memory(workspace("test", 3, 10), first)
        assert np.shares_memory(workspace("test", 2, 10), workspace("test", 3, 10))

    def test_each_name_has_its_own(self):
        assert not np.shares_memory(workspace("one", 1, 10), workspace("other", 1, 10))

    def test_memory_larger_than_a_piece_is_not_kept(self):
        assert np.shares_memory(workspace("large", 1, PIECE), workspace("large", 1, PIECE))
        assert workspace("larger", 2, PIECE + 1).shape == (2, PIECE + 1)
        assert not np.shares_memory(workspace("larger", 1, PIECE + 1), workspace("larger", 1, PIECE + 1))


def test_there_is_no_warning_where_the_recurrence_is_finite():
    x = np.zeros((200, 3))
    x[::50] = 1e300
    growing = np.where(np.arange(200)[:, None] % 50 == 49, 0.0, np.full((200, 3), 1e10))  # products of c overflow
    x[150:] = 0.0
    blocked = np.full((200, 3), 0.5)
    blocked[100] = 0.0
    infinite = np.ones((200, 3))
    infinite[150] = np.inf  # 0 * inf, where rows above row 100 are cut off from it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = reverse_scan(np.zeros((200, 3)), growing)
        assert (result == 0.0).all()
        below = reverse_scan(infinite, blocked)
    assert np.isfinite(below[:101]).all()
    assert np.isinf(below[101:151]).all()
