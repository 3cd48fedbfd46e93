"""Each kind of action has the properties that networks, masks and action spaces rely on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ppocore.distributions import CONTINUOUS_POLICIES, KINDS, make_distribution
from ppocore.errors import UsageError

# The choices of an action of size 3; what a mask has for each component; whether the log-std is a weight.
TABLE = {
    "categorical": ((), (3,), False),
    "multi_categorical": ((4, 1, 2), (4, 1, 2), False),
    "bernoulli": ((), (2, 2, 2), False),
    "gaussian": ((), (), True),
    "squashed_gaussian": ((), (), True),
    "beta": ((), (), False),
}


def test_the_kinds_are_those_of_the_table():
    assert set(KINDS) == set(TABLE)
    assert CONTINUOUS_POLICIES == ("gaussian", "squashed_gaussian", "beta")


@pytest.mark.parametrize("kind", TABLE)
def test_a_distribution_has_the_properties_of_its_kind(kind):
    choices, sections, has_log_std = TABLE[kind]
    distribution = make_distribution(kind, 3, choices)
    assert type(distribution) is KINDS[kind]
    assert (distribution.kind, distribution.has_log_std) == (kind, has_log_std)
    assert distribution.mask_sections == sections
    assert distribution.mask_size == sum(sections)
    assert distribution.has_choices == (kind == "multi_categorical")
    assert distribution.is_continuous == (kind in CONTINUOUS_POLICIES) == (distribution.action_dtype == np.float32)


@pytest.mark.parametrize("kind", TABLE)
def test_a_mask_may_have_a_row_for_each_bit(kind):
    distribution = make_distribution(kind, 3, TABLE[kind][0])
    pairs = ((3, 2),) if kind == "bernoulli" else ()
    assert distribution.mask_shapes == ((sum(TABLE[kind][1]),), *pairs)


def test_bounded_actions_map_to_the_unit_interval():
    assert {kind for kind in KINDS if KINDS[kind].is_bounded} == {"squashed_gaussian", "beta"}
    actions = [-40.0, -1.5, 0.0, 0.25, 3.0]
    expected = [1.0 / (1.0 + math.exp(-2.0 * a)) for a in actions]  # (tanh(a) + 1) / 2
    np.testing.assert_allclose(KINDS["squashed_gaussian"].to_unit_interval(np.array(actions)), expected, atol=1e-15)
    assert KINDS["beta"].to_unit_interval(np.array([0.25, 0.5])).tolist() == [0.25, 0.5]


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"action_kind='gamma' is unknown: use one of .*bernoulli, gaussian"):
        make_distribution("gamma", 2)
