"""The functions of `ppocore.advantages` agree on the time axis, the dtype of results and the default discounts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ppocore import advantages as library

T, N = 5, 3
RNG = np.random.default_rng(0)
REWARDS, VALUES, NEXT_VALUES = RNG.normal(size=(3, T, N))
TERMINATED, TRUNCATED = RNG.random((2, T, N)) < 0.3
FLAGGED = ["gae", "td_residuals", "discounted_returns", "lambda_returns", "n_step_returns", "vtrace"]
CALLS = {
    "gae": lambda **more: library.gae(REWARDS, VALUES, NEXT_VALUES, TERMINATED, TRUNCATED, **more),
    "td_residuals": lambda **more: library.td_residuals(REWARDS, VALUES, NEXT_VALUES, TERMINATED, gamma=0.9, **more),
    "successor_values": lambda **more: library.successor_values(VALUES, VALUES[0], **more),
}


@pytest.mark.parametrize("name", [*FLAGGED, "successor_values"])
def test_time_is_the_first_axis_of_every_function_by_default(name):
    assert inspect.signature(getattr(library, name)).parameters["time_axis"].default == 0


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("axis", [2, -3])
def test_a_time_axis_out_of_range_is_rejected(name, axis):
    first = "values" if name == "successor_values" else "rewards"
    with pytest.raises(ValueError, match=rf"^time_axis is {axis}, but {first} has shape \(5, 3\)"):
        CALLS[name](time_axis=axis)


def test_residuals_by_hand():
    # 1 + 0.5 * 4 - 3 = 0;  2 - 1 = 1 (terminated);  invalid;  4 + 0.5 * 2 - 6 = -1
    residuals = library.td_residuals(
        [1, 2, 9, 4], [3, 1, 9, 6], [4, np.nan, np.nan, 2], [0, 1, 0, 0], gamma=0.5, valid=[1, 1, 0, 1]
    )
    assert residuals.tolist() == [0.0, 1.0, 0.0, -1.0]


def test_residuals_of_float32_are_computed_in_float64_and_rounded_once():
    numbers = [RNG.normal(100.0, 1.0, (200, 2)).astype(np.float32) for _ in range(3)]
    flags = RNG.random((200, 2)) < 0.1
    exact = library.td_residuals(*[a.astype(np.float64) for a in numbers], flags, gamma=0.99)
    found = library.td_residuals(*numbers, flags, gamma=0.99)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact.astype(np.float32))


def test_successor_values_of_one_step_and_of_integers():
    assert library.successor_values([[1, 2]], [3, 4]).tolist() == [[3.0, 4.0]]
    found = library.successor_values(np.array([1, 2, 3]), np.array(4), np.array([7, 8, 9]), np.array([0, 1, 0]))
    assert found.dtype == np.float64
    assert found.tolist() == [2.0, 8.0, 4.0]


def test_the_default_discounts_are_those_of_the_paper():
    no = np.zeros(2, bool)
    # delta is 0 in the first row and 1 in the second, so A[0] = 0.99 * 0.95 * 1.
    advantages, returns = library.gae([-0.99, 1.0], [0.0, 1.0], [1.0, 1.0 / 0.99], no, no)
    assert advantages.tolist() == pytest.approx([0.9405, 1.0])
    assert returns.tolist() == pytest.approx([0.9405, 2.0])
