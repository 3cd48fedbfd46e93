"""Advantages of tokens are those of the actions alone, as if every other token had been deleted."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore import gae, masked_whiten, token_gae

SMALL = st.integers(-8, 8).map(lambda n: Fraction(n, 4))


def explicit(rewards, values, mask, last, gamma, lams):
    """Sum each row's actions explicitly: A[i] = sum over j >= i of gamma^(j-i) lam[i] ... lam[j-1] delta[j]."""
    advantages = []
    for r, v, m, end, lam in zip(rewards, values, mask, last, lams, strict=True):
        row = [Fraction(0)] * len(r)
        advantages.append(row)
        at = [t for t, action in enumerate(m) if action]
        after = [v[t] for t in at[1:]] + [end] * bool(at)
        delta = [r[t] + gamma * nv - v[t] for t, nv in zip(at, after, strict=True)]
        for i, t in enumerate(at):
            weight = Fraction(1)
            for j in range(i, len(at)):
                row[t] += weight * delta[j]
                weight *= gamma * lam[at[j]]
    return advantages


@st.composite
def batches(draw):
    """Draw rewards, values and a mask (B, T): prompts, padding on either side, tokens of tools, rows of no action."""
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 12))

    def table(element):
        return [[draw(element) for _ in range(shape[1])] for _ in range(shape[0])]

    mask = table(st.booleans())
    if draw(st.booleans()):
        mask[0] = [False] * shape[1]
    return table(SMALL), table(SMALL), mask, [draw(SMALL) for _ in range(shape[0])], table(st.sampled_from(UNIT))


UNIT = [Fraction(0), Fraction(1, 2), Fraction(3, 4), Fraction(1)]


def floats(table):
    return np.array(table, float)


@settings(max_examples=150, deadline=None)
@given(batches(), st.sampled_from(UNIT), st.sampled_from(UNIT))
def test_the_explicit_sum_over_actions(batch, gamma, lam):
    rewards, values, mask, last, lams = batch
    junk = np.where(mask, 0.0, np.nan)  # what is no action is not read
    arguments = floats(rewards) + junk, floats(values) + junk, np.array(mask)
    for weight, each in ((float(lam), [[lam] * len(row) for row in lams]), (floats(lams), lams)):
        found = token_gae(*arguments, last_values=floats(last), gamma=float(gamma), lam=weight)
        expected = floats(explicit(rewards, values, mask, last, gamma, each))
        np.testing.assert_allclose(found.advantages, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.returns, np.where(mask, expected + floats(values), 0), rtol=0, atol=1e-12)


def test_by_hand():
    """A prompt, two actions, a tool's word, an action, padding: deltas 0.5 + 2 - 1, 0 + 4 - 2 and 1 + 0 - 4."""
    rewards, values = np.array([[9, 0.5, 0, 9, 1, 9]]), np.array([[9.0, 1, 2, 9, 4, 9]])
    mask = np.array([[0, 1, 1, 0, 1, 0]])
    found = token_gae(rewards, values, mask, lam=0.5)
    assert found.advantages.tolist() == [[0, 1.5 + 0.5 * (2 - 1.5), 2 - 1.5, 0, -3, 0]]
    assert found.returns.tolist() == [[0, 2.75, 2.5, 0, 1, 0]]
    cut_off = token_gae(rewards, values, mask, lam=0.5, last_values=np.array([8.0]))
    assert cut_off.advantages[0, 4] == 1 + 8 - 4


@settings(max_examples=50, deadline=None)
@given(batches(), st.integers(0, 3), st.integers(0, 3))
def test_padding_on_either_side_changes_nothing(batch, left, right):
    rewards, values, mask, last, _ = batch
    sides = ((0, 0), (left, right))
    arrays = [floats(rewards), floats(values), np.array(mask)]
    padded = [np.pad(a, sides, constant_values=value) for a, value in zip(arrays, (7, np.inf, False), strict=True)]
    found = token_gae(*padded, last_values=floats(last))
    expected = token_gae(*arrays, last_values=floats(last))
    for part, alone in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part[:, left : left + alone.shape[1]], alone)
        assert not np.delete(part, np.s_[left : left + alone.shape[1]], axis=1).any()


