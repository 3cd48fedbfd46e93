"""Which environments of a vector are reset with which seed, and what of an info is kept."""

import numpy as np
import pytest

from ppocore.envs.infos import kept
from ppocore.envs.resets import reset_arguments


@pytest.mark.parametrize(
    ("seed", "options", "expected"),
    [
        (5, None, {0: 5, 1: 6, 2: 7}),
        ([3, None, 1], None, {0: 3, 1: None, 2: 1}),
        (None, None, {0: None, 1: None, 2: None}),
        (5, {"reset_mask": np.array([True, False, True])}, {0: 5, 2: 7}),
    ],
)
def test_seeds_count_up_from_the_first_environment(seed, options, expected):
    found = reset_arguments(3, seed, options)
    assert {index: arguments["seed"] for index, arguments in found.items()} == expected


def test_options_are_handed_on_without_the_mask():
    found = reset_arguments(2, None, {"reset_mask": np.array([False, True]), "level": 3})
    assert found == {1: {"seed": None, "options": {"level": 3}}}


def test_what_an_environment_changes_later_is_kept_as_it_was():
    array, rows, inner = np.zeros(2), [1], {"deep": np.ones(1)}
    info = kept({"array": array, "rows": rows, "inner": inner, "number": np.float32(0.5), "flag": np.bool_(True)})
    array += 1
    rows.append(2)
    inner["deep"] -= 1
    inner["new"] = 0
    assert info["array"].tolist() == [0.0, 0.0]
    assert (info["rows"], info["inner"]["deep"].tolist(), set(info["inner"])) == ([1], [1.0], {"deep"})
    assert (type(info["number"]), type(info["flag"])) == (float, bool)
