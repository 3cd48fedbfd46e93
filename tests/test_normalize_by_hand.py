"""Normalization computed by hand: constants, defaults, forms of an argument, and ownership of arrays."""

import math

import numpy as np
import pytest

from ppocore import ObservationNormalizer, RewardScaler, RunningMeanStd, explained_variance, normalize


class TestNormalize:
    def test_epsilon_is_added_to_the_deviation(self):
        assert normalize(np.array([0.0, 2e-8])).tolist() == pytest.approx([-0.5, 0.5])
        assert normalize(np.array([0.0, 2.0]), epsilon=1.0).tolist() == [-0.5, 0.5]

    @pytest.mark.parametrize("value", [0.1, -0.1, 1e20 / 3, -1e20 / 3, 1e-20 / 3, 0.0])
    @pytest.mark.parametrize("count", [3, 7, 11, 49])
    def test_equal_numbers_are_exactly_0_whatever_their_mean_is_rounded_to(self, value, count):
        assert (normalize(np.full(count, value)) == 0.0).all()

    def test_nearly_equal_numbers_are_not_equal(self):
        x = np.array([1.0, 1.0 + 2.0**-46])
        deviation = 2.0**-47
        assert normalize(x).tolist() == pytest.approx([-deviation / (deviation + 1e-8), deviation / (deviation + 1e-8)])

    def test_lists_and_flags_that_are_numbers(self):
        expected = normalize(np.array([1.0, 5.0, 2.0]), np.array([True, False, True]))
        assert np.array_equal(normalize([1.0, 5.0, 2.0], [1, 0, 1]), expected)
        assert expected[1] == 0.0


class TestExplainedVariance:
    def test_it_is_a_number_computed_in_float64(self):
        rng = np.random.default_rng(0)
        values, returns = (rng.normal(1000.0, 1.0, 300).astype(np.float32) for _ in range(2))
        exact = 1.0 - np.var(returns.astype(float) - values.astype(float)) / np.var(returns.astype(float))
        found = explained_variance(values, returns)
        assert type(found) is float
        assert found == pytest.approx(exact, rel=1e-12)
        assert explained_variance([1, 2, 4], [1, 2, 4], [1, 0, 1]) == 1.0
        assert explained_variance([1, 9, 4], [1, 2, 4], [1, 0, 1]) == 1.0

    def test_flags_are_checked(self):
        with pytest.raises(ValueError, match=r"^valid must hold flags"):
            explained_variance([1.0, 2.0], [1.0, 3.0], [0, 2])


class TestRunningMoments:
    def test_forms_of_samples_and_flags(self):
        expected = RunningMeanStd((2,))
        expected.update(np.array([[1.0, 2.0], [5.0, 8.0]]))
        for samples, valid in (
            ([[1, 2], [5, 8]], None),
            ([[1, 2], [7, 7], [5, 8]], [1, 0, 1]),
            (np.float32([[1, 2], [5, 8]]), np.ones(2)),
        ):
            found = RunningMeanStd([2])
            found.update(samples, valid)
            assert found.shape == (2,)
            assert (found.mean.tolist(), found.var.tolist(), found.count) == ([3.0, 5.0], [4.0, 9.0], 2)
            assert (expected.mean.tolist(), expected.var.tolist()) == ([3.0, 5.0], [4.0, 9.0])

    def test_float32_samples_are_added_up_in_float64(self):
        samples = np.random.default_rng(1).normal(1e4, 1.0, (500, 1)).astype(np.float32)
        found = RunningMeanStd((1,))
        for part in np.split(samples, 5):
            found.update(part)
        assert found.mean[0] == pytest.approx(samples.astype(float).mean(), rel=1e-13)
        assert found.var[0] == pytest.approx(samples.astype(float).var(), rel=1e-9)

    def test_a_lone_number_is_no_batch(self):
        with pytest.raises(ValueError, match=r"but got \(\)"):
            RunningMeanStd(()).update(np.float64(3.0))

    @pytest.mark.parametrize("flags", [[0, 2], [2, 2], [0.5, 1]])
    def test_flags_are_0_or_1_every_one(self, flags):
        with pytest.raises(ValueError, match=r"^valid must hold flags"):
            RunningMeanStd(()).update(np.zeros(2), flags)

    def test_a_state_is_a_copy(self):
        moments = RunningMeanStd((1,))
        moments.update(np.array([[1.0], [3.0]]))
        state = moments.state()
        other = RunningMeanStd((1,))
        other.load_state({name: np.asarray(array, np.float32) for name, array in state.items()})
        assert type(other.count) is int
        assert other.mean.dtype == np.float64
        other.load_state(state)
        for array in state.values():
            array[...] = 77
        assert (other.mean[0], moments.mean[0], other.var[0], moments.var[0]) == (2.0, 2.0, 1.0, 1.0)


