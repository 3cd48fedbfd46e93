"""The oracle that judges other projects' functions without the kit, and what it says about those that were read."""

import importlib
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def peers():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("peers.independent"), importlib.import_module("peers.read")
    finally:
        sys.path.remove(str(BENCHMARKS))


def loop(rewards, values, next_values, terminated, truncated, gamma, lam):
    advantages, following = np.zeros(rewards.shape), 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] * ~terminated[t] - values[t]
        following = delta + gamma * lam * ~(terminated | truncated)[t] * following
        advantages[t] = following
    return {"advantages": advantages, "returns": advantages + values}


def test_the_definition_is_that_of_a_rollout_worked_out_by_hand(peers):
    oracle, _ = peers
    column = np.array([[1.0], [2.0], [4.0]])
    flags = np.array([[False], [True], [False]])
    rollout = oracle.Rollout(column, np.ones((3, 1)), np.array([[1.0], [8.0], [2.0]]), ~flags & flags, flags, 0.5, 0.5)
    advantages, to_go = oracle.definition(rollout)
    # The residuals are 1 + 0.5 - 1, 2 + 4 - 1 and 4 + 1 - 1; the truncated step ends the first sum.
    assert advantages == [[Fraction(7, 4)], [Fraction(5)], [Fraction(4)]]
    assert to_go == [[Fraction(4)], [Fraction(6)], [Fraction(5)]]


def test_a_right_function_is_right_and_every_place_of_a_mistake_is_named(peers):
    oracle, _ = peers

    def verdict(change, expected=None):
        return set(oracle.judge(change, expected or oracle.Expected()).causes())

    assert verdict(loop) == set()
    assert verdict(lambda r, v, nv, te, tr, g, lam: loop(r, v, nv, te | tr, tr, g, lam)) == {
        "truncation",
        "truncation in the last row",
    }
    assert verdict(lambda r, v, nv, te, tr, g, lam: loop(r, v, nv, te & ~tr, te | tr, g, lam)) == {
        "both flags",
        "both flags in the last row",
    }
    assert verdict(lambda r, v, nv, te, tr, g, lam: loop(r, v, nv, te, tr, g, lam**2)) == {"inside an episode"}

    def last_row_zero(r, v, nv, te, tr, g, lam):
        found = loop(r, v, np.concatenate([nv[:-1], nv[-1:] * 0]), te, tr, g, lam)
        return found

    assert verdict(last_row_zero) == {"open end", "truncation in the last row"}

    def writes(r, v, nv, te, tr, g, lam):
        found = loop(r, v, nv, te, tr, g, lam)
        nv *= ~te
        return found

    assert verdict(writes) == {"writes to next_values"}

    def integers(r, v, nv, te, tr, g, lam):
        found = loop(r, v, nv, te, tr, g, lam)
        return {name: array.astype(r.dtype) for name, array in found.items()}

    assert "inside an episode with integer rewards" in verdict(integers)
    assert verdict(loop, oracle.Expected(lam=1.0)) == {"inside an episode"}


WRONG_ALONE = {
    "agilerl_collected": "both flags, inside an episode, termination, truncation",
    "mappo_proper": "truncation (returns), truncation in the last row (returns)",
    "envpool": "open end",
    "philtabor": "both flags, both flags in the last row, open end, termination, termination in the last row, "
    "truncation, truncation in the last row",
    "pufferlib": "both flags in the last row, open end, termination in the last row, truncation in the last row",
    "modular_rl": "open end, truncation, truncation in the last row",
    "machin": "open end, truncation, truncation in the last row",
}
"""Functions in NumPy that differ even if their caller does all that their signature leaves to it."""


@pytest.mark.slow
def test_what_the_oracle_says_about_the_functions_in_numpy(peers):
    oracle, read = peers
    found = {}
    for entry in read.entries()[0]:
        if entry.framework == "numpy" and entry.name != "seed_rl":
            verdict = oracle.judge(entry.candidate(entry.contract), entry.expected, **entry.limits)
            found[entry.name] = ", ".join(verdict.causes())
    assert len(found) >= 20
    assert {name: says for name, says in found.items() if says} == WRONG_ALONE


def test_every_function_says_what_was_read_and_has_a_name_of_its_own(peers):
    _, read = peers
    entries, vtraces = read.entries()
    names = [entry.name for entry in entries] + [entry.function.__name__ for entry in vtraces]
    assert len(names) == len(set(names))
    for entry in entries:
        assert any(word in entry.source for word in ("commit ", ".")), entry.name
        assert entry.note, entry.name
