"""The oracle of the kit, by hand: sums, magnitudes, and normalization undone."""

from fractions import Fraction

import numpy as np
import pytest

from ppocore.testing import explicit_sum
from ppocore.testing.gae.oracle import episodes, expected_advantages, magnitude, normalized_back
from ppocore.testing.gae.trajectories import Trajectory, large_trajectory

F, T = False, True


def column(rewards, values, next_values, terminated, truncated, gamma=0.5, lam=0.5, valid=None):
    """Return a trajectory of one environment."""
    numbers = (np.array(x, float)[:, None] for x in (rewards, values, next_values))
    flags = (np.array(x, bool)[:, None] for x in (terminated, truncated, valid or [T] * len(rewards)))
    return Trajectory(*numbers, *flags, gamma, lam)


@pytest.mark.parametrize(
    ("ended", "valid", "expected"),
    [
        ([F, F, F], [T, T, T], [[0, 1, 2]]),
        ([F, T, F], [T, T, T], [[0, 1], [2]]),
        ([T, T, T], [T, T, T], [[0], [1], [2]]),
        ([F, F, T], [T, F, T], [[0, 2]]),
        ([F, T, F], [T, F, T], [[0, 2]]),  # the end of a row that is no transition is none
        ([F, F, F], [F, F, F], []),
        ([T, F, F], [T, F, F], [[0]]),
    ],
)
def test_episodes_are_the_valid_rows_up_to_an_end(ended, valid, expected):
    assert episodes(ended, valid) == expected


# Residuals with gamma 1/2: 1 + 4/2 - 2 = 1;  2 + 6/2 - 1 = 4;  3 - 5 = -2 (terminated: 9 does not count);
# 4 + 8/2 - 0 = 8 (truncated);  5 + 2/2 - 3 = 3. Episodes are rows 0 to 2, row 3, and row 4.
X = column([1, 2, 3, 4, 5], [2, 1, 5, 0, 3], [4, 6, 9, 8, 2], [F, F, T, F, F], [F, F, F, T, F])


@pytest.mark.parametrize("number", [float, Fraction])
def test_sums_by_hand(number):
    assert explicit_sum(X, number) == [[1 + 4 / 4 - 2 / 16], [4 - 2 / 4], [-2], [8], [3]]
    # One lambda less in every later term: 1 + (4 - 2/4) / 2;  4 - 2/2.
    assert explicit_sum(X, number, estimator="vtrace") == [[2.75], [3.0], [-2], [8], [3]]
    assert type(explicit_sum(X, number)[0][0]) is number


def test_rows_that_are_not_valid_get_0_and_are_left_out():
    x = column([1, 99, 3], [2, 99, 5], [4, 99, 2], [F, T, F], [F, F, F], valid=[T, F, T])
    assert explicit_sum(x) == [[1 + (3 + 1 - 5) / 4], [0], [-1]]


def test_a_step_with_both_flags_is_terminated():
    assert explicit_sum(column([1], [2], [4], [T], [T])) == [[-1]]


@pytest.mark.parametrize("estimator", ["gae", "vtrace"])
def test_expected_advantages_are_exact_up_to_40_numbers(estimator):
    third = column([1 / 3] * 40, [0.1] * 40, [0.1] * 40, [F] * 40, [F] * 40, 0.9, 0.7)
    found = expected_advantages(third, estimator)
    exact = explicit_sum(third, Fraction, estimator=estimator)
    assert found.dtype == np.float64
    assert found.tolist() == [[float(a)] for row in exact for a in row]
    for rows in (41, 300):
        longer = large_trajectory(rows, 1)
        exact = [[float(a)] for row in explicit_sum(longer, Fraction, estimator=estimator) for a in row]
        np.testing.assert_allclose(expected_advantages(longer, estimator), exact, rtol=1e-12, atol=1e-12)


def test_magnitudes_are_the_sums_of_what_is_added():
    # |r| + |v| + gamma |v'|, without v' at the termination: 1 + 2 + 2;  2 + 1 + 3;  3 + 5;  4 + 0 + 4;  5 + 3 + 1.
    negative = X._replace(rewards=-X.rewards, values=X.values * [[1], [-1], [1], [-1], [1]])
    for x in (X, negative):
        assert magnitude(x).tolist() == [[5 + 6 / 4 + 8 / 16], [6 + 8 / 4], [8], [8], [9]]
    invalid = column([1, 99, 3], [2, 99, 5], [4, 99, 2], [F, F, F], [F, F, F], valid=[T, F, T])
    assert magnitude(invalid).tolist() == [[5 + 0 / 4 + 9 / 16], [0 + 9 / 4], [9]]


ADVANTAGES = np.array([[1.0, 4.0], [-2.0, 0.5], [3.0, 7.0]])


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("small", [0.0, 1e-8, 1e-5, 1e-6, 1e-7, 1e-10])
@pytest.mark.parametrize("inside", [False, True])
def test_normalization_is_undone(ddof, small, inside):
    variance = ADVANTAGES.var(ddof=ddof)
    scale = np.sqrt(variance + small) if inside else np.sqrt(variance) + small
    normalized = (ADVANTAGES - ADVANTAGES.mean()) / scale
    np.testing.assert_allclose(normalized_back(normalized, ADVANTAGES), ADVANTAGES, rtol=1e-14, atol=1e-15)
    shifted = normalized_back(normalized + 0.125, ADVANTAGES)
    assert np.abs(shifted - ADVANTAGES).min() > 0.1
    assert np.abs(normalized_back(1.5 * normalized, ADVANTAGES) - ADVANTAGES).max() > 0.5


def test_where_nothing_deviates_there_is_nothing_to_tell():
    for same in (np.array([[3.0]]), np.full((2, 3), -1e6), np.zeros((2, 2)), np.array([[1e6, 1e6 + 1e-6]])):
        found = normalized_back(np.full(same.shape, np.nan), same)
        assert found.tolist() == same.tolist()
        assert found is not same
    for nearly in (np.array([[1.0, 1.0 + 1e-8]]), np.array([[-1e6, -1e6 + 1.0]]), np.array([[1e-9, 3e-9]])):
        assert not np.allclose(normalized_back(np.array([[5.0, 5.0]]), nearly), nearly, rtol=1e-9, atol=0.0)


def test_what_is_not_a_number_is_no_advantage():
    assert np.isnan(normalized_back(np.full((3, 2), np.nan), ADVANTAGES)).all()
    some = np.full((3, 2), np.nan)
    some[0] = 0.0
    assert np.isnan(normalized_back(some, ADVANTAGES)[1:]).all()


def test_sums_have_the_type_of_their_numbers():
    x = column([1, 99], [2, 99], [4, 99], [F, F], [F, F], valid=[T, F])
    assert {type(a) for row in explicit_sum(x, Fraction) for a in row} == {Fraction}


def test_a_long_rollout_is_summed_in_floats():
    def thirds(rows):
        return column([1 / 3] * rows, [0.1] * rows, [0.1] * rows, [F] * rows, [F] * rows, 0.9, 0.7)

    for rows in (40, 41):
        exact = [[float(a)] for row in explicit_sum(thirds(rows), Fraction) for a in row]
        floats = [[a] for row in explicit_sum(thirds(rows)) for a in row]
        assert exact != floats
        assert expected_advantages(thirds(rows)).tolist() == (exact if rows == 40 else floats)
    wide = Trajectory(*[np.ones((2, 3))] * 3, *[np.zeros((2, 3), bool)] * 2, np.ones((2, 3), bool), 0.5, 0.5)
    assert expected_advantages(wide).shape == (2, 3)
