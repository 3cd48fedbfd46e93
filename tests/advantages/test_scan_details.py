"""`reverse_scan` gives the same results whatever its memory and blocks: factors of every form, long time, overflow."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ppocore.advantages.scan import pieces, reverse_scan


def loop(x, c, cut, carry):
    """Solve the recurrence row by row."""
    y, c = np.empty_like(x), np.broadcast_to(c, x.shape)
    with np.errstate(all="ignore"):
        for t in reversed(range(len(x))):
            carry = y[t] = np.where(cut[t], x[t], x[t] + c[t] * carry)
    return y


@pytest.mark.parametrize("shape", [(18_001, 8), (400, 301)])
def test_each_piece_has_its_own_factors(shape):
    assert len(list(pieces(*shape))) == 2
    rng = np.random.default_rng(0)
    x, c, cut = rng.normal(size=shape), rng.uniform(-0.99, 0.99, shape), rng.random(shape) < 0.01
    carry = rng.normal(size=shape[1])
    expected = loop(x, c, cut, carry)
    np.testing.assert_allclose(reverse_scan(x, c, cut=cut, carry=carry), expected, rtol=0, atol=1e-12)
    c[cut] = 0.0
    np.testing.assert_allclose(reverse_scan(x, c, carry=carry), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 2), (40, 1), (200, 1), (200, 6), (20, 310), (139_000, 1)])
def test_one_factor_gives_the_bits_of_an_array_of_it(shape):
    rng = np.random.default_rng(1)
    x, cut = rng.normal(size=shape), rng.random(shape) < 0.1
    np.testing.assert_array_equal(reverse_scan(x, 0.94, cut=cut), reverse_scan(x, np.full(shape, 0.94), cut=cut))


@pytest.mark.parametrize("shape", [(9, 2), (40, 1), (200, 1), (200, 6), (20, 310)])
@pytest.mark.parametrize("factor", [np.inf, -np.inf, np.nan])
def test_factors_at_cuts_do_not_count_even_if_not_finite(shape, factor):
    x = np.random.default_rng(2).normal(size=shape)
    cut = np.ones(shape, bool)
    np.testing.assert_array_equal(reverse_scan(x, factor, cut=cut), x)
    np.testing.assert_array_equal(reverse_scan(x, np.full(shape, factor), cut=cut), x)


@pytest.mark.parametrize("shape", [(9, 2), (40, 1), (200, 1), (200, 6), (20, 310)])
def test_overflowing_products_give_no_warning(shape):
    zeros, large = np.zeros(shape), np.full(shape, 1e200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(reverse_scan(zeros, large), zeros)
        np.testing.assert_array_equal(reverse_scan(zeros, 1e200), zeros)
        # From the last row up: 1, 1 + 1e200, and then infinity, as in the recurrence itself.
        grown = reverse_scan(np.ones(shape), large)
    assert (grown[-1] == 1.0).all()
    assert (grown[-2] == 1e200).all()
    assert np.isposinf(grown[:-2]).all()


@pytest.mark.parametrize("shape", [(9, 2), (40, 1), (200, 1), (200, 6), (20, 310)])
def test_out_may_be_the_input(shape):
    rng = np.random.default_rng(3)
    x, cut = rng.normal(size=shape), rng.random(shape) < 0.1
    x[-1] = np.inf  # makes the scan in blocks fall back to the rows after it has overwritten `x`
    x[0] = 1e300
    expected = reverse_scan(x.copy(), 0.9, cut=cut)
    assert reverse_scan(x, 0.9, cut=cut, out=x) is x
    np.testing.assert_array_equal(x, expected)
