"""`check_gae` finds and names every known mistake, passes right implementations and reports errors of candidates."""

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import find, given, settings
from support.right_gae import RIGHT, in_torch, loop

import ppocore
from ppocore.errors import UsageError
from ppocore.testing import DEFECTS, check_gae, explicit_sum, gae_suite, trajectories
from ppocore.testing.gae import properties
from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.comparison import Inapplicable, Mismatch
from ppocore.testing.gae.oracle import expected_advantages
from ppocore.testing.gae.plan import reference_gae
from ppocore.testing.gae.properties import PROPERTIES

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", DEFECTS)
def test_every_mistake_is_caught_and_named(name):
    """One seed; ``benchmarks/gae_kit.py`` uses 20."""
    report = check_gae(DEFECTS[name].function, max_examples=25, raise_on_failure=False)
    assert not report.passed
    assert [found for found, _ in report.diagnosis.mistakes] == [name]
    assert DEFECTS[name].says in str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("function", "arrays"), RIGHT)
@pytest.mark.parametrize("seed", [1, 2])
def test_right_implementations_pass(function, arrays, seed):
    report = check_gae(function, arrays=arrays, seed=seed, max_examples=30)
    assert report.passed
    checked = {result.name for result in report.results if result.passed}
    assert {"explicit_sum", "episodes_apart", "linear", "chunks_join", "other_dtypes"} <= checked


@pytest.mark.parametrize("arrays", ["numpy", "torch", "paddle"])
def test_ppocore_gae_passes_in_every_framework_with_invalid_rows(arrays):
    pytest.importorskip(arrays)
    report = check_gae(ppocore.gae, arrays=arrays, max_examples=15)
    assert all(result.passed for result in report.results), str(report)


def test_the_reference_of_the_mistakes_passes():
    check_gae(reference_gae, max_examples=20)


@settings(deadline=None)
@given(trajectories(invalid=True, max_length=6))
def test_the_oracle_is_exact_and_ppocore_gae_agrees_with_it(trajectory):
    exact = np.array([[float(a) for a in row] for row in explicit_sum(trajectory, Fraction)])
    np.testing.assert_allclose(np.array(explicit_sum(trajectory)), exact, atol=1e-6, rtol=1e-9)
    np.testing.assert_allclose(expected_advantages(trajectory), exact, atol=1e-6, rtol=1e-9)
    found = ppocore.gae(*trajectory[:5], gamma=trajectory.gamma, lam=trajectory.lam, valid=trajectory.valid)
    np.testing.assert_allclose(found.advantages, exact, atol=1e-6, rtol=1e-6)


def test_hand_computed_advantages():
    trajectory = find(trajectories(max_length=3, max_columns=1, long=False), lambda t: len(t.rewards) == 3)
    trajectory = trajectory._replace(
        rewards=np.array([[1.0], [2.0], [3.0]]), values=np.array([[1.0], [0.0], [2.0]]), gamma=0.5, lam=0.5,
        next_values=np.array([[4.0], [2.0], [8.0]]), terminated=np.zeros((3, 1), bool),
        truncated=np.array([[True], [False], [False]]), valid=np.ones((3, 1), bool),
    )  # fmt: skip
    # 1 + 4/2 - 1;  (2 + 2/2 - 0) + (3 + 8/2 - 2) / 4;  3 + 8/2 - 2
    assert explicit_sum(trajectory) == [[2.0], [4.25], [5.0]]


def test_the_guide_shows_what_its_example_gives():
    """The page's own mistake: the bootstrap is multiplied by 1 - done, whatever ended the episode."""

    def my_gae(rewards, values, next_values, terminated, truncated, gamma, lam):
        ended = terminated | truncated
        return loop(rewards, values, next_values, ended, ended, gamma, lam)

    report = check_gae(my_gae, raise_on_failure=False)
    page = (ROOT / "docs" / "check-your-gae.md").read_text()
    shown = page.partition("```\nexplicit_sum:")[2].partition("```")[0]
    assert " ".join(shown.split()) in " ".join(str(report).split())


