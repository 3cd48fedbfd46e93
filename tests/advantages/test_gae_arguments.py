"""Every wrong argument of the array functions is called by its name, and every form of an argument means the same."""

import numpy as np
import pytest

from ppocore import gae, successor_values, td_residuals

T, N = 6, 2
RNG = np.random.default_rng(0)
ARGUMENTS = {
    "rewards": RNG.normal(size=(T, N)),
    "values": RNG.normal(size=(T, N)),
    "next_values": RNG.normal(size=(T, N)),
    "terminated": RNG.random((T, N)) < 0.3,
    "truncated": RNG.random((T, N)) < 0.3,
}
FUNCTIONS = {
    gae: (ARGUMENTS, {"gamma": 0.9, "lam": 0.8}),
    td_residuals: ({name: a for name, a in ARGUMENTS.items() if name != "truncated"}, {"gamma": 0.9}),
    successor_values: (
        {
            "values": ARGUMENTS["values"],
            "last_values": RNG.normal(size=N),
            "final_values": RNG.normal(size=(T, N)),
            "ended": ARGUMENTS["terminated"],
        },
        {},
    ),
}
EVERY = [(function, name) for function, (arrays, _) in FUNCTIONS.items() for name in arrays]
IDS = [f"{function.__name__} {name}" for function, name in EVERY]


def call(function, **changes):
    arrays, numbers = FUNCTIONS[function]
    return function(**{**arrays, **numbers, **changes})


@pytest.mark.parametrize(("function", "name"), EVERY, ids=IDS)
def test_what_cannot_be_read_is_called_by_its_name(function, name):
    bad = np.full(FUNCTIONS[function][0][name].shape, "text")
    with pytest.raises((TypeError, ValueError), match=rf"^{name} "):
        call(function, **{name: bad})


FIRST = {gae: "rewards", td_residuals: "rewards", successor_values: "values"}
"""The argument whose shape the others are held against."""


@pytest.mark.parametrize(("function", "name"), [(f, name) for f, name in EVERY if name != FIRST[f]])
def test_another_shape_is_called_by_its_name(function, name):
    with pytest.raises(ValueError, match=rf"^{name} has shape \(3, 3\)"):
        call(function, **{name: np.zeros((3, 3))})


@pytest.mark.parametrize(("function", "name"), [(gae, "gamma"), (gae, "lam"), (td_residuals, "gamma")])
@pytest.mark.parametrize("bad", [-0.1, 1.1, "half"])
def test_a_discount_out_of_range_is_called_by_its_name(function, name, bad):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must "):
        call(function, **{name: bad})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_time_may_be_the_second_axis(function):
    arrays, numbers = FUNCTIONS[function]
    turned = {name: array.T if array.ndim == 2 else array for name, array in arrays.items()}
    straight, found = call(function), function(**turned, **numbers, time_axis=1)
    pairs = zip(straight, found, strict=True) if isinstance(straight, tuple) else [(straight, found)]
    for expected, actual in pairs:
        assert np.array_equal(actual.T, expected)


def test_time_is_the_first_axis_unless_told():
    square = {name: array[:N] for name, array in FUNCTIONS[td_residuals][0].items()}
    assert np.array_equal(td_residuals(**square, gamma=0.9), td_residuals(**square, gamma=0.9, time_axis=0))
    assert not np.array_equal(
        successor_values(square["values"], np.zeros(N)), successor_values(square["values"], np.zeros(N), time_axis=1)
    )


@pytest.mark.parametrize("function", [gae, td_residuals])
def test_one_number_stands_for_all_next_values(function):
    one, all_alike = call(function, next_values=0.75), call(function, next_values=np.full((T, N), 0.75))
    assert np.array_equal(np.asarray(one), np.asarray(all_alike))


def test_float32_in_float32_out_and_the_residual_is_rounded_once():
    narrow = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in ARGUMENTS.items()}
    for found in gae(**narrow, gamma=0.9, lam=0.8):
        assert found.dtype == np.float32
    advantages, returns = gae(**{n: a.astype(np.float64) for n, a in narrow.items()}, gamma=0.9, lam=0.8)
    found = gae(**narrow, gamma=0.9, lam=0.8)
    assert np.array_equal(found.advantages, advantages.astype(np.float32))
    assert np.array_equal(found.returns, returns.astype(np.float32))