class TestObservations:
    def test_defaults(self):
        normalizer = ObservationNormalizer((1,))
        normalizer.update(np.array([[-1.0], [1.0]]))
        assert normalizer.normalize(np.array([[1e9], [-1e9], [5.0]])).ravel().tolist() == pytest.approx(
            [10.0, -10.0, 5.0]
        )
        tiny = ObservationNormalizer((1,))
        tiny.update(np.array([[-1e-4], [1e-4]]))
        assert tiny.normalize(np.array([[1e-4]]))[0, 0] == pytest.approx(1e-4 / math.sqrt(1e-8 + 1e-8))

    def test_what_is_learned_after_normalizing_counts_at_the_next(self):
        normalizer = ObservationNormalizer((1,))
        for half in (1.0, 3.0):
            normalizer.update(np.array([[-half], [half]]))
            normalizer.normalize(np.array([[1.0]]))
        assert normalizer.normalize(np.array([[1.0]]))[0, 0] == pytest.approx(1.0 / math.sqrt(5.0))
        other = ObservationNormalizer((1,))
        other.update(np.array([[-50.0], [50.0]]))
        other.normalize(np.array([[1.0]]))
        other.load_state(normalizer.state())
        assert other.normalize([[1.0]])[0, 0] == pytest.approx(1.0 / math.sqrt(5.0))

    def test_moments_that_are_changed_themselves_count_as_well(self):
        normalizer = ObservationNormalizer((1,))
        normalizer.update(np.array([[-1.0], [1.0]]))
        normalizer.normalize([[1.0]])
        normalizer.moments.update(np.array([[-3.0], [3.0]]))
        assert normalizer.normalize([[1.0]])[0, 0] == pytest.approx(1.0 / math.sqrt(5.0))
        other = RunningMeanStd((1,))
        other.update(np.array([[-2.0], [2.0]]))
        normalizer.moments.load_state(other.state())
        assert normalizer.normalize([[1.0]])[0, 0] == pytest.approx(0.5)

    @pytest.mark.parametrize("name", ["clip", "epsilon"])
    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, "much"])
    def test_settings_are_called_by_their_names(self, name, bad):
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must"):
            ObservationNormalizer((1,), **{name: bad})
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must"):
            RewardScaler(1, gamma=0.9, **{name: bad})


class TestRewards:
    def test_they_are_clipped_at_10(self):
        scaler, never = RewardScaler(1, gamma=0.0), np.zeros(1, bool)
        for reward in (0.0, 1e-3, 0.0, 1e-3):
            scaler(np.array([reward]), never, never)
        assert scaler(np.array([1e3]), never, never)[0] <= 10.0
        scaler = RewardScaler(2, gamma=0.0)
        for _ in range(400):
            scaler(np.zeros(2), np.zeros(2, bool), np.zeros(2, bool))
        assert scaler(np.array([1e3, -1e3]), np.zeros(2, bool), np.zeros(2, bool)).tolist() == [10.0, -10.0]

    @pytest.mark.parametrize("name", ["terminated", "truncated"])
    def test_flags_are_called_by_their_names(self, name):
        flags = {"terminated": np.zeros(2, bool), "truncated": np.zeros(2, bool)}
        with pytest.raises(ValueError, match=rf"^{name} has shape \(3,\)"):
            RewardScaler(2, gamma=0.9)(np.zeros(2), **{**flags, name: np.zeros(3, bool)})
        with pytest.raises(ValueError, match=rf"^{name} must hold flags"):
            RewardScaler(2, gamma=0.9)(np.zeros(2), **{**flags, name: np.array([0, 2])})

    def test_gamma_is_called_by_its_name(self):
        with pytest.raises(ValueError, match=r"^gamma must"):
            RewardScaler(2, gamma=1.5)

    def test_flags_may_be_numbers_and_lists(self):
        one, other = RewardScaler(3, gamma=0.9), RewardScaler(3, gamma=0.9)
        rng = np.random.default_rng(2)
        for _ in range(5):
            rewards, ended, valid = rng.normal(size=3), rng.random(3) < 0.4, rng.random(3) < 0.7
            expected = one(rewards, ended, np.zeros(3, bool), valid)
            found = other(rewards.tolist(), ended.astype(int), [0, 0, 0], valid.astype(float).tolist())
            assert np.array_equal(found, expected)
        assert all(np.array_equal(one.state()[name], array) for name, array in other.state().items())

    def test_a_state_is_a_copy_and_an_episode_can_be_dropped(self):
        scaler, never = RewardScaler(2, gamma=0.5), np.zeros(2, bool)
        scaler(np.array([1.0, 2.0]), never, never)
        state = scaler.state()
        state["discounted"][...] = 99.0
        assert scaler.state()["discounted"].tolist() == [1.0, 2.0]
        scaler.forget(0)
        assert scaler.state()["discounted"].tolist() == [0.0, 2.0]


def test_observations_of_another_shape_are_not_stretched_to_fit():
    normalizer = ObservationNormalizer((1,))
    for wrong in (np.zeros((3, 2)), np.zeros(3), np.zeros((2, 1, 1))):
        with pytest.raises(ValueError, match=r"expected samples of shape \(N, 1\), but got"):
            normalizer.normalize(wrong)
