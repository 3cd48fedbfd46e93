"""`reverse_scan` equals a loop for shapes that take every path through it."""

from __future__ import annotations

import numpy as np
import pytest

from ppocore.advantages.scan import pieces, reverse_scan


def loop(x, c, cut, carry):
    y, c = np.empty_like(x), np.broadcast_to(c, x.shape)
    for t in reversed(range(len(x))):
        carry = y[t] = np.where(cut[t], x[t], x[t] + c[t] * np.where(cut[t], 0.0, carry))
    return y


SHAPES = [
    (1, 1),
    (2, 3),
    (15, 2),
    (16, 2),
    (47, 1),
    (48, 1),
    (49, 1),
    (100, 8),
    (131, 3),
    (509, 1),
    (40, 300),
    (997, 5),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("c", [0.0, 0.5, 0.94, 1.0, "array"])
def test_equals_the_loop(shape, c):
    rng = np.random.default_rng(0)
    x, carry = rng.normal(size=shape), rng.normal(size=shape[1])
    c = rng.uniform(-1.2, 1.2, shape) if c == "array" else c
    for ends in (0.0, 0.05, 0.5):
        cut = rng.random(shape) < ends
        expected = loop(x, c, cut, carry)
        scale = 1 + np.abs(expected).max()  # products of c > 1 grow
        np.testing.assert_allclose(
            reverse_scan(x, c, cut=cut, carry=carry) / scale, expected / scale, rtol=0, atol=1e-13
        )


@pytest.mark.parametrize("shape", [(140_003, 1), (18_001, 8), (700, 301)])
def test_equals_the_loop_across_pieces(shape):
    assert len(list(pieces(*shape))) > 1
    rng = np.random.default_rng(1)
    x, cut, carry = rng.normal(size=shape), rng.random(shape) < 0.01, rng.normal(size=shape[1])
    np.testing.assert_allclose(reverse_scan(x, 0.99, cut=cut, carry=carry), loop(x, 0.99, cut, carry), atol=1e-11)


def test_known_sums():
    # 1 + 0.5 * (2 + 0.5 * (4 + 0.5 * 8)) = 1 + 0.5 * (2 + 0.5 * 8) = 1 + 0.5 * 6 = 4
    x = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_array_equal(reverse_scan(x, 0.5, carry=np.array([8.0])), [[4.0], [6.0], [8.0]])


def test_a_zero_in_c_is_a_cut():
    c = np.array([[0.5], [0.0], [0.5]])
    x = np.array([[1.0], [2.0], [np.nan]])
    np.testing.assert_array_equal(reverse_scan(x, c), [[2.0], [2.0], [np.nan]])


@pytest.mark.parametrize("shape", [(5, 1), (40, 1), (400, 1), (10, 4), (200, 4), (40, 400)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("as_array", [False, True])
def test_nothing_crosses_a_cut(shape, bad, as_array):
    rng = np.random.default_rng(2)
    x = rng.normal(size=shape)
    boundary = shape[0] // 2
    cut = np.zeros(shape, bool)
    cut[boundary] = True
    clean = loop(x, 0.9, cut, np.zeros(shape[1]))
    x[boundary + 1 :, 0] = bad
    c = np.full(shape, 0.9) if as_array else 0.9
    with np.errstate(invalid="ignore"):
        y = reverse_scan(x, c, cut=cut)
    np.testing.assert_allclose(y[: boundary + 1], clean[: boundary + 1], atol=1e-12)
    assert not np.isfinite(y[boundary + 1 :, 0]).any()
    np.testing.assert_allclose(y[:, 1:], clean[:, 1:], atol=1e-12)


def test_a_finite_result_does_not_overflow_in_blocks():
    # Products of 64 or more factors c = 1e9 overflow, but each of them would multiply an exact 0.
    x = np.zeros((400, 1))
    x[0] = 1.0
    np.testing.assert_array_equal(reverse_scan(x, np.full(x.shape, 1e9)), x)


def test_only_out_is_written_to():
    x = np.ones((100, 2))
    out = np.full((102, 2), 7.0)
    cut, carry = np.zeros((100, 2), bool), np.full(2, 3.0)
    reverse_scan(x, 0.5, cut=cut, carry=carry, out=out[1:-1])
    assert (out[[0, -1]] == 7).all()
    assert (x == 1).all()
    assert (carry == 3).all()
    assert not cut.any()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty(shape):
    assert reverse_scan(np.empty(shape), 0.9).shape == shape
