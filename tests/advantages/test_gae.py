"""gae, td_residuals and successor_values equal results by hand and explicit sums, and have the expected invariances."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import Rollout, by_column, column_gae, random_rollout, rollouts, unit

from ppocore.advantages import gae, successor_values, td_residuals

T, F = True, False


def oracle_gae(rollout: Rollout, gamma: float, lam: float) -> np.ndarray:
    return by_column(column_gae, *rollout, gamma=gamma, lam=lam)


def test_by_hand_truncated_then_terminated():
    # gamma = lam = 0.5, so gamma lam = 0.25.
    # t=3 terminated:  delta = 4 + 0     - 1 = 3               A = 3
    # t=2:             delta = 3 + 0.5*1 - 2 = 1.5             A = 1.5 + 0.25*3 = 2.25
    # t=1 truncated:   delta = 2 + 0.5*8 - 3 = 3               A = 3        (next_values[1] counts, A[2] does not)
    # t=0:             delta = 1 + 0.5*3 - 1 = 1.5             A = 1.5 + 0.25*3 = 2.25
    advantages, returns = gae(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 1.0]), np.array([3.0, 8.0, 1.0, 100.0]),
        np.array([F, F, F, T]), np.array([F, T, F, F]), gamma=0.5, lam=0.5,
    )  # fmt: skip
    np.testing.assert_array_equal(advantages, [2.25, 3.0, 2.25, 3.0])
    np.testing.assert_array_equal(returns, [3.25, 6.0, 4.25, 4.0])


def test_by_hand_last_row_bootstraps():
    # t=1: delta = 1 + 0.5*4 - 1 = 2, A = 2;  t=0: delta = 1 + 0.5*1 - 1 = 0.5, A = 0.5 + 0.5*2 = 1.5 (lam = 1)
    no = np.zeros(2, bool)
    advantages, _ = gae(np.ones(2), np.ones(2), np.array([1.0, 4.0]), no, no, gamma=0.5, lam=1.0)
    np.testing.assert_array_equal(advantages, [1.5, 2.0])


def test_by_hand_both_flags_terminate():
    # 1 + 0 - 2, whatever next_values and the row after it hold
    advantages, _ = gae(np.array([1.0, 9.0]), np.array([2.0, 9.0]), np.array([np.nan, 9.0]),
                        np.array([T, F]), np.array([T, F]))  # fmt: skip
    assert advantages[0] == -1.0


def test_by_hand_reset_row():
    # Row 1 is not a step. Without it: t=2: 1 + 0.5*2 - 1 = 1;  t=0 terminated: 5 - 1 = 4
    nan = np.nan
    result = gae(np.array([5.0, nan, 1.0]), np.array([1.0, np.inf, 1.0]), np.array([nan, nan, 2.0]),
                 np.array([T, F, F]), np.array([F, T, F]), gamma=0.5, lam=0.5, valid=np.array([T, F, T]))  # fmt: skip
    np.testing.assert_array_equal(result.advantages, [4.0, 0.0, 1.0])
    np.testing.assert_array_equal(result.returns, [5.0, 0.0, 2.0])


def test_equals_exact_fractions():
    # Dyadic numbers, with which float64 is exact as well.
    rng = np.random.default_rng(0)
    for _ in range(20):
        r, v, nv = rng.integers(-8, 8, (3, 6))
        term, trunc = rng.random((2, 6)) < 0.3
        exact = column_gae(*[[Fraction(int(n)) for n in a] for a in (r, v, nv)], term, trunc, [T] * 6,
                           Fraction(1, 2), Fraction(1, 4))  # fmt: skip
        advantages, returns = gae(r, v, nv, term, trunc, gamma=0.5, lam=0.25)
        assert [Fraction(a) for a in advantages.tolist()] == exact
        assert [Fraction(a) for a in returns.tolist()] == [a + int(n) for a, n in zip(exact, v, strict=True)]


@settings(max_examples=150, deadline=None)
@given(rollouts(), unit, unit)
def test_equals_the_explicit_sum(rollout, gamma, lam):
    expected = oracle_gae(rollout, gamma, lam)
    advantages, returns = gae(*rollout[:5], gamma=gamma, lam=lam, valid=rollout.valid)
    np.testing.assert_allclose(advantages, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(returns, np.where(rollout.valid, expected + rollout.values, 0), rtol=1e-10, atol=1e-10)
    assert (advantages[~rollout.valid] == 0).all()
    assert (returns[~rollout.valid] == 0).all()


@settings(max_examples=60, deadline=None)
@given(rollouts(), unit)
def test_lam_0_is_the_td_residual(rollout, gamma):
    residuals = td_residuals(*rollout[:4], gamma=gamma, valid=rollout.valid)
    advantages = gae(*rollout[:5], gamma=gamma, lam=0.0, valid=rollout.valid).advantages
    np.testing.assert_array_equal(advantages, residuals)
    r, v, nv, term = rollout[:4]
    expected = r + gamma * np.where(term, 0, nv) - v
    np.testing.assert_allclose(residuals, np.where(rollout.valid, expected, 0), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(rollouts(), st.data())
def test_rows_after_an_end_and_invalid_rows_change_nothing(rollout, data):
    length, columns = rollout.rewards.shape
    t, i = data.draw(st.integers(0, length - 1)), data.draw(st.integers(0, columns - 1))
    rollout.truncated[t, i] = True
    rollout.valid[t, i] = True
    before = gae(*rollout[:5], valid=rollout.valid)
    corrupted = [a.copy() for a in rollout[:3]]
    for array in corrupted:
        array[t + 1 :, i] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e300]))
        array[~rollout.valid] = data.draw(st.sampled_from([np.nan, np.inf]))
    corrupted[2][rollout.terminated] = np.nan
    with np.errstate(all="ignore"):
        after = gae(*corrupted, *rollout[3:5], valid=rollout.valid)
    others = np.arange(columns) != i
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new[: t + 1, i], old[: t + 1, i], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(new[:, others], old[:, others], rtol=1e-12, atol=1e-12)
        assert (new[~rollout.valid] == 0).all()


@settings(max_examples=60, deadline=None)
@given(rollouts())
def test_invalid_rows_count_as_deleted(rollout):
    whole = gae(*rollout[:5], valid=rollout.valid)
    for i, kept in enumerate(rollout.valid.T):
        alone = gae(*[a[kept, i] for a in rollout[:5]])
        for part, expected in zip(whole, alone, strict=True):
            np.testing.assert_allclose(part[kept, i], expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rollouts(max_length=20), rollouts(max_length=20))
def test_consecutive_episodes_equal_separate_episodes(first, second):
    columns = min(first.rewards.shape[1], second.rewards.shape[1])
    first, second = (Rollout(*[a[:, :columns] for a in rollout]) for rollout in (first, second))
    first.valid[-1] = True
    first.truncated[-1] = True
    joined = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    together = gae(*joined[:5], valid=joined[5]).advantages
    separate = [gae(*rollout[:5], valid=rollout.valid).advantages for rollout in (first, second)]
    np.testing.assert_allclose(together, np.concatenate(separate), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rollouts(), st.integers(0, 100))
def test_linear_in_the_numbers(rollout, seed):
    other = np.random.default_rng(seed).normal(size=(3, *rollout.rewards.shape))
    flags = {"terminated": rollout.terminated, "truncated": rollout.truncated, "valid": rollout.valid}
    mixed = gae(*[2 * a - 3 * b for a, b in zip(rollout[:3], other, strict=True)], **flags)
    separate = [gae(*numbers, **flags) for numbers in (rollout[:3], other)]
    for k in range(2):
        np.testing.assert_allclose(mixed[k], 2 * separate[0][k] - 3 * separate[1][k], rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(rollouts(), st.randoms())
def test_environments_are_independent(rollout, random):
    columns = list(range(rollout.rewards.shape[1]))
    whole = gae(*rollout[:5], valid=rollout.valid).advantages
    for i in columns:
        alone = gae(*[a[:, i] for a in rollout[:5]], valid=rollout.valid[:, i]).advantages
        np.testing.assert_allclose(alone, whole[:, i], rtol=1e-12, atol=1e-12)
    random.shuffle(columns)
    shuffled = gae(*[a[:, columns] for a in rollout[:5]], valid=rollout.valid[:, columns]).advantages
    np.testing.assert_array_equal(shuffled, whole[:, columns])


@settings(max_examples=40, deadline=None)
@given(rollouts(invalid=False), unit, unit, st.data())
def test_two_chunks_with_a_carry_equal_the_whole(rollout, gamma, lam, data):
    # The carry, gamma lam A of the next row if that is of the same episode, is added to the first chunk's last reward.
    cut = data.draw(st.integers(0, len(rollout.rewards) - 1))
    whole = gae(*rollout[:5], gamma=gamma, lam=lam).advantages
    late = gae(*[a[cut + 1 :] for a in rollout[:5]], gamma=gamma, lam=lam).advantages
    early = [a[: cut + 1].copy() for a in rollout[:5]]
    if len(late):
        continues = ~(early[3][-1] | early[4][-1])
        early[0][-1] += gamma * lam * continues * late[0]
    chunks = np.concatenate([gae(*early, gamma=gamma, lam=lam).advantages, late])
    np.testing.assert_allclose(chunks, whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "ends"), [((1, 1), 0.5), ((1, 5), 0.5), ((300, 1), 0.05), ((200, 8), 0.1), ((40, 320), 0.1)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.bool_])
def test_every_number_format_is_computed_in_float64(shape, ends, dtype):
    rollout = random_rollout(0, *shape, ends=ends)
    rounded = [a.astype(dtype) for a in rollout[:3]]
    exact = gae(*[a.astype(np.float64) for a in rounded], *rollout[3:5])
    advantages, returns = gae(*rounded, *rollout[3:5])
    expected = dtype if dtype in (np.float32, np.float16) else np.float64
    assert advantages.dtype == returns.dtype == expected
    np.testing.assert_array_equal(advantages, exact.advantages.astype(expected))
    np.testing.assert_array_equal(returns, exact.returns.astype(expected))


def test_a_rollout_longer_than_one_piece():
    r, v, nv, term, trunc, _ = random_rollout(0, 150_000, 1, ends=0.001)
    ended, expected, following = (term | trunc).ravel(), np.empty(len(r)), 0.0
    delta = (r + 0.99 * np.where(term, 0, nv) - v).ravel()
    for t in reversed(range(len(r))):
        following = expected[t] = delta[t] + (0.0 if ended[t] else 0.99 * 0.95 * following)
    np.testing.assert_allclose(gae(r, v, nv, term, trunc).advantages[:, 0], expected, atol=1e-11)


def test_integer_rewards_with_float32_values_do_not_truncate():
    no = np.zeros(2, bool)
    advantages, _ = gae(np.array([1, 2]), np.array([0.5, 0.25], np.float32), 0.0, no, no, gamma=0.5, lam=1.0)
    assert advantages.tolist() == [0.5 + 0.5 * 1.75, 1.75]


def test_inputs_are_not_written_to():
    for valid in (0.0, 0.3):
        rollout = random_rollout(3, 50, 3, invalid=valid)
        before = [a.copy() for a in rollout]
        for array in rollout:
            array.flags.writeable = False
        gae(*rollout[:5], valid=rollout.valid)
        for array, copy in zip(rollout, before, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_successor_values():
    values, last = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([7.0, 8.0])
    np.testing.assert_array_equal(successor_values(values, last), [[3, 4], [5, 6], [7, 8]])
    final = np.full((3, 2), np.nan)
    final[1, 0], final[2, 1] = 30.0, 60.0
    following = successor_values(values, last, final, ~np.isnan(final))
    np.testing.assert_array_equal(following, [[3, 4], [30, 6], [7, 60]])
    np.testing.assert_array_equal(
        successor_values(values.T, last, final.T, ~np.isnan(final.T), time_axis=1), following.T
    )
    assert successor_values(values[:, 0].astype(np.float32), np.float32(7.0)).dtype == np.float32
    np.testing.assert_array_equal(successor_values([1, 2], 3), [2.0, 3.0])
    assert successor_values(np.empty((0, 2)), last).shape == (0, 2)
    with pytest.raises(TypeError, match="together"):
        successor_values(values, last, final)
    with pytest.raises(ValueError, match="last_values"):
        successor_values(values, np.zeros(3))


def test_all_autoreset_modes_give_the_same_advantages():
    # Two episodes: values 1, 2, 3 with final value 10 (truncated), then 4, 5 unfinished (next value 6).
    rewards, after = [1.0, 2.0, 3.0, 4.0, 5.0], 6.0
    end = np.array([F, F, T, F, F])
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    # SAME_STEP and DISABLED: the final observation's value is stored beside the rollout.
    final = np.array([np.nan, np.nan, 10.0, np.nan, np.nan])
    same_step = gae(rewards, values, successor_values(values, after, final, end), np.zeros(5, bool), end)
    # NEXT_STEP: the final observation has a row of its own, which is not a step.
    valid = np.array([T, T, T, F, T, T])
    values = np.array([1.0, 2.0, 3.0, 10.0, 4.0, 5.0])
    next_step = gae([1.0, 2.0, 3.0, 0.0, 4.0, 5.0], values, successor_values(values, after), np.zeros(6, bool),
                    np.array([F, F, T, F, F, F]), valid=valid)  # fmt: skip
    np.testing.assert_allclose(next_step.advantages[valid], same_step.advantages, rtol=1e-14)
    np.testing.assert_allclose(next_step.returns[valid], same_step.returns, rtol=1e-14)
