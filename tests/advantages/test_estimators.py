"""Estimators selected by name equal the explicit sums of `support.oracle`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import Rollout, by_column, column_gae, column_n_step, column_vtrace, rollouts, unit

from ppocore import RolloutBuffer
from ppocore.advantages.estimators import ESTIMATORS, estimate

LONGEST = 10_000  # more rewards than any episode has


def expected_advantages(name, rollout, log_ratios, gamma, lam, n):
    """Compute an estimator's advantages and returns as sums over episodes."""
    r, v, nv, term, trunc, valid = rollout
    if name == "vtrace":
        arguments = {"gamma": gamma, "lam": lam, "rho_clip": 1.0, "c_clip": 1.0}
        targets, advantages = by_column(column_vtrace, *rollout, log_ratios, **arguments)
        return advantages, targets
    if name == "gae":
        advantages = by_column(column_gae, *rollout, gamma=gamma, lam=lam)
        return advantages, np.where(valid, advantages + v, 0.0)
    steps = {"td": 1, "n_step": n, "monte_carlo": LONGEST}[name]
    returns = by_column(column_n_step, r, nv, term, trunc, valid, gamma=gamma, n=steps)
    return np.where(valid, returns - v, 0.0), returns


@settings(deadline=None, max_examples=60)
@given(rollouts(max_length=20), st.sampled_from(list(ESTIMATORS)), unit, unit, st.integers(1, 6), st.integers(0, 9))
def test_advantages_and_returns_are_those_of_the_definition(rollout, name, gamma, lam, n, seed):
    log_ratios = np.random.default_rng(seed).normal(size=rollout.rewards.shape)
    advantages, returns = estimate(rollout, log_ratios, estimator=name, gamma=gamma, lam=lam, n=n)
    expected = expected_advantages(name, rollout, log_ratios, gamma, lam, n)
    np.testing.assert_allclose(advantages, expected[0], atol=1e-9)
    np.testing.assert_allclose(np.where(rollout.valid, returns, 0.0), expected[1], atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(rollouts(max_length=12), st.sampled_from(list(ESTIMATORS)), st.sampled_from(list(ESTIMATORS)))
def test_the_value_target_is_that_of_the_estimator_named(rollout, estimator, target):
    numbers = {"gamma": 0.9, "lam": 0.7, "n": 3}
    mixed = estimate(rollout, estimator=estimator, value_target=target, **numbers)
    np.testing.assert_array_equal(mixed.advantages, estimate(rollout, estimator=estimator, **numbers).advantages)
    np.testing.assert_array_equal(
        mixed.returns, estimate(rollout, np.zeros_like(rollout.rewards), estimator=target, **numbers).returns
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_buffer_estimates_by_name_and_accepts_newer_values(name):
    rng = np.random.default_rng(4)
    buffer = RolloutBuffer(7, 3, 1)
    for part in ("rewards", "values", "next_values"):
        getattr(buffer, part)[:] = rng.normal(size=(7, 3))
    buffer.truncated[2], buffer.terminated[4, 1] = True, True
    newer = [rng.normal(size=(7, 3)).astype(np.float32) for _ in range(3)]
    for values, next_values, log_ratios in ([None] * 3, newer):
        buffer.compute_advantages(
            gamma=0.9, lam=0.8, estimator=name, n=2, values=values, next_values=next_values, log_ratios=log_ratios
        )
        used = [buffer.values, buffer.next_values, np.zeros((7, 3), np.float32)] if values is None else newer
        rollout = Rollout(buffer.rewards, *used[:2], buffer.terminated, buffer.truncated, buffer.valid)
        expected = estimate(rollout, used[2], estimator=name, gamma=0.9, lam=0.8, n=2)
        np.testing.assert_array_equal(buffer.advantages, expected.advantages)
        np.testing.assert_array_equal(buffer.returns, expected.returns)
        assert buffer.advantages.dtype == np.float32
