"""The functions of `ppocore.advantages` agree on the time axis, the dtype of results and the default discounts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ppocore import advantages as library
from ppocore.advantages import scan
from ppocore.advantages.gae import numpy_gae

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


@pytest.mark.parametrize("ends", [0.0, 0.002, 0.03, 0.3])
@pytest.mark.parametrize("piece", [1, 3 * 310, 65_536])
def test_wide_rows_give_the_bits_of_a_loop_over_them(monkeypatch, ends, piece):
    """Where few episodes end they are set by position, where many do they are selected: each as the plain recursion."""
    monkeypatch.setattr(scan, "_WIDE_PIECE", piece)
    rng = np.random.default_rng(3)
    r, v, nv = rng.normal(size=(3, 20, 310)).astype(np.float32)
    term, trunc = rng.random((2, 20, 310)) < ends
    nv[term] = np.nan
    expected, after = np.empty((20, 310)), np.zeros(310)
    for t in reversed(range(20)):
        delta = np.where(term[t], 0.0, nv[t].astype(float) * 0.99) + r[t] - v[t].astype(float)
        expected[t] = after = delta + np.where(term[t] | trunc[t], 0.0, after * (0.99 * 0.95))
    for turned in (lambda a: a, np.asfortranarray):
        found = numpy_gae(*[turned(a) for a in (r, v, nv, term, trunc)], gamma=0.99, lam=0.95)
        assert found.advantages.tobytes() == expected.astype(np.float32).tobytes()
        assert found.returns.tobytes() == (expected + v).astype(np.float32).tobytes()


def test_infinity_stops_at_few_cuts_in_wide_rows():
    """By hand: an infinite reward reaches the row before it and not those before a cut."""
    r, no = np.zeros((4, 400)), np.zeros((4, 400), bool)
    r[3] = np.inf
    cut = no.copy()
    cut[1, :5] = True
    found = numpy_gae(r, np.zeros((4, 400)), np.zeros((4, 400)), no, cut, gamma=1.0, lam=1.0)
    assert np.isinf(found.advantages[2:]).all()
    assert (found.advantages[:2, :5] == 0).all()
    assert np.isinf(found.advantages[:2, 5:]).all()
