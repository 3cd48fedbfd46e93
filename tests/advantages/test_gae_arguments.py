"""Errors of the array functions name the wrong argument, and every form of an argument gives the same result."""

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
def test_an_unreadable_argument_is_named(function, name):
    bad = np.full(FUNCTIONS[function][0][name].shape, "text")
    with pytest.raises((TypeError, ValueError), match=rf"^{name} "):
        call(function, **{name: bad})


FIRST = {gae: "rewards", td_residuals: "rewards", successor_values: "values"}
"""The argument whose shape the others must have."""


@pytest.mark.parametrize(("function", "name"), [(f, name) for f, name in EVERY if name != FIRST[f]])
def test_an_argument_of_another_shape_is_named(function, name):
    with pytest.raises(ValueError, match=rf"^{name} has shape \(3, 3\)"):
        call(function, **{name: np.zeros((3, 3))})


@pytest.mark.parametrize(("function", "name"), [(gae, "gamma"), (gae, "lam"), (td_residuals, "gamma")])
@pytest.mark.parametrize("bad", [-0.1, 1.1, "half"])
def test_a_discount_out_of_range_is_named(function, name, bad):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must "):
        call(function, **{name: bad})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_time_may_be_the_second_axis(function):
    arrays, numbers = FUNCTIONS[function]
    transposed = {name: array.T if array.ndim == 2 else array for name, array in arrays.items()}
    expected, found = call(function), function(**transposed, **numbers, time_axis=1)
    pairs = zip(expected, found, strict=True) if isinstance(expected, tuple) else [(expected, found)]
    for expected, actual in pairs:
        assert np.array_equal(actual.T, expected)


def test_time_is_the_first_axis_by_default():
    square = {name: array[:N] for name, array in FUNCTIONS[td_residuals][0].items()}
    assert np.array_equal(td_residuals(**square, gamma=0.9), td_residuals(**square, gamma=0.9, time_axis=0))
    assert not np.array_equal(
        successor_values(square["values"], np.zeros(N)), successor_values(square["values"], np.zeros(N), time_axis=1)
    )


@pytest.mark.parametrize("function", [gae, td_residuals])
def test_one_number_stands_for_all_next_values(function):
    scalar, array = call(function, next_values=0.75), call(function, next_values=np.full((T, N), 0.75))
    assert np.array_equal(np.asarray(scalar), np.asarray(array))


def test_float32_arguments_give_float32_results_that_are_rounded_once():
    narrow = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in ARGUMENTS.items()}
    for found in gae(**narrow, gamma=0.9, lam=0.8):
        assert found.dtype == np.float32
    advantages, returns = gae(**{n: a.astype(np.float64) for n, a in narrow.items()}, gamma=0.9, lam=0.8)
    found = gae(**narrow, gamma=0.9, lam=0.8)
    assert np.array_equal(found.advantages, advantages.astype(np.float32))
    assert np.array_equal(found.returns, returns.astype(np.float32))
