"""Discounted, n-step and lambda returns equal results by hand and their definitions; known mistakes are detected."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import by_column, column_gae, column_lambda, column_n_step, random_rollout, rollouts, unit

from ppocore.advantages import discounted_returns, gae, lambda_returns, n_step_returns

T, F = True, False
ALL = [discounted_returns, lambda_returns, n_step_returns]
EXTRA = {discounted_returns: {}, lambda_returns: {"lam": 0.9}, n_step_returns: {"n": 3}}


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


def test_discounted_by_hand():
    # gamma = 0.5.  t=4, the last: 5 + 0.5*20 = 15;  t=3: 4 + 0.5*15 = 11.5;  t=2 terminated: 3
    # t=1 truncated: 2 + 0.5*10 = 7;  t=0: 1 + 0.5*7 = 4.5.   Other next_values are not read.
    nan = np.nan
    returns = discounted_returns([1.0, 2.0, 3.0, 4.0, 5.0], [nan, 10.0, nan, nan, 20.0],
                                 [F, F, T, F, F], [F, T, F, F, F], gamma=0.5)  # fmt: skip
    np.testing.assert_array_equal(returns, [4.5, 7.0, 3.0, 11.5, 15.0])


def test_discounted_without_bootstrap():
    # 1 + 0.5*(1 + 0.5*1) = 1.75, 1.5, 1
    no = np.zeros((3, 2), bool)
    np.testing.assert_array_equal(discounted_returns(np.ones((3, 2)), 0.0, no, no, gamma=0.5)[:, 0], [1.75, 1.5, 1.0])


def test_n_step_by_hand():
    # gamma = 0.5, n = 2.  t=0: 1 + 0.5*2 + 0.25*8 = 4;  t=1: 2 + 0.5*3 + 0.25*4 = 4.5
    # t=2: 3 + 0.5*4, terminated: 5;  t=3: 4
    arguments = ([1.0, 2.0, 3.0, 4.0], [6.0, 8.0, 4.0, np.nan], [F, F, F, T], [F, F, F, F])
    np.testing.assert_array_equal(n_step_returns(*arguments, gamma=0.5, n=2), [4.0, 4.5, 5.0, 4.0])
    # Truncated at t=1: t=0: 1 + 0.5*2 + 0.25*8 = 4 still;  t=1: 2 + 0.5*8 = 6
    cut = (*arguments[:3], [F, T, F, F])
    np.testing.assert_array_equal(n_step_returns(*cut, gamma=0.5, n=2), [4.0, 6.0, 5.0, 4.0])
    # n = 3 and more stop there too.
    np.testing.assert_array_equal(n_step_returns(*cut, gamma=0.5, n=4), [4.0, 6.0, 5.0, 4.0])


def test_lambda_by_hand():
    # gamma = lam = 0.5.  t=2, the last: 3 + 0.5*4 = 5;  t=1: 2 + 0.5*(0.5*8 + 0.5*5) = 5.25
    # t=0: 1 + 0.5*(0.5*6 + 0.5*5.25) = 3.8125
    no = [F, F, F]
    returns = lambda_returns([1.0, 2.0, 3.0], [6.0, 8.0, 4.0], no, no, gamma=0.5, lam=0.5)
    np.testing.assert_array_equal(returns, [3.8125, 5.25, 5.0])


def test_equals_exact_fractions():
    rng = np.random.default_rng(0)
    for _ in range(10):
        r, nv = rng.integers(-8, 8, (2, 6))
        term, trunc = rng.random((2, 6)) < 0.3
        numbers = [[Fraction(int(k)) for k in a] for a in (r, nv)]
        for n in (1, 2, 3, 6):
            exact = column_n_step(*numbers, term, trunc, [T] * 6, Fraction(1, 2), n)
            assert [Fraction(g) for g in n_step_returns(r, nv, term, trunc, gamma=0.5, n=n).tolist()] == exact
        exact = column_lambda(*numbers, term, trunc, [T] * 6, Fraction(1, 2), Fraction(3, 4))
        assert [Fraction(g) for g in lambda_returns(r, nv, term, trunc, gamma=0.5, lam=0.75).tolist()] == exact


@settings(max_examples=60, deadline=None)
@given(rollouts(max_length=30), unit, st.integers(1, 40))
def test_n_step_equals_its_definition(rollout, gamma, n):
    arguments = rollout.without("values")
    expected = by_column(column_n_step, *arguments, gamma=gamma, n=n)
    close(n_step_returns(*arguments[:4], gamma=gamma, n=n, valid=rollout.valid), expected)


@settings(max_examples=40, deadline=None)
@given(rollouts(max_length=20), unit, unit)
def test_lambda_equals_its_definition(rollout, gamma, lam):
    arguments = rollout.without("values")
    expected = by_column(column_lambda, *arguments, gamma=gamma, lam=lam)
    close(lambda_returns(*arguments[:4], gamma=gamma, lam=lam, valid=rollout.valid), expected)


@settings(max_examples=60, deadline=None)
@given(rollouts(), unit)
def test_special_cases_equal_one_another(rollout, gamma):
    arguments, valid = rollout.without("values")[:4], rollout.valid
    whole = discounted_returns(*arguments, gamma=gamma, valid=valid)
    close(whole, by_column(column_n_step, *arguments, valid, gamma=gamma, n=10**6))
    close(lambda_returns(*arguments, gamma=gamma, lam=1.0, valid=valid), whole)
    close(n_step_returns(*arguments, gamma=gamma, n=len(valid), valid=valid), whole)
    close(n_step_returns(*arguments, gamma=gamma, n=10**9, valid=valid), whole)
    one = n_step_returns(*arguments, gamma=gamma, n=1, valid=valid)
    close(lambda_returns(*arguments, gamma=gamma, lam=0.0, valid=valid), one)


@settings(max_examples=60, deadline=None)
@given(rollouts(), unit, unit)
def test_gae_returns_are_lambda_returns_where_values_agree(rollout, gamma, lam):
    # With lam = 1 the advantage is the bootstrapped Monte Carlo return minus V.
    r, v, nv, term, trunc, valid = rollout
    following = nv.copy()
    for i, rows in enumerate(valid.T):
        steps = np.flatnonzero(rows)
        inside = ~(term | trunc)[steps[:-1], i]
        following[steps[:-1][inside], i] = v[steps[1:][inside], i]
    returns = gae(r, v, following, term, trunc, gamma=gamma, lam=lam, valid=valid).returns
    close(returns, lambda_returns(r, following, term, trunc, gamma=gamma, lam=lam, valid=valid))


@settings(max_examples=40, deadline=None)
@given(rollouts(), st.sampled_from(ALL), st.sampled_from([np.nan, np.inf]), st.data())
def test_rows_after_an_end_and_invalid_rows_change_nothing(rollout, function, bad, data):
    r, _, nv, term, trunc, valid = rollout
    t = data.draw(st.integers(0, len(r) - 1))
    trunc[t] = valid[t] = True
    clean = function(r, nv, term, trunc, gamma=0.9, valid=valid, **EXTRA[function])
    corrupted = [r.copy(), nv.copy()]
    for array in corrupted:
        array[t + 1 :] = bad
        array[~valid] = bad
    corrupted[1][term] = bad
    with np.errstate(invalid="ignore"):
        result = function(*corrupted, term, trunc, gamma=0.9, valid=valid, **EXTRA[function])
    close(result[: t + 1], clean[: t + 1])
    assert (result[~valid] == 0).all()


@pytest.mark.parametrize("function", ALL)
def test_formats_layouts_and_empty(function):
    r, _, nv, term, trunc, valid = random_rollout(1, 40, 3, invalid=0.2)
    more = EXTRA[function] | {"gamma": 0.9}
    exact = function(r, nv, term, trunc, valid=valid, **more)
    assert exact.dtype == np.float64
    turned = function(r.T, nv.T, term.T, trunc.T, valid=valid.T, time_axis=1, **more)
    np.testing.assert_array_equal(turned.T, exact)
    single = function(r.astype(np.float32), nv.astype(np.float32), term, trunc, valid=valid, **more)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-4)
    assert function(np.arange(4), 0.0, [F] * 4, [F] * 4, **more).dtype == np.float64
    assert function(np.ones(4, np.float32), 0.0, [F] * 4, [F] * 4, **more).dtype == np.float32
    for shape in ((0,), (0, 2), (2, 0)):
        assert function(np.empty(shape), 0.0, np.empty(shape, bool), np.empty(shape, bool), **more).shape == shape
    assert not function(r, nv, term, trunc, valid=np.zeros_like(valid), **more).any()


@pytest.mark.parametrize("function", ALL)
def test_wrong_arguments_are_rejected(function):
    r, _, nv, term, trunc, _ = random_rollout(2, 10, 2)
    more = EXTRA[function]
    with pytest.raises(TypeError, match="terminated and truncated are both needed"):
        function(r, nv, term, gamma=0.9, **more)
    with pytest.raises(TypeError, match="terminated and truncated are both needed"):
        function(r, nv, dones=term, gamma=0.9, **more)
    with pytest.raises(ValueError, match=r"next_values has shape \(10,\), but shape \(10, 2\)"):
        function(r, nv[:, 0], term, trunc, gamma=0.9, **more)
    with pytest.raises(ValueError, match="gamma"):
        function(r, nv, term, trunc, gamma=1.5, **more)


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)]
)
def test_n_is_a_positive_integer(n, error):
    with pytest.raises(error, match=r"^n "):
        n_step_returns([1.0], 0.0, [F], [F], gamma=0.9, n=n)


def test_returns_do_not_leak_between_actors():
    # BrianPulfer's PPO-Jax reported an average "reward" of 90.33 for 8 actors of 128 steps, because its sum went
    # through all 1024 rows. With a reward of 1 in each of 128 steps the average return of an actor is at most
    # (1/128) sum over k = 1..128 of (1 - 0.99^k) / 0.01 = 44.02.
    rewards, no = np.ones((128, 8)), np.zeros((128, 8), bool)
    most = np.mean([(1 - 0.99**k) / 0.01 for k in range(1, 129)])
    assert round(most, 2) == 44.02
    np.testing.assert_allclose(discounted_returns(rewards, 0.0, no, no, gamma=0.99).mean(), most)

    total, leaked = 0.0, []
    for reward in rewards.T.ravel()[::-1]:
        total = reward + 0.99 * total
        leaked.append(total)
    assert round(np.mean(leaked), 2) == 90.33


# Known mistakes, each made in a copy of the oracle.


def with_one_mistake(mistake):
    def mistaken(rewards, values, next_values, terminated, truncated, *, gamma, lam, valid):
        r = rewards.astype(float) if mistake != "integer rewards truncate" else rewards
        v, nv, term, trunc, valid = values, next_values, terminated, truncated, valid.copy()
        if mistake == "truncation as termination":
            term = term | trunc
        if mistake == "termination ignored":
            trunc, term = term | trunc, np.zeros_like(term)
        if mistake == "value of this state at truncation":
            nv = np.where(trunc, v, nv)
        if mistake == "value after the reset":
            nv = np.concatenate([np.where(term | trunc, np.roll(v, -1, 0), nv)[:-1], nv[-1:]])
        if mistake == "done one step late":
            term, trunc = (np.roll(a, 1, 0) for a in (term, trunc))
        if mistake == "done one step early":
            term, trunc = (np.roll(a, -1, 0) for a in (term, trunc))
        if mistake == "last reward dropped":
            r = np.where(term, 0, r)
        if mistake == "no bootstrap after the last row":
            nv = np.concatenate([nv[:-1], np.zeros_like(nv[-1:])])
        if mistake == "gamma and lambda swapped":
            gamma, lam = lam, gamma
        if mistake == "both flags bootstrap":
            term = term & ~trunc
        if mistake == "reset row kept":
            valid[:] = True
        if mistake == "rewards changed in place":
            rewards += np.where(truncated, 1, 0).astype(rewards.dtype)
        if mistake == "environments joined":
            flat = [a.T.reshape(-1, 1) for a in (r, v, nv, term, trunc, valid)]
            return by_column(column_gae, *flat, gamma=gamma, lam=lam).reshape(r.shape[::-1]).T
        if mistake == "recursion not cut at truncation":
            return np.array(gae(r + gamma * trunc * ~term * nv, v, np.where(trunc, v * 0, nv),
                                term, trunc & False, gamma=gamma, lam=lam, valid=valid).advantages)  # fmt: skip
        advantages = by_column(column_gae, r, v, nv, term, trunc, valid, gamma=gamma, lam=lam)
        if mistake == "lambda on delta":
            advantages = advantages * lam
        return advantages.astype(int) if mistake == "integer rewards truncate" else advantages

    return mistaken


def is_right(function):
    """Tell whether a function equals the oracle and keeps its arguments unchanged, on a few rollouts."""
    for seed in range(12):
        r, v, nv, term, trunc, valid = random_rollout(seed, 12, 3, ends=0.2, invalid=0.2 * (seed % 2))
        r = r.round().astype(int) if seed % 3 == 0 else r
        given_rewards = r.copy()
        result = function(r, v, nv, term, trunc, gamma=0.9, lam=0.8, valid=valid)
        expected = by_column(column_gae, given_rewards, v, nv, term, trunc, valid, gamma=0.9, lam=0.8)
        if not np.array_equal(r, given_rewards) or not np.allclose(result, expected):
            return False
    return True


def test_right_functions_pass():
    assert is_right(with_one_mistake("none"))
    assert is_right(lambda *arrays, **settings: gae(*arrays, **settings).advantages)


@pytest.mark.parametrize(
    "mistake",
    [
        "truncation as termination", "termination ignored", "recursion not cut at truncation",
        "value of this state at truncation", "value after the reset", "done one step late", "done one step early",
        "last reward dropped", "environments joined", "no bootstrap after the last row",
        "gamma and lambda swapped", "lambda on delta", "integer rewards truncate", "rewards changed in place",
        "both flags bootstrap", "reset row kept",
    ],
)  # fmt: skip
def test_every_known_mistake_is_detected(mistake):
    # gamma * lam is symmetric, so a swap changes only delta.
    assert not is_right(with_one_mistake(mistake))
