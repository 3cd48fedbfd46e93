"""The logarithm of the gamma function and its derivatives, against scipy, closed forms and their recurrences."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as scipys

from ppocore.distributions.special import digamma, log_gamma, trigamma

EULER = 0.57721566490153286060651209008240243
arguments = st.lists(st.floats(1.0, 30.0) | st.floats(1.0, 1e6), min_size=1, max_size=20).map(np.array)


@given(arguments)
def test_they_are_scipys(x):
    """To some 1e-15 of the largest number in between; `log_gamma` passes through 8 log 8 and more on its way to 0."""
    at = np.maximum(x, 8.0)
    assert np.all(np.abs(log_gamma(x) - scipys.gammaln(x)) <= 1e-15 * at * np.log(at))
    assert np.all(np.abs(digamma(x) - scipys.digamma(x)) <= 2e-15 * np.log(at))
    np.testing.assert_allclose(trigamma(x), scipys.polygamma(1, x), rtol=3e-15)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 15, 100])
def test_whole_numbers(n):
    x = np.array([float(n)])
    harmonic = float(sum(Fraction(1, k) for k in range(1, n)))
    squares = float(sum(Fraction(1, k * k) for k in range(1, n)))
    largest = max(n, 8) * math.log(max(n, 8))
    assert log_gamma(x)[0] == pytest.approx(math.log(math.factorial(n - 1)), abs=1e-15 * largest)
    assert digamma(x)[0] == pytest.approx(harmonic - EULER, abs=3e-15)
    assert trigamma(x)[0] == pytest.approx(math.pi**2 / 6.0 - squares, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("n", range(1, 12))
def test_halves(n):
    """Gamma(n + 1/2) = (2n)! sqrt(pi) / (4^n n!)."""
    x = np.array([n + 0.5])
    gamma = math.log(math.factorial(2 * n) / (4**n * math.factorial(n))) + 0.5 * math.log(math.pi)
    assert log_gamma(x)[0] == pytest.approx(gamma, abs=4e-14)
    harmonic = float(sum(Fraction(2, 2 * k - 1) for k in range(1, n + 1)))
    assert digamma(x)[0] == pytest.approx(harmonic - EULER - 2.0 * math.log(2.0), abs=4e-15)
    squares = float(sum(Fraction(4, (2 * k - 1) ** 2) for k in range(1, n + 1)))
    assert trigamma(x)[0] == pytest.approx(math.pi**2 / 2.0 - squares, rel=2e-14, abs=2e-15)


@given(st.floats(1.0, 1e4))
def test_recurrences(x):
    now, then = np.array([x]), np.array([x + 1.0])
    scale = max(1.0, then[0] * math.log(then[0]), 8.0 * math.log(8.0))
    assert log_gamma(then)[0] - log_gamma(now)[0] == pytest.approx(math.log(x), abs=3e-15 * scale)
    assert digamma(then)[0] - digamma(now)[0] == pytest.approx(1.0 / x, abs=3e-14)
    assert trigamma(now)[0] - trigamma(then)[0] == pytest.approx(1.0 / (x * x), abs=1e-14)


def test_each_is_the_derivative_of_the_one_before():
    x, step = np.linspace(1.001, 20.0, 200), 1e-5
    for function, derivative in ((log_gamma, digamma), (digamma, trigamma)):
        slope = (function(x + step) - function(x - step)) / (2.0 * step)
        np.testing.assert_allclose(derivative(x), slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("function", [log_gamma, digamma, trigamma])
def test_float32_stays_float32_and_close(function):
    x = np.linspace(1.0, 40.0, 1000)
    found = function(x.astype(np.float32))
    assert found.dtype == np.float32
    at = np.maximum(x, 8.0)
    np.testing.assert_array_less(
        np.abs(found - function(x.astype(np.float32).astype(np.float64))), 2e-6 * at * np.log(at)
    )


def test_an_argument_is_not_written_to_and_shapes_are_kept():
    x = np.array([[1.0, 2.5], [8.0, 30.0]])
    for function in (log_gamma, digamma, trigamma):
        before = x.copy()
        assert function(x).shape == (2, 2)
        assert np.array_equal(x, before)
