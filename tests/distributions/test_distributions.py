"""The policy distributions over discrete actions, against their definitions, scipy, differences and torch."""

from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.distributions import (
    FALSE_ALARM,
    check_against_torch,
    check_pullbacks_by_differences,
    drawn,
    example,
    some_actions,
)
from support.networks import SEEDS

from ppocore.distributions import Bernoulli, Categorical, MultiCategorical, log_softmax
from ppocore.distributions.discrete import sigmoid, softplus

DISCRETE = ("categorical", "multi_categorical", "bernoulli")
any_logits = st.lists(
    st.floats(-700.0, 700.0) | st.sampled_from([700.0, -700.0, 5000.0, -5000.0, 0.0]), min_size=1, max_size=6
)


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


def exact_softplus(x):
    """log(1 + exp(x)) of a decimal, to 25 digits and more."""
    with localcontext() as context:
        context.prec = 60  # of which 1 + 1e-30 leaves 30 to the logarithm
        power = x.exp()
        return (1 + power).ln() if power > Decimal("1e-30") else power - power * power / 2


def exact_bits(log_odds, bits):
    """Log-probability and entropy of independent bits."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**6), 10**6
        log_prob = entropy = Decimal(0)
        for z, bit in zip(map(Decimal, log_odds), bits, strict=True):
            log_prob -= exact_softplus(-z if bit else z)
            entropy += exact_softplus(-z) / (1 + (-z).exp()) + exact_softplus(z) / (1 + z.exp())
        return float(log_prob), float(entropy)


@settings(deadline=None)
@given(any_logits, SEEDS)
def test_bernoulli_log_probabilities_and_entropy_are_those_of_the_definition(log_odds, seed):
    bits = np.random.default_rng(seed).integers(2, size=(1, len(log_odds)))
    log_prob, entropy, _ = Bernoulli(len(log_odds)).evaluate(np.array([log_odds]), bits)
    exact_log_prob, exact_entropy = exact_bits(log_odds, bits[0])
    np.testing.assert_allclose(log_prob, exact_log_prob, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(entropy, exact_entropy, rtol=1e-12, atol=1e-300)


def test_bernoulli_is_scipys():
    z = np.linspace(-5.0, 5.0, 11)[:, None]
    p = 1.0 / (1.0 + np.exp(-z))
    for bit in (0, 1):
        log_prob, entropy, _ = Bernoulli(1).evaluate(z, np.full((11, 1), bit))
        np.testing.assert_allclose(log_prob, stats.bernoulli(p[:, 0]).logpmf(bit), rtol=1e-12)
        np.testing.assert_allclose(entropy, stats.bernoulli(p[:, 0]).entropy(), rtol=1e-12)


@given(st.floats(-1e4, 1e4))
def test_softplus_and_sigmoid_of_any_number(x):
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 40, -(10**6), 10**6
        power = Decimal(x).exp()
        exact = float(exact_softplus(Decimal(x))), float(power / (1 + power))
    for function, expected in zip((softplus, sigmoid), exact, strict=True):
        np.testing.assert_allclose(function(np.array(x)), expected, rtol=2e-15, atol=1e-307)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), SEEDS, st.booleans())
def test_several_choices_are_the_sum_of_single_ones(choices, seed, masked):
    rng, distribution = np.random.default_rng(seed), MultiCategorical(choices)
    new, old = rng.normal(0.0, 2.0, (2, 5, sum(choices)))
    edges = np.cumsum(choices)[:-1]
    parts = [Categorical(n) for n in choices]
    if masked:
        columns = [(np.arange(n) == rng.integers(n, size=(5, 1))) | (rng.random((5, n)) < 0.5) for n in choices]
        new, old = (distribution.apply_masks(x, np.hstack(columns)) for x in (new, old))
    actions = some_actions(distribution, new, rng)
    assert actions.shape == (5, len(choices))
    log_prob, entropy, pullback = distribution.evaluate(new, actions)
    split = list(zip(parts, np.split(new, edges, axis=1), np.split(old, edges, axis=1), actions.T, strict=True))
    each = [part.evaluate(z, a) for part, z, _, a in split]
    np.testing.assert_allclose(log_prob, sum(x for x, _, _ in each), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(entropy, sum(x for _, x, _ in each), rtol=1e-13, atol=1e-13)
    weights = rng.normal(0.0, 1.0, (2, 5))
    np.testing.assert_array_equal(pullback(*weights), np.hstack([x(*weights) for _, _, x in each]))
    kl, kl_pullback = distribution.divergence(old, new)
    each_kl = [part.divergence(y, z) for part, z, y, _ in split]
    np.testing.assert_allclose(kl, sum(x for x, _ in each_kl), rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(kl_pullback(weights[0]), np.hstack([x(weights[0]) for _, x in each_kl]))
    modes = distribution.mode(new)
    assert modes.tolist() == np.stack([part.mode(z) for part, z, _, _ in split], axis=1).tolist()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", DISCRETE)
def test_probabilities_add_up_and_entropy_and_divergence_are_sums_over_all_actions(kind, masked):
    _, distribution, new, masks, rng = example(kind, 3, seed=4, masked=masked)
    old = new + rng.normal(0.0, 1.0, new.shape)
    if masked:
        new, old = (distribution.apply_masks(x, masks) for x in (new, old))
    choices = {"categorical": [range(3)], "bernoulli": [range(2)] * 3}.get(kind, [range(3), range(2), range(3)])
    actions = [np.array(a if len(choices) > 1 else a[0]) for a in product(*choices)]
    log_p, log_q = (
        np.stack([distribution.evaluate(x, np.repeat(a[None], len(new), axis=0))[0] for a in actions])
        for x in (new, old)
    )
    p, q = np.exp(log_p), np.exp(log_q)
    np.testing.assert_allclose(p.sum(axis=0), 1.0, rtol=1e-13)
    entropy = distribution.evaluate(new, np.repeat(actions[0][None], len(new), axis=0))[1]
    np.testing.assert_allclose(entropy, -(p * log_p).sum(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        distribution.divergence(old, new)[0], (q * (log_q - log_p)).sum(axis=0), rtol=1e-12, atol=1e-12
    )


def test_a_bit_is_most_probably_what_its_log_odds_say():
    assert Bernoulli(4).mode(np.array([[-2.0, 0.0, 1e-9, 30.0]])).tolist() == [[0, 0, 1, 1]]


def test_a_mode_is_not_a_view_of_the_parameters():
    for distribution in (Categorical(3), MultiCategorical([2, 3]), Bernoulli(2)):
        parameters = np.ones((4, distribution.parameter_size), np.float32)
        mode = distribution.mode(parameters)
        parameters[:] = 7.0
        assert not np.any(mode == 7.0)


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


def test_several_choices_are_drawn_with_the_stated_probabilities_and_independently():
    logits = np.array([0.5, -1.0, 0.0, 1.0, 0.2])
    actions = drawn(MultiCategorical([3, 2]), logits, 400_000, seed=3).reshape(-1, 2)
    joint = np.bincount(actions[:, 0] * 2 + actions[:, 1], minlength=6)
    p, q = (np.exp(exact_categorical(part)[0]) for part in (logits[:3], logits[3:]))
    assert stats.chisquare(joint, np.outer(p, q).ravel() * len(actions)).pvalue > FALSE_ALARM


def test_bits_are_drawn_with_the_stated_probabilities_and_independently():
    log_odds = np.array([1.0, -2.0, 0.0])
    bits = drawn(Bernoulli(3), log_odds, 400_000, seed=3).reshape(-1, 3)
    joint = np.bincount(bits @ [4, 2, 1], minlength=8)
    p = 1.0 / (1.0 + np.exp(-log_odds))
    expected = [np.prod(np.where(bit, p, 1.0 - p)) for bit in product([0, 1], repeat=3)]
    assert stats.chisquare(joint, np.array(expected) * len(bits)).pvalue > FALSE_ALARM


def test_extreme_logits_are_sampled_without_overflow():
    logits = [[700.0, -700.0, 0.0], [-700.0, -700.0, -699.0]]
    distribution = Categorical(3)
    noise = distribution.noise(np.random.default_rng(3), (5000, 2))
    actions = np.empty((5000, 2), np.int64)
    for t in range(5000):
        distribution.sample(np.array(logits), noise[t], actions[t])
    assert set(actions[:, 0].tolist()) == {0}
    assert set(actions[:, 1].tolist()) == {0, 1, 2}


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(DISCRETE), st.integers(1, 3), SEEDS, st.booleans())
def test_the_pullbacks_are_the_derivatives_by_central_differences(kind, size, seed, masked):
    check_pullbacks_by_differences(kind, size, seed, masked)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(DISCRETE), st.integers(1, 4), SEEDS, st.sampled_from([0.1, 2.0, 100.0]), st.booleans())
def test_everything_is_torchs(kind, size, seed, scale, masked):
    check_against_torch(kind, size, seed, scale, masked)


def one_masked(kind):
    """A distribution, parameters, a mask that forbids something of each component, and one that leaves one action."""
    cases = {
        "categorical": (Categorical(4), [1, 0, 1, 0], [0, 0, 1, 0]),
        "multi_categorical": (MultiCategorical([3, 2, 2]), [1, 0, 1, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0, 1]),
        "bernoulli": (Bernoulli(3), [1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 0]),
    }
    distribution, some, one = cases[kind]
    return distribution, np.array(some, bool), np.array(one, bool)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("kind", DISCRETE)
def test_what_is_masked_has_a_probability_of_exactly_0_and_no_gradient(kind, scale, dtype):
    distribution, some, _ = one_masked(kind)
    rng = np.random.default_rng(8)
    parameters, old = rng.normal(0.0, scale, (2, 5, distribution.parameter_size)).astype(dtype)
    masks = np.tile(some, (5, 1))
    masked = distribution.apply_masks(parameters, masks)
    assert masked.dtype == dtype
    # Each component's choices that are forbidden, the others being allowed.
    allowed = {"categorical": [0], "multi_categorical": [0, 1, 1], "bernoulli": [0, 1, 0]}[kind]
    wrong = {"categorical": [(0, 1), (0, 3)], "multi_categorical": [(0, 1), (2, 0)], "bernoulli": [(1, 0), (2, 1)]}
    with np.errstate(all="raise", under="ignore"):
        for place, choice in wrong[kind]:
            action = np.array(allowed)
            action[place] = choice
            actions = np.tile(action if kind != "categorical" else action[0], (5,) + (1,) * (kind != "categorical"))
            assert np.all(np.exp(distribution.evaluate(masked, actions)[0]) == 0.0)
        actions = np.tile(np.array(allowed if kind != "categorical" else 0), (5, 1) if kind != "categorical" else 5)
        log_prob, entropy, pullback = distribution.evaluate(masked, actions)
        ones = np.ones(5, dtype)
        kl, kl_pullback = distribution.divergence(distribution.apply_masks(old, masks), masked)
        for array in (log_prob, entropy, kl, pullback(ones, ones), kl_pullback(ones)):
            assert np.all(np.isfinite(array))
        decided = ~some if kind != "bernoulli" else ~some.reshape(-1, 2).all(axis=1)
        for gradient in (pullback(ones, 0 * ones), pullback(0 * ones, ones), kl_pullback(ones)):
            assert np.all(gradient[:, decided] == 0.0)
    kept = ~decided
    if kind == "categorical":  # what is left is the distribution of what is allowed
        exact = Categorical(2).evaluate(parameters[:, kept], np.zeros(5, int))
        np.testing.assert_array_equal(log_prob, exact[0])
        np.testing.assert_array_equal(entropy, exact[1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", DISCRETE)
def test_with_one_action_left_nothing_is_uncertain(kind, dtype):
    distribution, _, one = one_masked(kind)
    rng = np.random.default_rng(8)
    parameters, old = rng.normal(0.0, 3.0, (2, 5, distribution.parameter_size)).astype(dtype)
    masks = np.tile(one, (5, 1))
    parameters, old = (distribution.apply_masks(x, masks) for x in (parameters, old))
    only = np.array({"categorical": 2, "multi_categorical": [2, 1, 1], "bernoulli": [1, 1, 0]}[kind])
    actions = np.repeat(only[None], 5, axis=0)
    assert np.array_equal(distribution.mode(parameters), actions)
    log_prob, entropy, pullback = distribution.evaluate(parameters, actions)
    kl, kl_pullback = distribution.divergence(old, parameters)
    cotangents = rng.normal(0.0, 1.0, (2, 5)).astype(dtype)
    for array in (log_prob, entropy, kl, pullback(*cotangents), kl_pullback(cotangents[0])):
        assert array.dtype == dtype
        assert np.all(array == 0.0)


@pytest.mark.parametrize("kind", DISCRETE)
def test_what_is_masked_is_never_drawn_and_the_rest_as_often_as_it_should(kind):
    distribution, some, one = one_masked(kind)
    parameters = np.random.default_rng(9).normal(0.0, 1.0, distribution.parameter_size)
    for mask in (some, one):
        masked = distribution.apply_masks(parameters[None], mask[None])
        actions = drawn(distribution, masked[0], 100_000, seed=4).reshape(100_000, -1)
        joint, counts = np.unique(actions, axis=0, return_counts=True)
        rows = np.repeat(masked, len(joint), axis=0)
        log_prob = distribution.evaluate(rows, joint if distribution.action_shape else joint[:, 0])[0]
        assert np.exp(log_prob).sum() == pytest.approx(1.0, rel=1e-12)  # nothing but what is allowed, and all of it
        if len(joint) > 1:
            assert stats.chisquare(counts, np.exp(log_prob) * 100_000).pvalue > FALSE_ALARM
    assert counts.tolist() == [100_000]
