"""The policy distributions against closed forms, scipy, finite differences and torch's autograd."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_for_tests import SEEDS
from scipy import stats

from ppocore.distributions import Categorical, DiagonalGaussian, log_softmax

FALSE_ALARM = 1e-6
any_logits = st.lists(
    st.floats(-700.0, 700.0) | st.sampled_from([700.0, -700.0, 5000.0, -5000.0, 0.0]), min_size=1, max_size=6
)
cotangents = st.floats(-3.0, 3.0)


def exact_categorical(logits):
    """Log-probabilities and entropy of exp(z) / sum(exp(z)), with 60 digits and no trick."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**6), 10**6
        powers = [Decimal(z).exp() for z in logits]
        total = sum(powers)
        probabilities = [power / total for power in powers]
        logs = [p.ln() for p in probabilities]
        return [float(x) for x in logs], float(-sum(p * x for p, x in zip(probabilities, logs, strict=True)))


@settings(deadline=None)
@given(any_logits)
def test_categorical_log_probabilities_and_entropy_are_those_of_the_definition(logits):
    n = len(logits)
    log_prob, entropy, _ = Categorical(n).evaluate(np.tile(logits, (n, 1)), np.arange(n))
    exact_log_prob, exact_entropy = exact_categorical(logits)
    np.testing.assert_allclose(log_prob, exact_log_prob, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(entropy, exact_entropy, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(log_softmax(np.array(logits))[0], exact_log_prob, rtol=1e-12, atol=1e-14)


@given(any_logits)
def test_the_categorical_mode_is_the_first_most_probable_choice(logits):
    mode = Categorical(len(logits)).mode(np.array([logits, logits]))
    assert mode.tolist() == 2 * [logits.index(max(logits))]


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
    for distribution in (DiagonalGaussian(2), Categorical(3)):
        parameters = np.ones((4, distribution.parameter_size), np.float32)
        mode = distribution.mode(parameters)
        parameters[:] = 7.0
        assert not np.any(mode == 7.0)


def drawn(distribution, parameters, count, seed):
    """``count`` actions from one row of parameters, drawn 8 environments at a time as a rollout does."""
    noise = distribution.noise(np.random.default_rng(seed), (count // 8, 8))
    out = np.empty((count // 8, 8, *distribution.action_shape), distribution.action_dtype)
    rows = np.broadcast_to(np.asarray(parameters, np.float64), (8, distribution.parameter_size))
    for t in range(count // 8):
        assert distribution.sample(rows, noise[t], out[t]) is not None
    return out


def test_categorical_samples_have_the_stated_probabilities_and_are_independent():
    logits = np.log([0.5, 0.25, 0.15, 0.09, 0.01]) + 3.0
    actions = drawn(Categorical(5), logits, 1_000_000, seed=1)
    probabilities = np.exp(exact_categorical(logits)[0])
    counts = np.bincount(actions.ravel(), minlength=5)
    assert stats.chisquare(counts, probabilities * actions.size).pvalue > FALSE_ALARM
    shifted = probabilities * [1.0, 1.02, 1.0, 1.0, 1.0]  # the same test sees an error of 2 percent in one choice
    assert stats.chisquare(counts, shifted / shifted.sum() * actions.size).pvalue < FALSE_ALARM
    for first, second in ((actions[:-1], actions[1:]), (actions[:, :-1], actions[:, 1:])):
        pairs = np.bincount(first.ravel() * 5 + second.ravel(), minlength=25).reshape(5, 5)
        assert stats.chi2_contingency(pairs).pvalue > FALSE_ALARM


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


def test_extreme_logits_are_sampled_without_overflow():
    logits = [[700.0, -700.0, 0.0], [-700.0, -700.0, -699.0]]
    distribution = Categorical(3)
    noise = distribution.noise(np.random.default_rng(3), (5000, 2))
    actions = np.empty((5000, 2), np.int64)
    for t in range(5000):
        distribution.sample(np.array(logits), noise[t], actions[t])
    assert set(actions[:, 0].tolist()) == {0}
    assert set(actions[:, 1].tolist()) == {0, 1, 2}


@settings(deadline=None)
@given(st.sampled_from(["categorical", "gaussian"]), st.integers(1, 4), SEEDS)
def test_the_log_probability_of_a_stored_sample_is_the_same_when_evaluated_again(kind, size, seed):
    distribution = Categorical(size) if kind == "categorical" else DiagonalGaussian(size)
    rng = np.random.default_rng(seed)
    parameters = rng.normal(0.0, 1.5, (16, distribution.parameter_size))
    out = np.empty((16, *distribution.action_shape), distribution.action_dtype)
    distribution.sample(parameters, distribution.noise(rng, (16,)), out)
    then = distribution.evaluate(parameters, out)[0]
    stored = then.astype(np.float32).astype(np.float64)
    order = rng.permutation(16)
    shuffled = out[order] if kind == "categorical" else out[order].astype(np.float64)
    again = distribution.evaluate(parameters[order], shuffled)[0]
    np.testing.assert_array_max_ulp(again, then[order], 4)
    ratio = np.exp(again - stored[order])
    assert np.all(abs(ratio - 1.0) <= 1e-7 * np.maximum(1.0, abs(then[order])))


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


def central_differences(distribution, parameters, actions, d_log_prob, d_entropy, step=1e-5):
    gradient = np.empty_like(parameters)
    for j in range(parameters.shape[1]):
        moved = []
        for sign in (1.0, -1.0):
            shifted = parameters.copy()
            shifted[:, j] += sign * step
            log_prob, entropy, _ = distribution.evaluate(shifted, actions)
            moved.append(d_log_prob * log_prob + d_entropy * entropy)
        gradient[:, j] = (moved[0] - moved[1]) / (2.0 * step)
    return gradient


@pytest.mark.parametrize("distribution", [Categorical(1), Categorical(4), DiagonalGaussian(1), DiagonalGaussian(3)])
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, d_log_prob=cotangents, d_entropy=cotangents)
def test_the_pullback_is_the_derivative_by_central_differences(distribution, seed, d_log_prob, d_entropy):
    rng = np.random.default_rng(seed)
    parameters = rng.uniform(-2.0, 2.0, (5, distribution.parameter_size))
    actions = np.empty((5, *distribution.action_shape), distribution.action_dtype)
    distribution.sample(parameters, distribution.noise(rng, (5,)), actions)
    by_row = d_log_prob * rng.choice([0.0, 1.0, -1.0], 5), d_entropy * rng.choice([0.0, 1.0, 1.0], 5)
    gradient = distribution.evaluate(parameters, actions)[2](*by_row)
    expected = central_differences(distribution, parameters, actions, *by_row)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(any_logits, min_size=1, max_size=4), SEEDS, cotangents, cotangents)
def test_the_categorical_pullback_is_torchs_autograd(rows, seed, d_log_prob, d_entropy):
    n = min(map(len, rows))
    check_against_torch(Categorical(n), np.array([row[:n] for row in rows]), seed, d_log_prob, d_entropy)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), SEEDS, cotangents, cotangents)
def test_the_gaussian_pullback_is_torchs_autograd(size, seed, d_log_prob, d_entropy):
    mean, log_std, _ = gaussian_rows(size, seed, log_std_limit=5.0)
    check_against_torch(DiagonalGaussian(size), np.hstack([mean, log_std]), seed, d_log_prob, d_entropy)


def check_against_torch(distribution, parameters, seed, d_log_prob, d_entropy):
    import torch
    from torch.distributions import Categorical as TorchCategorical
    from torch.distributions import Independent, Normal

    rng = np.random.default_rng(seed)
    rows = len(parameters)
    tensor = torch.tensor(parameters, requires_grad=True)
    if isinstance(distribution, Categorical):
        actions = rng.integers(distribution.n, size=rows)
        policy = TorchCategorical(logits=tensor)
    else:
        mean, log_std = parameters[:, : distribution.size], parameters[:, distribution.size :]
        actions = mean + np.exp(log_std) * rng.normal(0.0, 3.0, mean.shape)
        policy = Independent(Normal(tensor[:, : distribution.size], tensor[:, distribution.size :].exp()), 1)
    log_prob, entropy, pullback = distribution.evaluate(parameters, actions)
    torch_log_prob, torch_entropy = policy.log_prob(torch.tensor(actions)), policy.entropy()
    np.testing.assert_allclose(log_prob, torch_log_prob.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(entropy, torch_entropy.detach().numpy(), rtol=1e-9, atol=1e-11)
    cotangent = d_log_prob * rng.normal(0.0, 1.0, rows), d_entropy * rng.normal(0.0, 1.0, rows)
    total = (torch.tensor(cotangent[0]) * torch_log_prob + torch.tensor(cotangent[1]) * torch_entropy).sum()
    total.backward()
    scale = np.abs(tensor.grad.numpy()).max()
    np.testing.assert_allclose(pullback(*cotangent), tensor.grad.numpy(), rtol=1e-9, atol=1e-10 * max(1.0, scale))
