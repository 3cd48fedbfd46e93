"""Normalization to the last bit: flags that are all True, other formats, and no epsilon."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ppocore.normalize import ObservationNormalizer, RewardScaler, RunningMeanStd, explained_variance, normalize


def memory_orders(seed):
    """The same numbers as rows in memory, as columns, and as every second of a larger array."""
    x = np.random.default_rng(seed).normal(3.0, 2.0, (37, 11))
    spread = np.zeros((74, 22))
    spread[::2, ::2] = x
    return x, np.asfortranarray(x), spread[::2, ::2]


@pytest.mark.parametrize("seed", range(5))
def test_flags_that_are_all_true_change_nothing_not_even_a_bit(seed):
    for x in memory_orders(seed):
        everywhere = np.ones(x.shape, bool)
        np.testing.assert_array_equal(normalize(x, everywhere), normalize(x))
        assert explained_variance(x * 0.9, x, everywhere) == explained_variance(x * 0.9, x)
        without, with_flags = RunningMeanStd((11,)), RunningMeanStd((11,))
        without.update(x)
        with_flags.update(x, np.ones(37, bool))
        np.testing.assert_array_equal(with_flags.mean, without.mean)
        np.testing.assert_array_equal(with_flags.var, without.var)


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 0.1, -1e20 / 3])
def test_equal_numbers_become_0_even_without_an_epsilon(value):
    with np.errstate(all="raise", under="ignore"):
        assert normalize(np.full(7, value), epsilon=0.0).tolist() == [0.0] * 7


@pytest.mark.parametrize("x", [[math.inf] * 3, [-math.inf], [1.0, math.inf], [1.0, math.nan]])
def test_what_is_not_finite_is_not_hidden(x):
    with np.errstate(invalid="ignore"):
        assert np.isnan(normalize(np.array(x))).any()


def test_without_an_epsilon_the_deviation_is_exactly_1():
    assert normalize(np.array([-3.0, 3.0]), epsilon=0.0).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.uint8, np.bool_])
def test_explained_variance_of_every_format_is_that_of_the_numbers_in_float64(kind):
    rng = np.random.default_rng(0)
    values, returns = rng.integers(0, 2, (2, 40)).astype(kind)
    expected = explained_variance(values.astype(np.float64), returns.astype(np.float64))
    assert explained_variance(values, returns) == expected
    assert explained_variance(values.tolist(), returns.tolist()) == expected


def test_values_are_compared_with_returns_in_float64_whatever_their_dtype():
    returns = np.array([1.0, 1.0 + 2.0**-52, 1.0])
    closer = returns.astype(np.longdouble) + np.longdouble([2.0**-60, 0.0, 0.0])  # which float64 cannot hold
    assert explained_variance(closer, returns) == 1.0
    assert explained_variance(returns, closer) == 1.0


class TestObservations:
    @pytest.mark.parametrize("shape", [(4, 1), (4, 3), (2,), (1, 2, 2), ()])
    def test_another_shape_is_refused_and_not_stretched(self, shape):
        normalizer = ObservationNormalizer((2,))
        normalizer(np.random.default_rng(0).normal(size=(5, 2)))
        for function in (normalizer.normalize, normalizer.update, normalizer):
            with pytest.raises(ValueError, match=r"^expected samples of shape \(N, 2\), but got \("):
                function(np.zeros(shape))
        assert normalizer.moments.count == 5

    def test_lists_integers_and_tensors_are_normalized_alike(self):
        torch = pytest.importorskip("torch")
        normalizer = ObservationNormalizer((2,))
        normalizer(np.array([[0.0, 5.0], [4.0, 7.0], [8.0, 3.0]]))
        expected = normalizer.normalize(np.array([[2.0, 4.0]]))
        for same in ([[2, 4]], np.array([[2, 4]]), np.float32([[2, 4]]), torch.tensor([[2, 4]])):
            found = normalizer.normalize(same)
            assert type(found) is np.ndarray
            assert found.dtype == np.float64
            np.testing.assert_array_equal(found, expected)

    def test_arguments_are_neither_changed_nor_returned(self):
        obs = np.random.default_rng(1).normal(size=(6, 2))
        kept, valid = obs.copy(), np.array([True, False] * 3)
        normalizer = ObservationNormalizer((2,))
        for found in (normalizer(obs), normalizer(obs, valid), normalizer.normalize(obs)):
            assert not np.shares_memory(found, obs)
        np.testing.assert_array_equal(obs, kept)
        assert valid.tolist() == [True, False] * 3

    def test_infinity_is_clipped_and_what_is_in_range_is_not_touched(self):
        normalizer = ObservationNormalizer((1,), clip=2.0)
        normalizer(np.array([[-1.0], [1.0]]))
        found = normalizer.normalize(np.array([[math.inf], [-math.inf], [1.0]])).ravel()
        assert found[:2].tolist() == [2.0, -2.0]
        assert found[2] == 1.0 / math.sqrt(1.0 + 1e-8)


class TestRewards:
    def test_by_hand(self):
        # G is 1 and 3, then 0.5 * 1 + 1 = 1.5, and 2, for the second episode ended: variance of 1, 3, 1.5, 2.
        scaler, no = RewardScaler(2, gamma=0.5), np.zeros(2, bool)
        assert scaler(np.array([1.0, 3.0]), no, np.array([False, True])).tolist() == pytest.approx([1.0, 3.0])
        variance = np.var([1.0, 3.0, 1.5, 2.0])
        assert scaler([1, 2], no, no).tolist() == pytest.approx([1 / math.sqrt(variance), 2 / math.sqrt(variance)])
        assert scaler.state()["discounted"].tolist() == [1.5, 2.0]

    def test_flags_given_are_not_written_to(self):
        scaler, ended, valid = RewardScaler(3, gamma=0.9), np.array([True, True, False]), np.array([True, False, True])
        rewards = np.array([1.0, 2.0, 3.0])
        scaler(rewards, ended, ended, valid)
        assert (rewards.tolist(), ended.tolist(), valid.tolist()) == (
            [1.0, 2.0, 3.0],
            [True, True, False],
            [True, False, True],
        )


def test_a_shape_is_what_numpy_takes_as_one():
    for shape, expected in ((3, (3,)), ((2, 3), (2, 3)), ([4], (4,)), ((), ()), (np.int64(2), (2,))):
        moments = RunningMeanStd(shape)
        assert moments.mean.shape == moments.shape == expected
    for shape in (None, "ab", (2.5,), (-1,), (True,), 1.5, {3}):
        with pytest.raises(TypeError, match=r"shape=.* is not a shape: give a tuple of whole numbers"):
            RunningMeanStd(shape)


class TestNumbersThatAreNotFinite:
    """A batch with one is refused whole, or its samples are left out: by hand, of 1 and 3 alone."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_they_are_refused_and_nothing_changes(self, bad):
        moments = RunningMeanStd((2,))
        moments.update(np.array([[1.0, 2.0], [3.0, 2.0]]))
        message = (
            r"not finite in sample 1 of 3: leave it out with valid=, or make RunningMeanStd with nan_policy='omit'"
        )
        with pytest.raises(ValueError, match=message):
            moments.update(np.array([[0.0, 0.0], [0.0, bad], [bad, 0.0]]))
        assert (moments.mean.tolist(), moments.var.tolist(), moments.count) == ([2.0, 2.0], [1.0, 0.0], 2)
        moments.update(np.array([[bad, 0.0], [2.0, 2.0]]), np.array([False, True]))
        assert moments.count == 3

    def test_they_are_left_out_if_asked_for(self):
        moments = RunningMeanStd((2,), nan_policy="omit")
        moments.update(np.array([[1.0, 2.0], [7.0, np.nan], [np.inf, 7.0], [3.0, 2.0]]))
        assert (moments.mean.tolist(), moments.var.tolist(), moments.count) == ([2.0, 2.0], [1.0, 0.0], 2)
        moments.update(np.full((3, 2), np.nan))
        assert moments.count == 2
        scalar = RunningMeanStd(nan_policy="omit")
        scalar.update(np.array([np.nan, 4.0]))
        assert (float(scalar.mean), scalar.count) == (4.0, 1)

    def test_normalizers_refuse_them_and_do_not_change(self):
        observations, rewards = ObservationNormalizer((2,)), RewardScaler(2, gamma=0.9)
        with pytest.raises(ValueError, match="sample 0 of 1"):
            observations(np.array([[np.nan, 1.0]]))
        with pytest.raises(ValueError, match="sample 1 of 2"):
            rewards(np.array([1.0, np.nan]), np.zeros(2, bool), np.zeros(2, bool))
        assert observations.moments.count == rewards.moments.count == 0
        assert rewards.state()["discounted"].tolist() == [0.0, 0.0]

    def test_large_finite_numbers_are_not_refused(self):
        moments = RunningMeanStd((2,))
        with np.errstate(all="ignore"):
            moments.update(np.array([[1e308, 1e308]]))
        assert moments.count == 1

    def test_there_are_two_policies(self):
        with pytest.raises(ValueError, match="nan_policy must be 'raise' or 'omit', but is 'propagate'"):
            RunningMeanStd(nan_policy="propagate")
