"""What a dtype can hold, and what it cannot, by dtype and value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore.spaces import fitted

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
NUMBERS = [*INTEGERS, np.dtype(bool), *(np.dtype(f"f{size}") for size in (2, 4, 8))]


def holds(value, dtype):
    """Tell by exact arithmetic whether ``dtype`` can hold a number, rounded where it is a floating-point one."""
    if dtype.kind == "b":
        return value in (0, 1)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return (
            value == value and abs(value) != float("inf") and value == int(value) and limits.min <= value <= limits.max
        )
    return not np.isfinite(np.float64(value)) or abs(value) <= float(np.finfo(dtype).max)


EDGES = [0, 1, -1, 0.5, 255, 256, -128, -129, 2**31, 2**53 + 1, 2**63 - 1, 2.0**63, 2**64 - 1, -(2.0**63), 1e39, 7e4]
EDGES += [float("nan"), float("inf"), -float("inf"), 65504, 3.0e38, -3.5e38, 1e300]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1) | st.floats(),
    st.sampled_from(NUMBERS),
    st.booleans(),
)
def test_a_number_is_taken_where_it_stays_the_same_and_refused_elsewhere(value, dtype, in_array):
    shape = (2,) if in_array else ()
    given = [0, value] if in_array else value
    # What is between integers of many digits is decided for what NumPy makes of them.
    seen = np.asarray(given)
    number = seen.ravel()[-1].item()
    if holds(number, dtype):
        found = fitted(given, dtype, shape)
        assert (found.dtype, found.shape) == (dtype, shape)
        np.testing.assert_array_equal(found.ravel()[-1], np.asarray(number).astype(dtype))
        return
    with pytest.raises(ValueError, match=r"holds .*, which its space's dtype .* cannot hold") as caught:
        fitted(given, dtype, shape)
    assert (" at [1]," in str(caught.value)) == in_array


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "is None, expected real numbers"),
        ({"x": 1}, "is of type dict, expected real numbers"),
        ("1.0", "is of type str"),
        (np.zeros(3, complex), "has dtype complex128"),
        (np.array(["1"] * 3), "has dtype <U1"),
        (np.zeros(2), r"has shape \(2,\), expected \(3,\)"),
        (np.zeros((1, 3)), r"has shape \(1, 3\), expected \(3,\)"),
        (0.5, r"has shape \(\), expected \(3,\)"),
        ([1, [2, 3], 4], "is no array of numbers"),
        (np.array([1, None, 2], object), "holds an object of type NoneType"),
        (np.array([1, 10**400, 2], object), "an integer that no float can hold"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), "has masked elements"),
        (np.array(["2020-01-01"] * 3, "M8"), "has dtype datetime64"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        fitted(given, np.dtype(np.float32), (3,))
    assert "\n" not in str(caught.value)


def test_long_doubles():
    wide = np.array([1.5, -2.0, 0.0], np.longdouble)
    assert fitted(wide, np.dtype(np.float64), (3,)).tolist() == [1.5, -2.0, 0.0]
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        wide[1] = np.longdouble("1e4000")
        with pytest.raises(ValueError, match=r"holds 1e\+4000 at \[1\]"):
            fitted(wide, np.dtype(np.float64), (3,))


def test_an_array_that_fits_is_not_copied():
    array = np.zeros((2, 3), np.float32)
    assert fitted(array, array.dtype, (2, 3)) is array
    assert fitted(np.ma.masked_array([1.0, 2.0]), np.dtype(np.float32), (2,)).tolist() == [1.0, 2.0]
