"""The policy distributions over continuous actions, against scipy, integrals, differences and torch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from support.distributions import (
    FALSE_ALARM,
    check_against_torch,
    check_pullbacks_by_differences,
    drawn,
    example,
    some_actions,
)
from support.networks import SEEDS, spec_of

from ppocore.distributions import Beta, DiagonalGaussian, SquashedGaussian
from ppocore.distributions.beta import EDGE
from ppocore.distributions.gaussian import log_slope

CONTINUOUS = ("gaussian", "squashed_gaussian", "beta")
ALL = ("categorical", "multi_categorical", "bernoulli", *CONTINUOUS)


def gaussian_rows(draw_size, seed, log_std_limit):
    rng = np.random.default_rng(seed)
    mean = rng.normal(0.0, 1.0, (7, draw_size)) * rng.choice([0.0, 1.0, 1000.0], (7, 1))
    log_std = rng.uniform(-log_std_limit, log_std_limit, (7, draw_size))
    actions = mean + np.exp(log_std) * rng.normal(0.0, 1.0, mean.shape) * rng.choice([0.0, 1.0, 30.0], (7, 1))
    return mean, log_std, actions


@given(st.integers(1, 5), SEEDS)
def test_gaussian_log_probability_and_entropy_are_scipys(size, seed):
    mean, log_std, actions = gaussian_rows(size, seed, log_std_limit=15.0)
    log_prob, entropy, _ = DiagonalGaussian(size).evaluate(np.hstack([mean, log_std]), actions)
    normal = stats.norm(mean, np.exp(log_std))
    terms = normal.logpdf(actions)
    assert np.all(abs(log_prob - terms.sum(axis=1)) <= 1e-12 * (20.0 + abs(terms).sum(axis=1)))
    np.testing.assert_allclose(entropy, normal.entropy().sum(axis=1), rtol=1e-12, atol=1e-11)


@given(st.integers(1, 4), SEEDS)
def test_no_action_is_more_probable_than_the_gaussian_mode(size, seed):
    mean, log_std, actions = gaussian_rows(size, seed, log_std_limit=2.0)
    distribution, parameters = DiagonalGaussian(size), np.hstack([mean, log_std]).astype(np.float32)
    mode = distribution.mode(parameters)
    assert mode.dtype == distribution.action_dtype == np.float32
    at_mode = distribution.evaluate(parameters, mode)[0]
    away = np.abs(actions - mode).max(axis=1) > 1e-3
    assert np.all(at_mode[away] >= distribution.evaluate(parameters, actions)[0][away] - 1e-5)


def test_a_mode_is_not_a_view_of_the_parameters():
    for distribution in (DiagonalGaussian(2), SquashedGaussian(2), Beta(2)):
        parameters = np.ones((4, distribution.parameter_size), np.float32)
        mode = distribution.mode(parameters)
        parameters[:] = 7.0
        assert not np.any(mode == 7.0)
        assert mode.dtype == np.float32


def test_modes_that_are_not_the_most_probable_number_are_as_documented():
    """The squashed mean, before squashing; the mean of a beta distribution."""
    squashed, beta = (np.array([[0.3, -2.0, 0.1, -0.5]]) for _ in range(2))
    np.testing.assert_allclose(SquashedGaussian(2).mode(squashed), [[0.3, -2.0]], rtol=1e-7)
    a, b = 1.0 + np.log1p(np.exp(beta[:, :2])), 1.0 + np.log1p(np.exp(beta[:, 2:]))
    np.testing.assert_allclose(Beta(2).mode(beta), stats.beta(a, b).mean(), rtol=1e-7)


def test_gaussian_samples_have_the_stated_distribution_and_are_independent():
    mean, std = np.array([0.3, -2.0, 100.0]), np.array([1.0, 0.05, 7.0])
    actions = drawn(DiagonalGaussian(3), np.concatenate([mean, np.log(std)]), 400_000, seed=2)
    assert actions.dtype == np.float32
    z = (actions.astype(np.float64) - mean) / std
    for i in range(3):
        for sample, right in ((z, True), (1.03 * z, False), (z + 0.02, False)):  # and it sees errors this small
            p = stats.kstest(sample[..., i].ravel(), "norm", method="asymp").pvalue
            assert (p > FALSE_ALARM) == right
    limit = stats.norm.isf(FALSE_ALARM / 20) / math.sqrt(z[:-1].size / 3)
    correlations = [
        *np.corrcoef(z.reshape(-1, 3).T)[np.triu_indices(3, 1)],
        *(np.corrcoef(z[:-1, :, i].ravel(), z[1:, :, i].ravel())[0, 1] for i in range(3)),
        *(np.corrcoef(z[:, :-1, i].ravel(), z[:, 1:, i].ravel())[0, 1] for i in range(3)),
    ]
    assert np.abs(correlations).max() < 1.1 * limit


def test_a_gaussian_sample_is_stored_as_it_was_done_however_small_its_deviation():
    """A float64 action rounded after its log-probability was taken would have a ratio far from 1 here."""
    distribution = DiagonalGaussian(1)
    parameters = np.array([[1000.0, math.log(1e-4)]] * 50)
    out = np.empty((50, 1), np.float32)
    sampled = distribution.sample(parameters, distribution.noise(np.random.default_rng(5), (50,)), out)
    assert sampled.dtype == np.float32
    z = (out[:, 0].astype(np.float64) - 1000.0) / 1e-4
    np.testing.assert_allclose(
        distribution.evaluate(parameters, sampled)[0],
        -0.5 * z * z - math.log(1e-4) - 0.5 * math.log(2.0 * math.pi),
        rtol=1e-9,
    )


def shapes_of(parameters):
    """The shapes of one beta distribution for each row."""
    a, b = 1.0 + np.logaddexp(parameters, 0.0).T
    return a, b


@settings(deadline=None)
@given(SEEDS, st.sampled_from([0.5, 3.0, 30.0, 1000.0]))
def test_beta_log_probability_and_entropy_are_scipys(seed, scale):
    rng = np.random.default_rng(seed)
    parameters = rng.normal(0.0, scale, (9, 2))
    a, b = shapes_of(parameters)
    actions = np.clip(rng.beta(a, b), EDGE, 1.0 - EDGE)[:, None]
    log_prob, entropy, _ = Beta(1).evaluate(parameters, actions)
    largest = np.abs(special.gammaln(a + b)) + a * np.abs(np.log(actions[:, 0])) + 10.0
    assert np.all(np.abs(log_prob - stats.beta(a, b).logpdf(actions[:, 0])) <= 1e-13 * largest + 1e-12 * abs(log_prob))
    digammas = [(x - 1.0) * special.digamma(x) for x in (a, b)]
    exact = special.betaln(a, b) - sum(digammas) + (a + b - 2.0) * special.digamma(a + b)
    assert np.all(np.abs(entropy - exact) <= 4e-15 * (largest + sum(map(abs, digammas))))
    moderate = a + b < 50.0
    np.testing.assert_allclose(entropy[moderate], stats.beta(a, b).entropy()[moderate], rtol=1e-10, atol=1e-10)


def test_several_beta_numbers_add_their_log_probabilities():
    rng = np.random.default_rng(2)
    parameters, actions = rng.normal(0.0, 1.0, (7, 6)), rng.uniform(0.01, 0.99, (7, 3))
    log_prob, entropy, _ = Beta(3).evaluate(parameters, actions)
    each = [Beta(1).evaluate(parameters[:, [i, 3 + i]], actions[:, [i]]) for i in range(3)]
    np.testing.assert_allclose(log_prob, sum(x for x, _, _ in each), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(entropy, sum(x for _, x, _ in each), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "parameters", [(0.0, 0.0), (-5.0, -5.0), (3.0, -2.0), (-30.0, 4.0), (60.0, 80.0), (400.0, 1.0)]
)
def test_beta_samples_have_the_stated_distribution(parameters):
    a, b = shapes_of(np.array([parameters]))
    actions = drawn(Beta(1), parameters, 100_000, seed=11)
    assert actions.dtype == np.float32
    inside = actions[(actions > EDGE) & (actions < np.float32(1.0 - EDGE))].astype(np.float64)
    assert len(inside) > 99_000  # of what is nearest 1 some is held there
    assert stats.kstest(inside, stats.beta(a[0], b[0]).cdf, method="asymp").pvalue > FALSE_ALARM
    wrong = stats.beta(1.05 * a[0], b[0])  # and it sees an error of 5 percent in one shape
    assert stats.kstest(inside, wrong.cdf, method="asymp").pvalue < FALSE_ALARM


def test_beta_numbers_of_one_action_are_independent_and_never_0_or_1():
    parameters = np.array([0.0, -40.0, 2000.0, 0.0, 2000.0, -40.0])
    u = drawn(Beta(3), parameters, 100_000, seed=5).reshape(-1, 3).astype(np.float64)
    assert u.min() >= EDGE
    assert u.max() <= 1.0 - EDGE < 1.0
    limit = stats.norm.isf(FALSE_ALARM / 6) / math.sqrt(len(u))
    assert np.abs(np.corrcoef(u.T)[np.triu_indices(3, 1)]).max() < limit
    log_prob, entropy, pullback = Beta(3).evaluate(
        np.tile(parameters, (2, 1)), np.array([[EDGE] * 3, [1.0 - EDGE] * 3])
    )
    assert np.all(np.isfinite([log_prob, entropy]))
    assert np.all(np.isfinite(pullback(np.ones(2), np.ones(2))))


def density(kind, parameters):
    """The density of one continuous number as a function, the interval it lives on, and where it is large."""
    distribution = spec_of(kind, 1).distribution()

    def of(x):
        return math.exp(distribution.evaluate(parameters, np.array([[x]]))[0][0])

    return of


@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("parameters", [(0.0, 0.0), (0.7, -0.7), (-1.5, 0.3)])
def test_densities_integrate_to_1(kind, parameters):
    """Of the squashed normal over the action in (-1, 1): its density there is that of the number before squashing."""
    of = density(kind, np.array([parameters]))
    if kind == "squashed_gaussian":
        total = integrate.quad(lambda y: of(math.atanh(y)), -1.0, 1.0, epsabs=1e-11, limit=200)[0]
    else:
        total = integrate.quad(of, *((0.0, 1.0) if kind == "beta" else (-np.inf, np.inf)), epsabs=1e-11)[0]
    assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("std", "error"), [(0.1, 1e-13), (0.5, 1e-9), (1.0, 1e-5), (2.0, 3e-3)])
def test_the_squashed_entropy_is_as_near_the_integral_as_documented(std, error):
    found = []
    for mean in (0.0, 0.3, -1.0, 2.5):
        normal = stats.norm(mean, std)
        inside = integrate.quad(
            lambda x, normal=normal: normal.pdf(x) * float(log_slope(np.array(x))),
            *(mean - 12.0 * std, mean + 12.0 * std),
            points=[mean],
            epsabs=1e-14,
            limit=400,
        )[0]
        parameters = np.array([[mean, math.log(std)]])
        entropy = SquashedGaussian(1).evaluate(parameters, np.zeros((1, 1)))[1][0]
        found.append(abs(entropy - (normal.entropy() + inside)))
    assert max(found) <= error * 1.5
    assert max(found) >= error / 100.0 or error < 1e-12  # and no better than it says


def test_the_squashed_log_probability_is_that_of_a_change_of_variables():
    parameters, before = np.array([[0.4, -0.3]]), np.array([[1.2]])
    log_prob = SquashedGaussian(1).evaluate(parameters, before)[0][0]
    step = 1e-6
    cdf = stats.norm(0.4, math.exp(-0.3)).cdf
    inside = [math.atanh(math.tanh(1.2) + sign * step) for sign in (1.0, -1.0)]
    assert math.exp(log_prob) == pytest.approx((cdf(inside[0]) - cdf(inside[1])) / (2.0 * step), rel=1e-8)


@given(st.floats(-1e4, 1e4))
def test_the_log_slope_is_that_of_tanh_where_that_can_be_computed_and_its_limit_beyond(x):
    found = float(log_slope(np.array(x)))
    if abs(x) < 2.0:
        assert found == pytest.approx(math.log(1.0 - math.tanh(x) ** 2), rel=1e-12, abs=1e-14)
    if abs(x) > 20.0:
        assert found == pytest.approx(math.log(4.0) - 2.0 * abs(x), rel=1e-14)


def test_squashed_samples_are_those_of_the_normal_before_squashing():
    parameters = np.array([[0.5, -0.2]])
    z = drawn(SquashedGaussian(1), parameters[0], 100_000, seed=6)
    assert stats.kstest(z.ravel(), stats.norm(0.5, math.exp(-0.2)).cdf, method="asymp").pvalue > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_is_its_integral(kind, seed):
    _, distribution, parameters, _, rng = example(kind, 1, seed, scale=0.7, rows=1)
    old = parameters + rng.normal(0.0, 0.5, parameters.shape)
    p, q = (density(kind, x) for x in (parameters, old))

    def integrand(y):
        x = math.atanh(y) if kind == "squashed_gaussian" else y
        return q(x) * math.log(q(x) / p(x)) if q(x) > 0.0 and p(x) > 0.0 else 0.0

    bounds = {"beta": (0.0, 1.0), "squashed_gaussian": (-1.0, 1.0), "gaussian": (-12.0, 12.0)}[kind]
    expected = integrate.quad(integrand, *bounds, epsabs=1e-10, limit=400)[0]
    assert distribution.divergence(old, parameters)[0][0] == pytest.approx(expected, rel=1e-7, abs=1e-9)


@settings(deadline=None)
@given(st.sampled_from(ALL), st.integers(1, 3), SEEDS, st.sampled_from([0.0, 1e-3, 3.0]))
def test_a_divergence_is_0_from_itself_and_positive_from_others(kind, size, seed, move):
    _, distribution, parameters, _, rng = example(kind, size, seed)
    old = parameters + move * rng.normal(0.0, 1.0, parameters.shape)
    kl, pullback = distribution.divergence(old, parameters)
    assert np.all(kl >= -1e-13)
    if move == 0.0:
        np.testing.assert_allclose(kl, 0.0, atol=1e-13)
        np.testing.assert_allclose(pullback(np.ones(len(kl))), 0.0, atol=1e-13)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(CONTINUOUS), st.integers(1, 3), SEEDS)
def test_the_pullbacks_are_the_derivatives_by_central_differences(kind, size, seed):
    check_pullbacks_by_differences(kind, size, seed, masked=False)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(CONTINUOUS), st.integers(1, 4), SEEDS, st.sampled_from([0.1, 1.0, 3.0]))
def test_everything_is_torchs(kind, size, seed, scale):
    check_against_torch(kind, size, seed, scale, masked=False)


@settings(deadline=None)
@given(st.sampled_from(ALL), st.integers(1, 4), SEEDS)
def test_the_log_probability_of_a_stored_sample_is_the_same_when_evaluated_again(kind, size, seed):
    _, distribution, parameters, _, rng = example(kind, size, seed, rows=16)
    actions = some_actions(distribution, parameters, rng)
    then = distribution.evaluate(parameters, actions)[0]
    stored = then.astype(np.float32).astype(np.float64)
    order = rng.permutation(16)
    again = distribution.evaluate(parameters[order], actions[order])[0]
    np.testing.assert_allclose(again, then[order], rtol=1e-14, atol=1e-14)
    assert np.all(abs(np.exp(again - stored[order]) - 1.0) <= 1e-7 * np.maximum(1.0, abs(then[order])))


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_there_is_nothing_to_mask(kind):
    distribution = spec_of(kind, 2).distribution()
    parameters = np.ones((3, 4))
    assert distribution.mask_size == 0
    assert np.array_equal(distribution.apply_masks(parameters, np.zeros((3, 0), bool)), parameters)
