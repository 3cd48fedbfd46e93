"""Calls as other libraries' functions take them are explained, and arrays without numbers are refused in a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ppocore import (
    discounted_returns,
    gae,
    lambda_returns,
    n_step_returns,
    normalize,
    successor_values,
    td_residuals,
    vtrace,
)
from ppocore.errors import RunWarning

X, F = np.zeros((4, 2)), np.zeros((4, 2), bool)
LAST = X[-1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: gae(X, X, F, LAST, 0.99, 0.95),
        lambda: gae(X, X, F, LAST, 0.99),
        lambda: gae(X, X, F, LAST, gamma=0.99, lam=0.95),
        lambda: gae(X, X, F, 0.0, gamma=0.99),
        lambda: gae(X, X, F.astype(float), LAST, 0.99, 0.95),
        lambda: gae(X, X, F, LAST, F[-1], 0.99, 0.95),
        lambda: gae(X, X, F.astype(float), LAST, F[-1], 0.99, 0.95),
        lambda: gae(X, X, F, last_values=LAST),
        lambda: gae(X.tolist(), X.tolist(), F.tolist(), LAST.tolist(), 0.99, 0.95),
        lambda: vtrace(X, X, F, LAST, 0.99, 0.95),
    ],
)
def test_the_classic_call_is_told_of_both_flags_and_of_successor_values(call):
    with pytest.raises(
        TypeError, match=r"not one done flag.*instead of last_values.*ppocore.successor_values"
    ) as error:
        call()
    assert "\n" not in str(error.value)


def test_gamma_and_lam_are_given_by_name():
    with pytest.raises(TypeError, match=r"gae: only rewards, values, .* by position .* as in gamma=0.99"):
        gae(X, X, X, F, F, 0.99, 0.95)
    with pytest.raises(TypeError, match=r"discounted_returns: only rewards, next_values, .* and truncated are taken"):
        discounted_returns(X, X, F, F, 0.9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discounted_returns(X, 0.0, gamma=0.9), "discounted_returns: terminated and truncated are needed"),
        (lambda: discounted_returns(X, gamma=0.9), "discounted_returns: terminated and truncated are needed"),
        (lambda: lambda_returns(X, X, gamma=0.9, lam=1.0), "lambda_returns: terminated and truncated are needed"),
        (lambda: n_step_returns(X, X, gamma=0.9, n=2), "n_step_returns: terminated and truncated are needed"),
        (lambda: td_residuals(X, X, X, gamma=0.9), "td_residuals: terminated is needed"),
        (lambda: gae(X, X, X), "gae: terminated and truncated are needed"),
    ],
)
def test_a_flag_that_nobody_passed_is_not_spoken_of(call, message):
    with pytest.raises(TypeError, match=message) as error:
        call()
    assert "done" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "shape", "advice"),
    [
        ("next_values", (2,), "make it with ppocore.successor_values"),
        ("next_values", (1, 2), "make it with ppocore.successor_values"),
        ("next_values", (5, 2), "make it with ppocore.successor_values"),
        ("values", (5, 2), r"pass values\[:-1\], and values\[1:\] as next_values"),
        ("values", (4, 2, 1), r"drop its last axis, values\[..., 0\]"),
    ],
)
def test_the_usual_wrong_shapes_come_with_advice(name, shape, advice):
    arguments = {"rewards": X, "values": X, "next_values": X, "terminated": F, "truncated": F}
    with pytest.raises(ValueError, match=f"{name} has shape .* is expected: {advice}"):
        gae(**arguments | {name: np.zeros(shape)})
    with pytest.raises(ValueError, match=r"values has shape \(4, 2\).*: give it a last axis, values\[..., None\]"):
        gae(X[..., None], X, X, F, F)


def test_masked_arrays_are_data_or_refused():
    masked = np.ma.array(X, mask=np.eye(4, 2))
    message = r"rewards is a masked array: pass its \.data, and where rows do not count valid=~numpy.ma.getmask"
    for rewards in (masked, list(masked)):
        with pytest.raises(TypeError, match=message):
            gae(rewards, X, X, F, F)
    with pytest.raises(TypeError, match="truncated is a masked array"):
        gae(X, X, X, F, np.ma.array(F, mask=np.eye(4, 2)))
    with pytest.raises(TypeError, match="x is a masked array"):
        normalize(masked)
    whole = gae(np.ma.array(X + 1), X, X, F, F)
    assert type(whole.advantages) is np.ndarray
    np.testing.assert_array_equal(whole.advantages, gae(X + 1, X, X, F, F).advantages)


def test_successors_skip_rows_that_are_not_valid():
    """By hand: row 0 is followed by row 2; the last valid row by ``last_values``, wherever it is."""
    values = np.array([[1.0, 50.0, 3.0, 60.0], [70.0, 2.0, 80.0, 4.0], [5.0, 6.0, 90.0, 90.0], [0.0, 0.0, 0.0, 0.0]])
    valid = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    found = successor_values(values, np.array([7.0, 8.0, 9.0, 10.0]), valid=valid, time_axis=1)
    assert found.tolist() == [[3, 0, 7, 0], [0, 4, 0, 8], [6, 9, 0, 0], [0, 0, 0, 0]]
    final, ended = np.full((4, 4), 20.0), np.zeros((4, 4), bool)
    ended[0, 0] = ended[2, 2] = True  # the second is no step
    found = successor_values(values, np.zeros(4), final, ended, valid=valid, time_axis=1)
    assert found.tolist() == [[20, 0, 0, 0], [0, 4, 0, 0], [6, 0, 0, 0], [0, 0, 0, 0]]
    # With lambda 1 and gamma 1 the advantage is the reward to the end less the value: 0 - 1.
    three, end = values[:1, :3], np.array([[False, False, True]])
    nv = successor_values(three, np.zeros(1), valid=valid[:1, :3], time_axis=1)
    result = gae(0 * three, three, nv, end, end & False, gamma=1.0, lam=1.0, valid=valid[:1, :3], time_axis=1)
    assert result.advantages.tolist() == [[-1, 0, -3]]


def test_the_value_of_a_row_that_is_not_valid_is_warned_of():
    values, valid = np.array([1.0, 50.0, 3.0, 3.0]), np.array([True, False, True, True])
    no = np.zeros(4, bool)
    for flags in (valid, np.stack([valid, valid], axis=1)):
        v = values if flags.ndim == 1 else np.stack([values, values], axis=1)
        last, none = (0.0, no) if flags.ndim == 1 else (np.zeros(2), np.stack([no, no], axis=1))
        with pytest.warns(RunWarning, match="next_values at step 0 of column 0 .* pass valid= to successor_values"):
            gae(v, v, successor_values(v, last), none, none, valid=flags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gae(values, values, successor_values(values, 0.0, valid=valid), no, no, valid=valid)
        gae(values, values, successor_values(values, 0.0), ~no, no, valid=valid)  # the row before had ended
        gae(values, values, np.array([5.0, 3.0, 3.0, 0.0]), no, no, valid=valid)  # of somewhere else
        gae(values, values, successor_values(values, 0.0), no, no, valid=np.array([True, False, False, False]))
        gae(values * 0, values * 0, values * 0, no, no, valid=valid)


def test_what_does_not_count_may_be_infinite():
    """With lambda 0 later residuals do not count, with gamma 0 nothing that follows does."""
    for shape in ((4,), (40,), (40, 3), (4, 400)):
        r, v = np.ones(shape), np.full(shape, 0.5)
        no = np.zeros(shape, bool)
        nv = np.full(shape, 2.0)
        nv[2] = np.inf
        expected = np.where(np.isinf(nv), np.inf, 1 + 0.5 * 2 - 0.5)
        np.testing.assert_array_equal(gae(r, v, nv, no, no, gamma=0.5, lam=0.0).advantages, expected)
        np.testing.assert_array_equal(lambda_returns(r, nv, no, no, gamma=0.5, lam=0.0), expected + 0.5)
        np.testing.assert_array_equal(vtrace(r, v, nv, no, no, 0 * r, gamma=0.5, lam=0.0).vs, expected + 0.5)
        np.testing.assert_array_equal(gae(r, v, nv, no, no, gamma=0.0).advantages, r - v)
        np.testing.assert_array_equal(td_residuals(r, v, nv, no, gamma=0.0), r - v)
        np.testing.assert_array_equal(discounted_returns(r, nv, no, no, gamma=0.0), r)
        np.testing.assert_array_equal(n_step_returns(r, nv, no, no, gamma=0.0, n=3), r)
        np.testing.assert_array_equal(vtrace(r, v, nv, no, no, 0 * r, gamma=0.0).vs, r)
