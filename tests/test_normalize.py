"""Normalization: the moments, what invalid rows and single samples do to them, and what a step costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore.normalize import ObservationNormalizer, RewardScaler, RunningMeanStd, explained_variance, normalize

# --- normalize


def test_normalize_by_hand():
    # mean 2, population variance (1 + 0 + 1) / 3
    np.testing.assert_allclose(normalize(np.array([1.0, 2.0, 3.0])), np.array([-1, 0, 1]) * math.sqrt(1.5), atol=1e-7)
    # mean 2, std 1; the third is not there
    np.testing.assert_allclose(normalize([1.0, 3.0, np.nan], valid=[True, True, False]), [-1, 1, 0], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 50), st.sampled_from([0.0, 0.5]))
def test_normalized_has_mean_0_and_std_1_over_valid_elements(seed, n, invalid):
    rng = np.random.default_rng(seed)
    x, valid = rng.normal(5, 3, (n, 3)), rng.random((n, 3)) >= invalid
    x[~valid] = rng.choice([np.nan, np.inf, 1e30])
    result = normalize(x, valid)
    assert (result[~valid] == 0).all()
    if valid.sum() > 1:
        np.testing.assert_allclose([result[valid].mean(), result[valid].std()], [0, 1], atol=1e-7)


@pytest.mark.parametrize("x", [[3.0], [0.1] * 7, [1e15 / 3] * 5, [7, 7, 7], []])
def test_constant_numbers_become_0(x):
    result = normalize(np.array(x))
    assert result.tolist() == [0.0] * len(x)
    assert normalize(np.array([*x, np.nan]), np.array([True] * len(x) + [False])).tolist() == [0.0] * (len(x) + 1)


def test_normalize_formats():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert normalize(x).dtype == np.float32
    assert normalize(x.astype(int)).dtype == np.float64
    np.testing.assert_array_equal(normalize(x), normalize(x.astype(float)).astype(np.float32))
    with pytest.raises(ValueError, match="valid"):
        normalize(x, np.ones(3, bool))
    with pytest.raises(ValueError, match="valid"):
        normalize(x, np.full((2, 3), 2))


# --- explained variance


def test_explained_variance():
    returns = np.array([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(returns + 5, returns) == 1.0
    assert explained_variance(np.full(4, 2.5), returns) == 0.0
    assert explained_variance(-returns, returns) == -3.0  # Var(2 x) / Var(x) = 4
    assert math.isnan(explained_variance(returns, np.full(4, 0.1)))
    assert math.isnan(explained_variance([], []))
    corrupted = np.array([1.0, 2.0, np.nan, 4.0])
    assert explained_variance(corrupted, returns, valid=[1, 1, 0, 1]) == 1.0
    with pytest.raises(ValueError, match="returns"):
        explained_variance(returns, returns[:, None])


# --- running moments


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_running_moments_equal_those_of_the_whole(seed, sizes):
    rng = np.random.default_rng(seed)
    batches = [rng.normal(1e6, 2, (n, 3)) for n in sizes]  # far from 0, where sums of squares would lose it all
    moments, masked = RunningMeanStd((3,)), RunningMeanStd((3,))
    for batch in batches:
        moments.update(batch)
        valid = np.arange(len(batch) + 2) < len(batch)
        masked.update(np.concatenate([batch, np.full((2, 3), np.nan)]), valid)
    whole = np.concatenate(batches)
    assert moments.count == masked.count == len(whole)
    if len(whole) > 1:
        np.testing.assert_allclose(moments.mean, whole.mean(0), rtol=1e-14)
        np.testing.assert_allclose(moments.var, whole.var(0), rtol=1e-7)
        np.testing.assert_array_equal(masked.var, moments.var)


def test_before_the_second_sample_the_variance_is_1():
    moments = RunningMeanStd()
    assert (moments.mean, moments.var, moments.count) == (0.0, 1.0, 0)
    moments.update(np.array([4.0]))
    assert (moments.mean, moments.var, moments.count) == (4.0, 1.0, 1)
    moments.update(np.array([6.0]))
    assert (moments.mean, moments.var, moments.count) == (5.0, 1.0, 2)
    moments.update(np.array([5.0, 5.0]))
    assert (moments.mean, moments.var, moments.count) == (5.0, 0.5, 4)


def test_a_mean_read_earlier_does_not_change():
    moments = RunningMeanStd((2,))
    moments.update(np.ones((3, 2)))
    mean = moments.mean
    moments.update(np.zeros((3, 2)))
    assert mean.tolist() == [1.0, 1.0]


# --- observations


def test_observations_are_normalized_and_clipped():
    normalizer = ObservationNormalizer((2,), clip=1.5)
    obs = np.array([[0.0, 10.0], [2.0, 10.0], [4.0, 10.0], [2.0, 10.0]])
    # Column 0: mean 2, variance 2, so -2 / sqrt(2) = -1.41; column 1 does not vary.
    np.testing.assert_allclose(normalizer(obs), [[-math.sqrt(2), 0], [0, 0], [math.sqrt(2), 0], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(normalizer.normalize(np.array([[9.0, 9.0]])), [[1.5, -1.5]])
    out = np.empty((4, 2), np.float32)
    assert normalizer.normalize(obs.astype(np.float32), out) is out
    np.testing.assert_array_equal(out, normalizer.normalize(obs).astype(np.float32))
    assert obs[0].tolist() == [0.0, 10.0]


def test_frozen_statistics_do_not_change():
    normalizer = ObservationNormalizer((2,))
    rng = np.random.default_rng(0)
    normalizer(rng.normal(size=(8, 2)))
    before, normalizer.frozen = normalizer.state(), True
    obs = rng.normal(5, 1, (8, 2))
    result = normalizer(obs)
    np.testing.assert_array_equal(result, normalizer.normalize(obs))
    for name, array in normalizer.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_invalid_observations_reach_nothing(bad):
    rng = np.random.default_rng(1)
    obs, valid = rng.normal(size=(6, 2)), np.array([True, False, True, True, False, True])
    apart, together = ObservationNormalizer((2,)), ObservationNormalizer((2,))
    expected = apart(obs[valid])
    obs[~valid] = bad
    result = together(obs, valid)
    np.testing.assert_array_equal(result[valid], expected)
    assert (result[~valid] == 0).all()
    np.testing.assert_array_equal(together.moments.var, apart.moments.var)
    together.update(obs, np.zeros(6, bool))
    assert together.moments.count == 4


def test_one_observation_is_not_divided_by_itself():
    assert ObservationNormalizer((1,))(np.array([[50.0]])).tolist() == [[0.0]]
    assert RewardScaler(1, gamma=0.9)([0.5], [False], [False])[0] == pytest.approx(0.5)


# --- rewards


class ByTheBook:
    """Keeps every discounted sum there has been and takes their variance afresh."""

    def __init__(self, num_envs, gamma):
        self.gamma, self.g, self.seen = gamma, [0.0] * num_envs, []

    def __call__(self, rewards, terminated, truncated, valid):
        for i in np.flatnonzero(valid):
            self.g[i] = self.gamma * self.g[i] + rewards[i]
            self.seen.append(self.g[i])
        variance = np.var(self.seen) if len(self.seen) > 1 else 1.0
        for i in np.flatnonzero(valid & (terminated | truncated)):
            self.g[i] = 0.0
        return np.where(valid, np.clip(rewards / math.sqrt(variance + 1e-8), -10, 10), 0.0)


@pytest.mark.parametrize("invalid", [0.0, 0.3])
def test_rewards_are_scaled_by_definition(invalid):
    rng = np.random.default_rng(2)
    scaler, book = RewardScaler(3, gamma=0.9), ByTheBook(3, 0.9)
    for _ in range(60):
        rewards, (terminated, truncated), valid = (
            rng.normal(size=3),
            rng.random((2, 3)) < 0.2,
            rng.random(3) >= invalid,
        )
        corrupted = np.where(valid, rewards, np.nan)
        expected = book(rewards, terminated, truncated, valid)
        np.testing.assert_allclose(scaler(corrupted, terminated, truncated, valid), expected, rtol=1e-10)
        assert np.isnan(corrupted).sum() == (~valid).sum()  # not written to


@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_the_accumulator_is_cleared_by_either_end(flag):
    scaler = RewardScaler(1, gamma=1.0)
    ends = {"terminated": [False], "truncated": [False]}
    for step in range(20):
        scaler([1.0], **(ends | ({flag: [True]} if step % 2 else {})))
    # G is 1, 2, 1, 2, ...: mean 1.5, variance 0.25. Were it never cleared, it would run to 20.
    assert scaler.moments.mean == pytest.approx(1.5)
    assert scaler.moments.var == pytest.approx(0.25)


# --- what all of them share


def make_all():
    return [
        (RunningMeanStd((2,)), lambda it, x: it.update(x)),
        (ObservationNormalizer((2,)), lambda it, x: it(x)),
        (RewardScaler(5, gamma=0.9), lambda it, x: it(x[:, 0], x[:, 1] > 1, x[:, 1] < -1)),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_restored_state_continues_exactly(which):
    rng = np.random.default_rng(3)
    batches = rng.normal(size=(6, 5, 2))
    (whole, step), (resumed, _) = make_all()[which], make_all()[which]
    for batch in batches[:3]:
        step(whole, batch)
    state = whole.state()
    kept = {name: array.copy() for name, array in state.items()}
    assert all(type(array) is np.ndarray for array in state.values())
    resumed.load_state(state)
    for batch in batches[3:]:
        np.testing.assert_array_equal(step(resumed, batch), step(whole, batch))
    for name, array in resumed.state().items():
        np.testing.assert_array_equal(array, whole.state()[name])
        np.testing.assert_array_equal(state[name], kept[name])  # neither of the two writes into the state


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_state_that_does_not_fit_changes_nothing(which):
    it, step = make_all()[which]
    step(it, np.random.default_rng(4).normal(size=(5, 2)))
    before = it.state()
    for name, array in before.items():
        with pytest.raises(ValueError, match=name):
            it.load_state(before | {name: np.zeros((9, *array.shape))})
        with pytest.raises(ValueError, match=name):
            it.load_state({other: a for other, a in before.items() if other != name})
        for other, kept in it.state().items():
            np.testing.assert_array_equal(kept, before[other])


def test_wrong_shapes_and_settings_are_named():
    with pytest.raises(ValueError, match=r"\(N, 2\).*\(4, 3\)"):
        ObservationNormalizer((2,))(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="valid"):
        ObservationNormalizer((2,))(np.zeros((4, 2)), np.ones(3, bool))
    scaler, no = RewardScaler(3, gamma=0.9), np.zeros(3, bool)
    with pytest.raises(ValueError, match="rewards"):
        scaler(np.zeros(4), no, no)
    with pytest.raises(ValueError, match="truncated"):
        scaler(np.zeros(3), no, no[:2])
    with pytest.raises(ValueError, match="terminated"):
        scaler(np.zeros(3), np.full(3, 2), no)
    for bad in ({"gamma": 1.1}, {"gamma": 0.9, "clip": 0}, {"gamma": 0.9, "epsilon": -1}):
        with pytest.raises(ValueError, match=r"gamma|clip|epsilon"):
            RewardScaler(3, **bad)
