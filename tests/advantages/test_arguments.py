"""The estimators accept and reject arguments of different layouts, formats, shapes, flags and numbers."""

from __future__ import annotations

import numpy as np
import pytest
from support.oracle import random_rollout

from ppocore.advantages import gae, td_residuals


def test_time_axis_and_one_dimension():
    rollout = random_rollout(4, 30, 3, invalid=0.2)
    expected = gae(*rollout[:5], valid=rollout.valid)
    for axis in (1, -1):
        turned = gae(*[a.T for a in rollout[:5]], valid=rollout.valid.T, time_axis=axis)
        np.testing.assert_array_equal(turned.advantages.T, expected.advantages)
    np.testing.assert_array_equal(gae(*rollout[:5], valid=rollout.valid, time_axis=-2).returns, expected.returns)
    single = gae(*[a[:, 0] for a in rollout[:5]], valid=rollout.valid[:, 0], time_axis=-1)
    np.testing.assert_allclose(single.returns, expected.returns[:, 0], atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (0, 0)])
def test_empty(shape):
    numbers, flags = np.empty(shape, np.float32), np.empty(shape, bool)
    for valid in (None, flags):
        result = gae(numbers, numbers, numbers, flags, flags, valid=valid)
        assert result.advantages.shape == result.returns.shape == shape
    assert td_residuals(numbers, numbers, numbers, flags, gamma=0.9).shape == shape


def test_flags_of_other_formats_and_scalars():
    rollout = random_rollout(5, 20, 2, invalid=0.2)
    expected = gae(*rollout[:3], *rollout[3:5], valid=rollout.valid).advantages
    for dtype in (np.int8, np.uint8, np.int64, np.float32):
        flags = [a.astype(dtype) for a in rollout[3:]]
        np.testing.assert_array_equal(gae(*rollout[:3], *flags[:2], valid=flags[2]).advantages, expected)
    listed = [a.tolist() for a in rollout]
    np.testing.assert_array_equal(gae(*listed[:5], valid=listed[5]).advantages, expected)
    number = gae(rollout[0], rollout[1], 0.5, *rollout[3:5]).advantages
    np.testing.assert_array_equal(number, gae(rollout[0], rollout[1], np.full((20, 2), 0.5), *rollout[3:5]).advantages)


@pytest.mark.parametrize("name", ["values", "next_values", "terminated", "truncated", "valid"])
@pytest.mark.parametrize("shape", [(20,), (20, 1), (21, 2), (2, 20), (20, 2, 1)])
def test_an_argument_of_a_wrong_shape_is_named(name, shape):
    arguments = random_rollout(6, 20, 2)._asdict()
    arguments[name] = np.zeros(shape, arguments[name].dtype)
    with pytest.raises(ValueError, match=name) as error:
        gae(**arguments)
    assert str(shape) in str(error.value)
    assert "(20, 2)" in str(error.value)


@pytest.mark.parametrize("name", ["terminated", "truncated", "valid"])
@pytest.mark.parametrize("bad", [2, -1, 0.5, np.nan])
def test_a_flag_is_0_or_1(name, bad):
    arguments = random_rollout(7, 20, 2)._asdict()
    arguments[name] = arguments[name].astype(type(bad))
    arguments[name][3, 1] = bad
    with pytest.raises(ValueError, match=name):
        gae(**arguments)


def test_text_flags_and_complex_numbers_are_rejected():
    arguments = random_rollout(7, 4, 2)._asdict()
    with pytest.raises(ValueError, match="terminated"):
        gae(**(arguments | {"terminated": np.full((4, 2), "no")}))
    with pytest.raises(TypeError, match="values"):
        gae(**(arguments | {"values": np.zeros((4, 2), complex)}))
    with pytest.raises(ValueError, match="values"):
        gae(**(arguments | {"values": [[1.0, 2.0], [3.0]]}))


@pytest.mark.parametrize("name", ["gamma", "lam"])
def test_gamma_and_lam_are_numbers_from_0_to_1(name):
    rollout = random_rollout(8, 4, 2)
    for bad in (-0.01, 1.01, np.nan, np.inf):
        with pytest.raises(ValueError, match=name):
            gae(*rollout[:5], **{name: bad})
    for bad in ("0.9", None, [0.9], True, 1j):
        with pytest.raises(TypeError, match=name):
            gae(*rollout[:5], **{name: bad})
    gae(*rollout[:5], **{name: np.float32(0.5)})
    gae(*rollout[:5], **{name: 1})


def test_one_done_flag_is_rejected_with_an_explanation():
    r, v, nv, done, _, _ = random_rollout(9, 4, 2)
    calls = [
        lambda: gae(r, v, nv, done),
        lambda: gae(r, v, nv, done=done),
        lambda: gae(r, v, nv, dones=done),
        lambda: gae(r, v, nv, done, None),
        lambda: gae(r, v, nv, terminated=done),
        lambda: td_residuals(r, v, nv, dones=done, gamma=0.9),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="terminated and truncated are both needed"):
            call()
    with pytest.raises(TypeError, match="unexpected keyword"):
        gae(r, v, nv, done, done, lamda=0.9)


@pytest.mark.parametrize("axis", [2, -3])
def test_time_axis_out_of_range(axis):
    with pytest.raises(ValueError, match="time_axis"):
        gae(*random_rollout(10, 4, 2)[:5], time_axis=axis)


@pytest.mark.parametrize("shape", [(6, 3, 1), (6, 3, 2), (6, 2, 2, 3)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_further_axes_are_further_columns(shape, axis):
    r, v, nv, term, trunc, valid = (a.reshape(shape) for a in random_rollout(11, 6, int(np.prod(shape[1:])), 0.2, 0.3))
    turned = [np.moveaxis(a, 0, axis) for a in (r, v, nv, term, trunc)]
    for given in (None, valid):
        flags = None if given is None else np.moveaxis(given, 0, axis)
        found = gae(*turned, valid=flags, time_axis=axis)
        assert found.advantages.shape == turned[0].shape
        for column in np.ndindex(shape[1:]):
            one = tuple(a[:, *column] for a in (r, v, nv, term, trunc))
            expected = gae(*one, valid=None if given is None else given[:, *column])
            for part, alone in zip(found, expected, strict=True):
                np.testing.assert_allclose(np.moveaxis(part, axis, 0)[:, *column], alone, rtol=1e-13, atol=1e-13)


def test_rewards_without_an_axis():
    with pytest.raises(ValueError, match=r"rewards must have shape \(T,\) or \(T, N\), but has shape \(\)"):
        gae(1.0, 1.0, 1.0, False, False)


@pytest.mark.parametrize("number", [0.5, np.nan])
def test_invalid_rows_get_0_when_one_number_stands_for_all_next_values(number):
    r, v, _, _, _, valid = random_rollout(11, 20, 2, invalid=0.4)
    ended = np.ones_like(valid)
    for terminated in (ended, ~ended):
        advantages, returns = gae(r, v, number, terminated, ended, valid=valid)
        assert (advantages[~valid] == 0).all()
        assert (returns[~valid] == 0).all()
        np.testing.assert_array_equal(np.isnan(returns[valid]), np.isnan(number) and not terminated.all())