def test_with_every_token_an_action_it_is_gae():
    rng = np.random.default_rng(0)
    r, v, last = rng.normal(size=(3, 7)), rng.normal(size=(3, 7)), rng.normal(size=3)
    following, no = np.column_stack([v[:, 1:], last]), np.zeros((3, 7), bool)
    expected = gae(r, v, following, no, no, gamma=0.9, lam=0.8, time_axis=1)
    found = token_gae(r, v, ~no, last_values=last, gamma=0.9, lam=0.8)
    np.testing.assert_allclose(found.advantages, expected.advantages, rtol=1e-13)
    one = token_gae(r[0], v[0], ~no[0], last_values=last[0], gamma=0.9, lam=0.8)
    np.testing.assert_allclose(one.advantages, expected.advantages[0], rtol=1e-13)
    rows = token_gae(r, v, ~no, last_values=last, gamma=0.9, lam=np.full(3, 0.8))
    np.testing.assert_allclose(rows.returns, expected.returns, rtol=1e-13)


def test_the_format_is_that_of_the_numbers():
    x, mask = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    assert token_gae(x, x, mask, lam=np.full(2, 0.5)).advantages.dtype == np.float32
    assert token_gae(x, x, mask, last_values=np.ones(2)).advantages.dtype == np.float64
    assert masked_whiten(x, mask).dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.full((2, 3), 0.5)}, "valid must hold flags"),
        ({"mask": np.ones((2, 2))}, r"shape \(2, 3\) is expected"),
        ({"values": np.ones((2, 4))}, r"values has shape \(2, 4\), but shape \(2, 3\) is expected"),
        ({"last_values": np.ones(3)}, r"last_values has shape \(3,\), but shape \(2,\) is expected"),
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], but is 1.5"),
        ({"lam": np.array([0.5, 1.5])}, r"lam must lie in \[0, 1\]"),
        ({"lam": np.array([0.5, np.nan])}, r"lam must lie in \[0, 1\]"),
        ({"lam": np.ones(3)}, r"lam has shape \(3,\)"),
        ({"gamma": -0.1}, "gamma must lie"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"rewards": np.ones((2, 3)), "values": np.ones((2, 3)), "mask": np.ones((2, 3))} | change
    with pytest.raises(ValueError, match=message):
        token_gae(**arguments)


@settings(max_examples=100, deadline=None)
@given(batches(), st.booleans(), st.sampled_from([0, 1]))
def test_whitening_is_its_definition(batch, shift_mean, ddof):
    table, _, mask, _, _ = batch
    numbers = [x for row, flags in zip(table, mask, strict=True) for x, flag in zip(row, flags, strict=True) if flag]
    found = masked_whiten(floats(table) + np.where(mask, 0.0, np.inf), mask, shift_mean=shift_mean, ddof=ddof)
    assert not found[~np.array(mask)].any()
    if not numbers:
        return
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / max(1, len(numbers) - ddof)
    expected = [float(x - mean) / (float(variance) + 1e-8) ** 0.5 + float(mean) * (not shift_mean) for x in numbers]
    np.testing.assert_allclose(found[np.array(mask)], expected, rtol=1e-12, atol=1e-12)


def test_whitening_of_equal_numbers_is_zero():
    x = np.full((2, 4), 0.1)
    assert not masked_whiten(x, np.ones_like(x)).any()
    assert not masked_whiten(x, np.eye(2, 4)).any()
    np.testing.assert_array_equal(masked_whiten(x, np.eye(2, 4), shift_mean=False), 0.1 * np.eye(2, 4))
    with pytest.raises(ValueError, match="ddof must be 0 or 1, but is 2"):
        masked_whiten(x, x == x, ddof=2)
