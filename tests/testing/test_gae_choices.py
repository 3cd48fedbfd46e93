"""What programs do on purpose is recognised as a choice when nobody declares it, and passes when it is declared."""

import numpy as np
import pytest
from support.gae_signatures import buffer

from ppocore.errors import UsageError
from ppocore.testing import UndeclaredChoice, check_gae, check_returns, from_dones


def to_go(r, v, d, last, g, la):
    found, following = np.zeros(r.shape), last
    for t in reversed(range(len(r))):
        following = r[t] + g * following * (1 - d[t])
        found[t] = following
    return found


def normalized(r, v, d, last, g, la, ddof=0, small=1e-8):
    a = buffer(r, v, d, last, g, la)
    if a.size <= ddof:
        return np.full(a.shape, np.nan)
    return (a - a.mean()) / (a.std(ddof=ddof) + small)


CHOICES = {
    "rewards to go": (
        lambda *x: (buffer(*x), to_go(*x)),
        {"returns": "rewards_to_go"},
        "its returns are rewards to go",
    ),
    "returns first": (
        lambda *x: (buffer(*x) + x[1], buffer(*x)),
        {"results": "returns, advantages"},
        "it returns the returns before the advantages",
    ),
    "returns alone": (lambda *x: buffer(*x) + x[1], {"results": "returns"}, "it returns the returns, not the adv"),
    "normalized": (normalized, {"normalized": True}, "its advantages are normalized"),
    "normalized, one degree of freedom": (
        lambda *x: normalized(*x, ddof=1, small=1e-5),
        {"normalized": True},
        "its advantages are normalized",
    ),
    "three results": (
        lambda *x: (buffer(*x) + x[1], buffer(*x), x[2]),
        {"results": "returns, advantages, _"},
        "it returns the returns before the advantages",
    ),
    "three results, the last is no array": (
        lambda *x: (buffer(*x), buffer(*x) + x[1], "info"),
        {"results": "advantages, returns, _"},
        "the advantages and the returns are among its results",
    ),
    "a dictionary": (
        lambda *x: {"adv": buffer(*x), "ret": buffer(*x) + x[1], "n": 3},
        {"results": {"adv": "advantages", "ret": "returns"}},
        "it returns a dictionary",
    ),
    "returns first, and normalized": (
        lambda *x: (buffer(*x) + x[1], normalized(*x)),
        {"results": "returns, advantages", "normalized": True},
        "normalized",
    ),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_choice_is_recognised_and_passes_when_it_is_declared(name, seed):
    function, declared, says = CHOICES[name]
    report = check_gae(from_dones(function), max_examples=8, seed=seed, raise_on_failure=False)
    assert (report.verdict, report.passed, report.failures) == ("choice", False, [])
    assert says in report.choice.says
    assert eval(f"dict({report.choice.declare})") == declared
    assert "This looks like a choice: " in str(report)
    assert check_gae(from_dones(function), max_examples=8, seed=seed, **declared).verdict == "passed"
    with pytest.raises(UndeclaredChoice, match="Pass "):
        check_gae(from_dones(function), max_examples=8, seed=seed)


SHORT = {
    "whole episodes": (
        lambda rewards, values, dones, gamma, lam: buffer(rewards, values, dones, 0 * values[0], gamma, lam),
        {"whole_episodes": True},
    ),
    "Monte Carlo": (
        lambda rewards, values, dones, last_value, gamma: buffer(rewards, values, dones, last_value, gamma, 1.0),
        {"lam": 1.0},
    ),
    "one step": (
        lambda rewards, values, dones, last_value, gamma: buffer(rewards, values, dones, last_value, gamma, 0.0),
        {"lam": 0.0},
    ),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_choice_that_the_parameters_show(name):
    function, declared = SHORT[name]
    report = check_gae(function, max_examples=8, raise_on_failure=False)
    assert (report.verdict, eval(f"dict({report.choice.declare})")) == ("choice", declared)
    assert check_gae(function, max_examples=8, **declared).passed


def test_a_mistake_with_a_hint_passes_when_it_is_meant():
    def as_in_vtrace(r, v, nv, te, tr, gamma, lam):
        residual = r + gamma * nv * ~te - v
        a = buffer(residual, 0 * v, te | tr, 0 * v[0], gamma, lam)
        return residual + gamma * ~(te | tr) * np.concatenate([a[1:], 0 * a[:1]])

    report = check_gae(as_in_vtrace, max_examples=8, raise_on_failure=False)
    assert [name for name, _ in report.diagnosis.mistakes] == ["one lambda missing"]
    assert "Pass estimator='vtrace' if it is the policy-gradient advantage" in str(report)
    check_gae(as_in_vtrace, estimator="vtrace", max_examples=8)
    assert not check_gae(from_dones(buffer), estimator="vtrace", max_examples=8, raise_on_failure=False).passed


def test_a_mistake_under_a_choice_is_named_too():
    def both(r, v, d, last, g, la):
        a = buffer(r, v, d, last, g, 1.0)
        return a + v, a

    report = check_gae(from_dones(both), max_examples=8, raise_on_failure=False)
    assert report.verdict == "failed"
    assert [name for name, _ in report.diagnosis.mistakes] == ["lambda missing in the recursion"]
    assert report.choice.declare == "results='returns, advantages'"


@pytest.mark.parametrize("declared", [{"normalized": True}, {"results": "returns"}, {"returns": "rewards_to_go"}])
def test_what_is_declared_and_not_so_fails(declared):
    def function(r, v, d, last, g, la):
        return (buffer(r, v, d, last, g, la), buffer(r, v, d, last, g, la) + v)

    if declared == {"results": "returns"}:
        report = check_gae(from_dones(lambda *x: function(*x)[0]), max_examples=8, raise_on_failure=False, **declared)
    else:
        report = check_gae(from_dones(function), max_examples=8, raise_on_failure=False, **declared)
    assert report.verdict == "failed"


class TestReturns:
    @staticmethod
    def discounted(rewards, dones, last_values, gamma):
        return to_go(rewards, None, dones, last_values, gamma, None)

    def test_right_ones_pass(self):
        def lists(rewards, gamma):
            found, following = [], 0.0
            for reward in reversed(rewards):
                following = reward + gamma * following
                found.insert(0, following)
            return found

        def mixed(rewards, values, dones, last_values, gamma, lam):
            return buffer(rewards, values, dones, last_values, gamma, lam) + values

        for function in (self.discounted, lists, mixed):
            check_returns(function, max_examples=8)

    def test_a_mistake_is_named_and_shown_as_returns(self):
        def leaking(rewards, dones, last_values, gamma):
            return self.discounted(rewards, 0 * dones, last_values, gamma)

        report = check_returns(leaking, max_examples=8, raise_on_failure=False)
        assert [name for name, _ in report.diagnosis.mistakes] == ["ends ignored"]
        assert report.failures[0].failure.message.startswith("returns by definition: row 0 of column 0 is")
        printed = []
        exec(report.failures[0].failure.code, {"leaking": leaking, "print": printed.append})
        assert printed[0].tolist() == eval(report.failures[0].failure.actual)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"results": "advantage"}, "results='advantage' cannot be read: name each part advantages, returns or _"),
        ({"results": {"a": "adv"}}, "results={'a': 'adv'} cannot be read"),
        ({"returns": "x"}, "returns='x' is unknown: use one of lambda, rewards_to_go, any"),
        ({"estimator": "x"}, "estimator='x' is unknown: use one of gae, vtrace"),
        ({"lam": 2.0}, "lam=2.0 must be a number from 0 to 1"),
    ],
)
def test_wrong_declarations_are_one_sentence(declared, message):
    with pytest.raises(UsageError, match=message):
        check_gae(from_dones(buffer), **declared)