def test_a_counterexample_is_minimal_and_its_code_runs():
    report = check_gae(DEFECTS["truncation treated as termination"].function, raise_on_failure=False)
    failure = report.failures[0].failure
    assert failure.trajectory.rewards.shape == (1, 1)
    assert failure.trajectory.truncated.tolist() == [[True]]
    printed = []
    exec(failure.code, {"truncation_treated_as_termination": loop, "print": printed.append})
    assert str(printed[0][0].tolist()).replace(" ", "") == failure.expected.replace(" ", "").replace(".]", ".0]")
    assert failure.actual != failure.expected


def raises(*args, gamma, lam):
    raise KeyError("mine")


ERRORS = {
    "it raised KeyError: 'mine'": raises,
    "its advantages have shape": lambda r, v, n, term, trunc, gamma, lam: np.zeros((len(r) + 1, r.shape[1])),
    "its advantages have dtype int": lambda r, v, n, term, trunc, gamma, lam: np.zeros(r.shape, int),
    "its advantages are of kind str": lambda r, v, n, term, trunc, gamma, lam: "none",
    "its advantages are of kind torch": lambda r, v, n, term, trunc, gamma, lam: __import__("torch").zeros(r.shape),
    "its advantages have nan in row": lambda r, v, n, term, trunc, gamma, lam: np.full(r.shape, np.nan),
    "it returned a dictionary of 'loss'": lambda r, v, n, term, trunc, gamma, lam: {"loss": r},
    "it took longer than 0.2 s": lambda r, v, n, term, trunc, gamma, lam: time.sleep(60),
    "it raised SystemExit": lambda r, v, n, term, trunc, gamma, lam: sys.exit(3),
    "its returns have shape": lambda r, v, n, term, trunc, gamma, lam: (r * 1.0, r[:, 0]),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_of_the_candidate_is_reported_with_an_example_and_no_traceback(message):
    began = time.monotonic()
    with pytest.raises(AssertionError) as caught:
        check_gae(ERRORS[message], seconds=0.2)
    assert message in str(caught.value)
    assert "rewards = np.array([[" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert time.monotonic() - began < 30


def test_writing_to_an_argument_is_reported():
    def writes(rewards, values, next_values, terminated, truncated, gamma, lam):
        result = loop(rewards, values, next_values, terminated, truncated, gamma, lam)
        values *= 2
        return result

    with pytest.raises(AssertionError, match="it wrote to its argument values"):
        check_gae(writes, max_examples=20)


def test_an_unknown_mistake_is_none_of_the_known_ones():
    def odd(rewards, values, next_values, terminated, truncated, gamma, lam):
        return loop(rewards + 0.25 * (values > 1), values, next_values, terminated, truncated, gamma, lam)

    report = check_gae(odd, max_examples=20, raise_on_failure=False)
    assert report.diagnosis.mistakes == ()
    assert "Known mistake: none of the known ones" in str(report)


def test_returns_that_are_not_advantages_plus_values_are_reported():
    def mean(rewards, values, next_values, terminated, truncated, gamma, lam):
        advantages, returns = loop(rewards, values, next_values, terminated, truncated, gamma, lam)
        return advantages, returns - values

    report = check_gae(mean, max_examples=20, raise_on_failure=False)
    assert [result.name for result in report.failures] == ["returns_are_advantages_and_values"]


def test_a_declared_convention_is_not_a_mistake():
    def outside(rewards, values, next_values, terminated, truncated, gamma, lam):
        ended = terminated | truncated
        return loop(rewards, values, next_values, ended, ended, gamma, lam)

    assert not check_gae(outside, max_examples=20, raise_on_failure=False).passed
    check_gae(outside, truncation="in_rewards", max_examples=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", [p.name for p in PROPERTIES])
def test_every_property_can_fail_and_be_checked_alone(name):
    """`ppocore.gae` has the property, and a function with the mistake that it is about does not."""
    broken = {
        "well_formed": ERRORS["its advantages have dtype int"],
        "inputs_untouched": DEFECTS["rewards written to"].function,
        "explicit_sum": DEFECTS["gamma and lambda swapped"].function,
        "residual_at_lambda_0": DEFECTS["terminal reward dropped"].function,
        "monte_carlo_at_lambda_1": DEFECTS["recursion never cut"].function,
        "returns_are_advantages_and_values": lambda *a, gamma, lam: (loop(*a, gamma, lam)[0], a[0] * 1.0),
        "episodes_apart": DEFECTS["recursion not cut at truncation"].function,
        "nothing_leaks_back": DEFECTS["value after the reset"].function,
        "terminal_successors_unread": DEFECTS["termination ignored"].function,
        "linear": lambda *a, gamma, lam: np.maximum(loop(*a, gamma, lam)[0], 0.0),
        "environments_apart": DEFECTS["environments interleaved"].function,
        "chunks_join": DEFECTS["no bootstrap after the last row"].function,
        "other_dtypes": DEFECTS["integer rewards truncate the result"].function,
        "large_rollouts": DEFECTS["ends ignored"].function,
        "invalid_rows_deleted": DEFECTS["reset rows kept"].function,
    }
    check = getattr(properties, name)
    strategy = trajectories(invalid=name == "invalid_rows_deleted", max_length=5, long=False)

    def fails(trajectory):
        try:
            check(Candidate(ppocore.gae), trajectory)
            check(Candidate(broken[name]), trajectory)
        except Mismatch:
            return True
        except Inapplicable:
            return False
        return False

    found = find(strategy, fails, settings=settings(database=None, deadline=None, max_examples=500))
    check(Candidate(ppocore.gae), found)


def test_the_suite_is_a_class_of_tests():
    good, bad = gae_suite(loop, max_examples=3), gae_suite(DEFECTS["ends ignored"].function, max_examples=10)
    names = [name for name in vars(good) if name.startswith("test_")]
    assert names == [f"test_{checked.name}" for checked in PROPERTIES]
    for name in names:
        getattr(good(), name)()
    bad().test_inputs_untouched()
    with pytest.raises(AssertionError, match="Known mistake: ends ignored"):
        bad().test_explicit_sum()


TestPpocoreGAE = gae_suite(ppocore.gae, max_examples=5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_gae(3), "the candidate is 3, expected a function"),
        (lambda: check_gae(loop, arrays="tf"), "arrays='tf' is unknown: use one of numpy, torch"),
        (lambda: check_gae(loop, truncation="no"), "truncation='no' is unknown"),
        (lambda: check_gae(loop, properties=["x"]), "there is no property 'x': choose from well_formed"),
    ],
)
def test_wrong_arguments_are_rejected_in_one_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "ppocore", "check-gae", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_command_prints_the_report_and_exits_1_if_a_property_failed(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom ppocore.testing import DEFECTS\n"
        "from ppocore import gae as good\nbad = DEFECTS['termination ignored'].function\nnumber = 3\n"
    )
    passed = run("mine:good", "--examples", "5", cwd=tmp_path)
    assert passed.returncode == 0, passed.stderr
    assert "no property failed" in passed.stdout
    failed = run("mine:bad", "--examples", "20", "--json", cwd=tmp_path)
    assert failed.returncode == 1
    report = json.loads(failed.stdout.splitlines()[-1])
    assert (report["candidate"], report["passed"]) == ("mine:bad", False)
    assert report["diagnosis"] == ["termination ignored"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mine", "names no function: give MODULE:FUNCTION"),
        ("nothing_of_that_name:f", "nothing_of_that_name cannot be imported"),
        ("mine:missing", "mine has no missing"),
        ("mine:number", "mine:number is 3, not a function"),
        ("broken:f", "broken fails when it is imported: ZeroDivisionError"),
    ],
)
def test_a_wrong_target_is_rejected_in_one_sentence(target, message, tmp_path):
    (tmp_path / "mine.py").write_text("number = 3\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    finished = run(target, cwd=tmp_path)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.posix
def test_the_time_limit_restores_the_signal_handler():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    check_gae(in_torch, arrays="torch", max_examples=3)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
