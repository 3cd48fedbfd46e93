"""Signatures are guessed, or told by adapters, which compose; what cannot be guessed is one sentence."""

import numpy as np
import pytest
from support import gae_signatures as signatures
from support.gae_signatures import GUESSED, buffer, recursion

from ppocore.errors import UsageError
from ppocore.testing import (
    adapt,
    agents,
    batch_major,
    check_gae,
    episode_lists,
    flags_as,
    from_dones,
    shifted_rewards,
    single_columns,
    token_level,
    trailing_axis,
)


@pytest.mark.parametrize("function", GUESSED, ids=lambda f: f.__name__)
def test_a_signature_is_guessed_and_the_report_says_so(function):
    report = check_gae(function, max_examples=12)
    assert report.signature == function.__name__ + GUESSED[function]
    assert f"Taken for {report.signature}." in str(report)


def test_seven_parameters_without_names_are_the_usual_ones():
    assert check_gae(signatures.unnamed, max_examples=12).signature == ""


def test_a_wrong_function_is_taken_for_what_makes_a_known_mistake():
    def by_environment(rewards, values, dones, last_value, gamma, lam):
        return buffer(rewards.T, values.T, 0 * dones.T, last_value, gamma, lam).T

    report = check_gae(by_environment, max_examples=12, raise_on_failure=False)
    assert "(N, T)" in report.signature
    assert [name for name, _ in report.diagnosis.mistakes] == ["ends ignored"]


def test_a_guess_that_cannot_be_called_is_an_error_with_what_was_tried():
    def needs_more(rewards, values, dones, last_values, gamma, lam):
        raise KeyError("config")

    with pytest.raises(UsageError) as caught:
        check_gae(needs_more)
    assert "the signature of" in str(caught.value)
    assert "tried as needs_more(rewards, values, dones, last_values, gamma, lam) of arrays (T, N)" in str(caught.value)
    assert "KeyError: 'config'" in str(caught.value)
    assert "ppocore.testing.from_dones" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [len, np.cumsum, lambda x: x, lambda a, b, c, d, e, f, g, h: a])
def test_what_cannot_be_guessed_is_one_sentence(function):
    with pytest.raises(UsageError, match=r"cannot be guessed: say what each parameter is with ppocore.testing.adapt"):
        check_gae(function)


COMPOSED = {
    "batch major, T + 1 values": (
        lambda f: batch_major(from_dones(f, values="T+1")),
        lambda r, v, d, g, la: buffer(r.T, v.T[:-1], d.T, v.T[-1], g, la).T,
    ),
    "the same the other way round": (
        lambda f: from_dones(batch_major(f), values="T+1"),
        lambda r, v, d, g, la: buffer(r.T, v.T[:-1], d.T, v.T[-1], g, la).T,
    ),
    "masks": (lambda f: from_dones(f, masks=True), lambda r, v, m, last, g, la: buffer(r, v, 1 - m, last, g, la)),
    "discounts": (
        lambda f: from_dones(f, discounts=True, values="T+1"),
        lambda r, v, d, la: signatures.with_discounts(r, d, la, v),
    ),
    "single columns": (lambda f: single_columns(from_dones(f)), signatures.one_environment),
    "a trailing axis": (lambda f: trailing_axis(from_dones(f)), signatures.trailing),
    "agents": (
        lambda f: agents(from_dones(f)),
        lambda r, v, d, last, g, la: (r.shape[2], buffer(r, v, d, last, g, la))[1],
    ),
    "rewards a row later": (
        lambda f: shifted_rewards(from_dones(f)),
        lambda r, v, d, last, g, la: buffer(r[1:], v, d, last, g, la),
    ),
    "masks before, T + 1 rows": (
        lambda f: from_dones(f, dones="before", rows="T+1", values="T+1", masks=True),
        signatures.masks_before,
    ),
    "flags as numbers": (
        lambda f: flags_as(from_dones(f), "int"),
        lambda r, v, d, last, g, la: buffer(r, v, np.subtract(d, 0), last, g, la),
    ),
    "tokens without a mask": (
        lambda f: token_level(f, mask=False),
        lambda r, v, g, la: recursion((r + g * np.pad(v, ((0, 0), (0, 1)))[:, 1:] - v).T, np.ones(r.T.shape), g * la).T,
    ),
    "an episode and its last value": (
        lambda f: episode_lists(f, values="T", arguments="rewards values last_values gamma lam"),
        lambda r, v, last, g, la: signatures.one_episode(r, np.append(v, last), g, la),
    ),
    "another order": (
        lambda f: adapt(f, "lam gamma last_values dones values rewards"),
        lambda la, g, last, d, v, r: buffer(r, v, d, last, g, la),
    ),
    "by name": (
        lambda f: adapt(f, "rewards values dones last_values gae_lambda=lam discount=gamma"),
        lambda r, v, d, last, *, discount, gae_lambda: buffer(r, v, d, last, discount, gae_lambda),
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_adapters_compose(name):
    adapter, function = COMPOSED[name]
    check_gae(adapter(function), max_examples=12)

    def swapped(*arguments, **named):
        numbers = iter(reversed([x for x in [*arguments, *named.values()] if type(x) is float]))
        arguments = [next(numbers) if type(x) is float else x for x in arguments]
        return function(*arguments, **{key: next(numbers) for key in named})

    if name != "discounts":
        report = check_gae(adapter(swapped), max_examples=12, raise_on_failure=False)
        assert [found for found, _ in report.diagnosis.mistakes] == ["gamma and lambda swapped"]


def test_an_adapted_function_can_be_called():
    flags = np.zeros((2, 1), bool), np.array([[False], [True]])
    adapted = from_dones(buffer)
    # The second step is truncated: 2 + 0.5 * 8 - 1 = 5, and the first is 1 + 0.5 * 1 - 1 + 0.25 * 5.
    found = adapted(np.array([[1.0], [2.0]]), np.ones((2, 1)), np.array([[1.0], [8.0]]), *flags, 0.5, 0.5)
    assert found.tolist() == [[1.75], [5.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_dones(buffer, dones="x"), "dones='x' is unknown: use after or before"),
        (lambda: from_dones(buffer, values="N"), r"values='N' is unknown: use T or T\+1"),
        (lambda: token_level(buffer, padding="x"), "padding='x' is unknown: use right or left"),
        (lambda: flags_as(buffer, "byte"), "flags='byte' is unknown: use one of bool, float, int"),
        (lambda: adapt(buffer, "rewards vals"), "there is no argument 'vals': choose from rewards, values"),
        (lambda: from_dones(3), "the candidate is 3, expected a function"),
    ],
)
def test_wrong_declarations_are_one_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        call()
