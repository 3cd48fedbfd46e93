"""Samples for given noise, computed element by element in plain Python for each kind; dtypes and constants."""

import math
from fractions import Fraction

import numpy as np
import pytest
from support.networks import KINDS, spec_of

from ppocore.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
    SquashedGaussian,
    special,
)
from ppocore.distributions.beta import EDGE


def distribution(kind):
    return spec_of(kind, 2).distribution()


def parameters_of(kind, shape=(), seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(0.0, 1.5, (*shape, distribution(kind).parameter_size)).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_one_row_and_a_grid_of_rows_are_drawn_as_a_batch_is(self, kind):
        found = distribution(kind)
        parameters, noise = parameters_of(kind, (3, 4)), found.noise(np.random.default_rng(1), (3, 4))
        grid = found.sample(parameters, noise, np.empty((3, 4, *found.action_shape), found.action_dtype))
        for i in range(3):
            for j in range(4):
                one = found.sample(parameters[i, j], noise[i, j], np.empty(found.action_shape, found.action_dtype))
                assert np.array_equal(one, grid[i, j])
        assert np.array_equal(found.mode(parameters)[2], found.mode(parameters[2]))
        assert np.array_equal(found.mode(parameters)[2, 3], found.mode(parameters[2, 3]))

    def test_dtypes(self, kind):
        found = distribution(kind)
        assert isinstance(found.action_dtype, np.dtype)
        assert type(found.parameter_size) is int
        assert found.mode(parameters_of(kind, (5,))).dtype == found.action_dtype
        actions = found.mode(parameters_of(kind, (5,)))
        for dtype in (np.float32, np.float64):
            parameters = parameters_of(kind, (5,), dtype=dtype)
            used = actions.astype(dtype) if actions.dtype.kind == "f" else actions
            log_prob, entropy, pullback = found.evaluate(parameters, used)
            gradient = pullback(np.ones(5, dtype), np.ones(5, dtype))
            kl, pull = found.divergence(parameters, parameters + dtype(0.1))
            assert {a.dtype for a in (log_prob, entropy, gradient, kl, pull(np.ones(5, dtype)))} == {np.dtype(dtype)}
            if found.mask_size:
                assert found.apply_masks(parameters, np.ones((5, found.mask_size), bool)).dtype == dtype


def test_choices_are_the_largest_of_logit_and_noise():
    noise = np.array([[0.3, -2.0, 0.1], [5.0, 0.0, 0.0]])
    logits = np.array([[0.0, 2.4, 0.25], [-6.0, 0.5, 0.25]])
    assert Categorical(3).sample(logits, noise, np.empty(2, np.int64)).tolist() == [1, 1]
    assert MultiCategorical((2, 1)).sample(logits, noise, np.empty((2, 2), np.int64)).tolist() == [[1, 0], [1, 0]]


def test_a_bit_is_set_where_logit_plus_noise_is_positive():
    logits, noise = np.array([[1.0, -2.0, 0.5, 0.25]]), np.array([[-0.5, 2.5, -0.5, -0.75]])
    assert Bernoulli(4).sample(logits, noise, np.empty((1, 4), np.int64)).tolist() == [[1, 1, 0, 0]]
    assert Bernoulli(4).mode(np.array([[0.0, 1e-9, -1e-9, 3.0]])).tolist() == [[0, 1, 0, 1]]
    assert Bernoulli(4).mask_size == 8
    assert Bernoulli(1).mask_size == 2


def test_masks_of_bits_in_a_grid():
    masks = np.ones((2, 3, 4), bool)
    masks[1, 2] = [False, True, True, False]  # the first bit must be 1, the second 0
    masked = Bernoulli(2).apply_masks(np.zeros((2, 3, 2)), masks)
    assert (masked[:, :2] == 0.0).all()
    assert Bernoulli(2).mode(masked)[1, 2].tolist() == [1, 0]


@pytest.mark.parametrize("kind", [DiagonalGaussian, SquashedGaussian])
def test_normal_numbers_are_mean_plus_deviation_times_noise(kind):
    parameters, noise = np.array([[0.5, -1.0, math.log(2.0), math.log(0.25)]]), np.array([[1.5, 2.0]])
    drawn = kind(2).sample(parameters, noise, np.empty((1, 2), np.float32))
    np.testing.assert_allclose(drawn, [[3.5, -0.5]], rtol=1e-6)


def marsaglia_tsang(shape, candidates):
    """One gamma number: the first candidate (x, u) that is accepted, else the first."""
    d = shape - 1.0 / 3.0
    cubes = []
    for x, u in candidates:
        v = (1.0 + x / math.sqrt(9.0 * d)) ** 3
        cubes.append(v if v > 0.0 else 1.0)
        if v > 0.0 and math.log(1.0 - u) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v
    return d * cubes[0]


def test_a_beta_number_is_made_of_two_gamma_numbers():
    found, rng = Beta(2), np.random.default_rng(3)
    parameters = rng.normal(-2.0, 2.0, (400, 4))
    noise = found.noise(rng, (400,))
    assert noise.shape == (400, 4, 8, 2)
    assert noise.dtype == np.float32
    # Candidates far out as well, and some rows of which none is accepted.
    noise[:200, :, :5, 0] *= 2.5
    noise[200:260, :, :, 0] = np.linspace(-4.0, 4.0, 8)
    noise[200:260, :, :, 1] = 0.0
    drawn = found.sample(parameters, noise, np.empty((400, 2), np.float32))
    rejected = 0
    for row in range(400):
        for i in range(2):
            g, h = (
                marsaglia_tsang(1.0 + math.log1p(math.exp(parameters[row, j])), noise[row, j].astype(float).tolist())
                for j in (i, i + 2)
            )
            assert drawn[row, i] == pytest.approx(min(max(g / (g + h), EDGE), 1.0 - EDGE), rel=3e-7, abs=1e-7)
            rejected += noise[row, i, 0, 0] < -3.0
    assert rejected > 20


def test_a_candidate_is_checked_in_float64():
    """Uniform numbers that lie next to where a candidate is no longer accepted, nearer than float32 can tell."""
    rng, found = np.random.default_rng(5), Beta(1)
    noise = np.zeros((400, 2, 8, 2), np.float32)
    noise[..., 1] = 0.5  # with which a normal number of 0 is accepted
    parameters = rng.normal(0.0, 1.0, (400, 2)).astype(np.float32)
    for row, side in enumerate([-4e-8, 4e-8] * 200):
        d = 1.0 + math.log1p(math.exp(parameters[row, 0])) - 1.0 / 3.0
        x = float(np.float32(rng.uniform(1.5, 3.5)))
        v = (1.0 + x / math.sqrt(9.0 * d)) ** 3
        noise[row, 0, 0] = x, -math.expm1(0.5 * x * x + d - d * v + d * math.log(v) + side)
    drawn = found.sample(parameters, noise, np.empty((400, 1), np.float32))
    expected = [
        [marsaglia_tsang(1.0 + math.log1p(math.exp(p)), n.astype(float).tolist()) for p, n in zip(*both, strict=True)]
        for both in zip(parameters.astype(float).tolist(), noise, strict=True)
    ]
    np.testing.assert_allclose(drawn[:, 0], [g / (g + h) for g, h in expected], rtol=2e-7)
    first = [g > 1.1 + math.log1p(math.exp(p)) for (g, _), p in zip(expected, parameters[:, 0].tolist(), strict=True)]
    assert 100 < sum(first) < 300  # some were accepted, some were not
    assert np.array_equal(found.sample(parameters.astype(float), noise, np.empty((400, 1), np.float32)), drawn)


def test_a_beta_number_keeps_away_from_0_and_1():
    assert EDGE == 2.0**-24
    noise = np.zeros((2, 2, 8, 2), np.float32)
    extreme = np.array([[50.0, -50.0], [-50.0, 50.0]])
    noise[0, 1, :, 0], noise[1, 0, :, 0] = -2.449, -2.449  # next to no gamma number at all
    drawn = Beta(1).sample(1e6 * extreme, noise, np.empty((2, 1), np.float32))
    assert drawn.ravel().tolist() == [1.0 - EDGE, EDGE]
    log_prob, _, _ = Beta(1).evaluate(np.zeros((2, 2)), drawn.astype(np.float64))
    assert np.isfinite(log_prob).all()


def bernoulli_numbers(count):
    """B_0, B_1, B_2 ... by their recurrence."""
    found = [Fraction(1)]
    for n in range(1, count):
        found.append(-sum((math.comb(n + 1, k) * found[k] for k in range(n)), Fraction(0)) / (n + 1))
    return found


def test_the_series_have_the_coefficients_of_stirling():
    numbers = bernoulli_numbers(17)
    even = [(k, numbers[2 * k]) for k in range(1, 9)]
    assert tuple(float(b / (2 * k * (2 * k - 1))) for k, b in even) == special._LOG_GAMMA
    assert tuple(float(-b / (2 * k)) for k, b in even) == special._DIGAMMA
    assert tuple(float(b) for _, b in even) == special.TRIGAMMA


def test_a_polynomial_begins_with_its_constant():
    x = np.array([0.0, 0.5, -2.0])
    assert special._series((3.0, -1.0, 4.0), x).tolist() == [3.0, 3.5, 21.0]
