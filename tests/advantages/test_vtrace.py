"""V-trace equals results by hand, equation 1 of the paper, and GAE on policy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import by_column, column_vtrace, random_rollout, rollouts, unit

from ppocore.advantages import gae, vtrace

T, F = True, False
clips = st.sampled_from([0.5, 1.0, 3.0, np.inf])


def ratios(rollout, seed=0):
    return np.random.default_rng(seed).normal(size=rollout.rewards.shape)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_by_hand():
    # gamma = 0.5, ratios 2 and 0.5, so rho = c = 1 and 0.5.
    # t=1, the last:  delta = 0.5*(2 + 0.5*4 - 2) = 1    vs = 2 + 1 = 3     adv = 0.5*(2 + 0.5*4 - 2) = 1
    # t=0:            delta = 1*(1 + 0.5*2 - 1) = 1      vs = 1 + 1 + 0.5*1*(3 - 2) = 2.5
    #                                                    adv = 1*(1 + 0.5*3 - 1) = 1.5
    result = vtrace([1.0, 2.0], [1.0, 2.0], [2.0, 4.0], [F, F], [F, F], np.log([2.0, 0.5]), gamma=0.5)
    np.testing.assert_allclose(result.vs, [2.5, 3.0], rtol=1e-15)
    np.testing.assert_allclose(result.advantages, [1.5, 1.0], rtol=1e-15)


def test_by_hand_where_rows_end():
    # t=0 truncated, next value 8: delta = 1 + 0.5*8 - 1 = 4, vs = 5, adv = 4; t=1 does not count.
    # t=1 terminated: delta = 2 - 3 = -1, vs = 2, adv = -1.
    result = vtrace([1.0, 2.0], [1.0, 3.0], [8.0, np.nan], [F, T], [T, T], [0.0, 0.0], gamma=0.5)
    np.testing.assert_array_equal(result.vs, [5.0, 2.0])
    np.testing.assert_array_equal(result.advantages, [4.0, -1.0])


@settings(max_examples=100, deadline=None)
@given(rollouts(), unit, unit, clips, clips)
def test_equals_the_papers_sum(rollout, gamma, lam, rho_clip, c_clip):
    log_ratios = ratios(rollout)
    parameters = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
    expected = by_column(column_vtrace, *rollout, log_ratios, **parameters)
    result = vtrace(*rollout[:5], log_ratios, **parameters, valid=rollout.valid)
    for part, wanted in zip(result, expected, strict=True):
        scale = 1 + np.abs(wanted).max()  # traces without a clip grow
        np.testing.assert_allclose(part / scale, wanted / scale, rtol=0, atol=1e-10)
        assert (part[~rollout.valid] == 0).all()


@settings(max_examples=40, deadline=None)
@given(rollouts(), unit, unit)
def test_on_policy_the_targets_are_those_of_gae(rollout, gamma, lam):
    on_policy = np.zeros_like(rollout.rewards)
    result = vtrace(*rollout[:5], on_policy, gamma=gamma, lam=lam, valid=rollout.valid)
    close(result.vs, gae(*rollout[:5], gamma=gamma, lam=lam, valid=rollout.valid).returns)


def test_a_ratio_of_zero_moves_no_value():
    rollout = random_rollout(0, 20, 2)
    result = vtrace(*rollout[:5], np.full((20, 2), -np.inf), gamma=0.9)
    np.testing.assert_array_equal(result.vs, rollout.values)
    assert not result.advantages.any()


def test_a_huge_ratio_is_clipped_before_it_overflows():
    rollout = random_rollout(1, 20, 2)
    huge = vtrace(*rollout[:5], np.full((20, 2), 1e4), gamma=0.9)
    one = vtrace(*rollout[:5], np.zeros((20, 2)), gamma=0.9)
    close(huge.vs, one.vs)
    close(huge.advantages, one.advantages)


@settings(max_examples=40, deadline=None)
@given(rollouts(), st.sampled_from([np.nan, np.inf]), st.data())
def test_rows_after_an_end_and_invalid_rows_change_nothing(rollout, bad, data):
    t = data.draw(st.integers(0, len(rollout.rewards) - 1))
    rollout.truncated[t] = rollout.valid[t] = True
    log_ratios = ratios(rollout)
    clean = vtrace(*rollout[:5], log_ratios, gamma=0.9, valid=rollout.valid)
    corrupted = [a.copy() for a in (*rollout[:3], log_ratios)]
    for array in corrupted:
        array[t + 1 :] = array[~rollout.valid] = bad
    corrupted[2][rollout.terminated] = bad
    with np.errstate(invalid="ignore"):
        result = vtrace(*corrupted[:3], *rollout[3:5], corrupted[3], gamma=0.9, valid=rollout.valid)
    for part, wanted in zip(result, clean, strict=True):
        close(part[: t + 1], wanted[: t + 1])
        assert (part[~rollout.valid] == 0).all()


def test_formats_layouts_and_empty():
    rollout = random_rollout(2, 30, 3, invalid=0.2)
    log_ratios = ratios(rollout)
    exact = vtrace(*rollout[:5], log_ratios, gamma=0.9, valid=rollout.valid)
    turned = vtrace(*[a.T for a in rollout[:5]], log_ratios.T, gamma=0.9, valid=rollout.valid.T, time_axis=1)
    single = vtrace(*[a.astype(np.float32) for a in rollout[:3]], *rollout[3:5], log_ratios.astype(np.float32),
                    gamma=0.9, valid=rollout.valid)  # fmt: skip
    for part, other, half in zip(exact, turned, single, strict=True):
        np.testing.assert_array_equal(other.T, part)
        assert half.dtype == np.float32
        np.testing.assert_allclose(half, part, rtol=1e-4, atol=1e-4)
    nothing, none = np.empty((0, 2)), np.empty((0, 2), bool)
    assert vtrace(nothing, nothing, nothing, none, none, nothing, gamma=0.9).vs.shape == (0, 2)


def test_wrong_arguments_are_rejected():
    rollout = random_rollout(3, 10, 2)
    log_ratios = ratios(rollout)
    with pytest.raises(TypeError, match="terminated and truncated are both needed"):
        vtrace(*rollout[:3], dones=rollout[3], log_ratios=log_ratios, gamma=0.9)
    with pytest.raises(ValueError, match="log_ratios"):
        vtrace(*rollout[:5], log_ratios[:-1], gamma=0.9)
    for name in ("rho_clip", "c_clip"):
        for bad, error in ((0.0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("1", TypeError)):
            with pytest.raises(error, match=name):
                vtrace(*rollout[:5], log_ratios, gamma=0.9, **{name: bad})
