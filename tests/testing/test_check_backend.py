"""`check_backend` finds mistakes in backends, names the failing property and prints code that reproduces it."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from support.networks import KINDS, spec_of
from support.wrong_backends import (
    MISTAKES,
    AppliesNonFiniteUpdates,
    EntropySign,
    GradientNotClipped,
    MomentsNotRounded,
    NoClamp,
)

from ppocore import cli, registry
from ppocore.backend import Objective
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.testing import check_backend, edge_problems, random_problem
from ppocore.testing.backends import properties
from ppocore.testing.backends.comparison import reference
from ppocore.testing.backends.problems import SETTINGS as PROBLEM_SETTINGS
from ppocore.testing.backends.properties import PROPERTIES, Disagreement, Inapplicable

NAMES = [p.name for p in PROPERTIES]


def test_every_property_is_a_documented_function_of_its_name():
    for checked in PROPERTIES:
        assert getattr(properties, checked.name) is checked.check
        assert checked.check.__doc__
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.__name__)
def test_a_mistake_fails_its_property_and_no_earlier_one(wrong):
    expected = MISTAKES[wrong]
    before = NAMES[: NAMES.index(expected)]
    assert check_backend(wrong, properties=before, max_examples=2).failures == []
    (failure,) = check_backend(wrong, properties=[expected], max_examples=60, precisions=["exact"]).failures
    assert failure.name == expected
    assert failure.failure.message


@pytest.mark.parametrize(
    "wrong", [EntropySign, NoClamp, GradientNotClipped, MomentsNotRounded, AppliesNonFiniteUpdates]
)
def test_the_printed_code_reproduces_the_failure(wrong):
    report = check_backend(wrong, properties=[MISTAKES[wrong]], max_examples=60)
    failure = report.failures[0].failure
    with pytest.raises(Disagreement) as raised:
        exec(compile(failure.code, "printed", "exec"), {"factory": wrong})
    assert f"Disagreement: {raised.value}" == failure.message
    assert failure.code.strip() in str(report)


def test_the_printed_example_is_small():
    code = check_backend(EntropySign, properties=["total_loss"]).failures[0].failure.code
    assert "np.array(" in code
    assert "hidden_sizes=()" in code
    assert len(code.splitlines()) < 40


def test_a_large_problem_is_printed_as_a_call_of_random_problem():
    spec = spec_of("bernoulli", 2, (16, 16))
    problem = random_problem(spec, Objective(0.2, 0.5, 0.01, kl_coef=0.5), rows=40, masks="some", **SETTINGS)
    code = problem.code()
    assert len(code) < 800
    assert_problems_equal(executed(code), problem)


SETTINGS = {"seed": 3, "steps": 2, "critic_learning_rate": 0.01, "separate": True, "freeze_actor": (False, True)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, SETTINGS])
def test_a_small_problem_is_printed_to_the_last_bit(kind, settings):
    objective = Objective(0.2, kl_coef=0.5, dual_clip=3.0)
    problem = random_problem(spec_of(kind, 2, (1,)), objective, rows=3, masks="one", **{"seed": 1, **settings})
    assert "random_problem" not in problem.code()
    assert_problems_equal(executed(problem.code()), problem)
    assert {"old_parameters", "masks"} - set(problem.batches[0].arrays()) == ({"masks"} & CONTINUOUS.get(kind, set()))


CONTINUOUS = {kind: {"masks"} for kind in ("gaussian", "squashed_gaussian", "beta")}


def executed(code):
    """Run the code of a problem, with the imports that it needs, and return the problem."""
    imports = "import numpy as np\nfrom ppocore.backend import Minibatch, Objective\n"
    imports += "from ppocore.networks import NetworkSpec\nfrom ppocore.testing import Problem, random_problem\n"
    names = {}
    exec(imports + code, names)
    return names["problem"]


def assert_problems_equal(actual, expected):
    for field in ("spec", "objective", *PROBLEM_SETTINGS):
        assert getattr(actual, field) == getattr(expected, field)
    pairs = [(actual.weights[name], array) for name, array in expected.weights.items()]
    for ours, theirs in zip(actual.batches, expected.batches, strict=True):
        assert list(ours.arrays()) == list(theirs.arrays())
        pairs += zip(ours.arrays().values(), theirs.arrays().values(), strict=True)
    for ours, theirs in pairs:
        assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def test_any_error_of_a_backend_is_a_failure():
    class Broken(NumpyBackend):
        def evaluate(self, batch, objective):
            raise RuntimeError("no evaluation here")

    report = check_backend(Broken, properties=["log_prob", "forward"], max_examples=3)
    assert [result.name for result in report.failures] == ["log_prob", "log_prob"]
    assert report.failures[0].failure.message == "RuntimeError: no evaluation here"


def test_the_report():
    report = check_backend(GradientNotClipped, properties=["forward", "gradients"], max_examples=40)
    assert not report.passed
    with pytest.raises(AssertionError, match=r"gradients \(exact\) failed"):
        report.raise_if_failed()
    summary = json.loads(json.dumps(report.to_dict()))
    assert (summary["backend"], summary["passed"], summary["max_examples"]) == ("GradientNotClipped", False, 40)
    passed = {(p["name"], p["precision"]): p["passed"] for p in summary["properties"]}
    assert passed == {
        ("forward", "exact"): True,
        ("forward", "float32"): True,
        ("gradients", "exact"): False,
        ("gradients", "float32"): False,
    }
    forward, gradients = summary["properties"][0], summary["properties"][2]
    assert forward["errors"] == {"parameters": 0.0, "values": 0.0}
    assert (forward["examples"], forward["failure"]) == (40, None)
    failure = gradients["failure"]
    assert failure["quantity"].startswith("gradient of actor.")
    assert float(failure["expected"]) != float(failure["actual"])
    assert "2 of 4 properties failed" in str(report)


def test_the_report_depends_on_the_seed_alone():
    arguments = {"properties": ["gradients", "log_prob"], "precisions": ["float32"], "max_examples": 10}
    first, again, other = (check_backend("numpy", seed=seed, **arguments).to_dict() for seed in (1, 1, 2))
    assert first == again
    assert first["properties"] != other["properties"]


def test_the_numpy_backend_passes():
    check_backend("numpy", max_examples=5).raise_if_failed()


def test_an_unknown_property_is_rejected():
    with pytest.raises(ValueError, match="there is no property 'gradient'"):
        check_backend("numpy", properties=["gradient"])


def test_a_property_without_any_example_fails(monkeypatch):
    def inapplicable(*_, **__):
        raise Inapplicable

    changed = [p._replace(check=inapplicable) if p.name == "forward" else p for p in PROPERTIES]
    monkeypatch.setattr("ppocore.testing.backends.check.PROPERTIES", tuple(changed))
    (result,) = check_backend("numpy", properties=["forward"], precisions=["exact"], max_examples=5).failures
    assert (result.examples, result.failure) == (0, None)


@settings(deadline=None, max_examples=150)
@given(edge_problems())
def test_the_error_analysis_computes_the_oracles_numbers(problem):
    """A formula that differs from the oracle's would give error bounds of other numbers."""
    try:
        evaluation, gradients, rounded = reference(problem, "exact")
    except Inapplicable:
        return
    for name, expected in evaluation._asdict().items():
        number = getattr(rounded, name)
        assert np.all(np.abs(number.value - expected) <= 2e-15 * number.error_bound + 1e-300), name
    for name, expected in gradients.items():
        number = rounded.gradients[name]
        assert np.all(np.abs(number.value - expected) <= 2e-15 * number.error_bound + 1e-300), name


def test_the_command_prints_the_report_and_exits_0(capsys):
    assert cli.main(["check-backend", "numpy", "--examples", "2"]) == 0
    output = capsys.readouterr().out
    assert "every property held" in output
    assert all(name in output for name in NAMES)


def test_the_command_exits_1_on_a_failure_with_the_report_as_json(monkeypatch, capsys):
    monkeypatch.setitem(registry._registered, "wrong", NoClamp)
    assert cli.main(["check-backend", "wrong", "--examples", "5", "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["backend"], report["passed"]) == ("wrong", False)
    assert next(p["name"] for p in report["properties"] if not p["passed"]) == "ratio"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torhc"], "there is no backend 'torhc'; did you mean 'torch'?"),
        (["numpy", "--examples", "0"], "--examples 0 must be at least 1"),
        (["numpy", "--device", "cuda"], "--device cuda: the numpy backend computes on the cpu"),
        (["json:dumps"], "backend dumps cannot be made: TypeError: "),
    ],
)
def test_wrong_arguments_exit_2_with_one_sentence(arguments, message, capsys):
    assert cli.main(["check-backend", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"ppocore check-backend: {message}")
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""


def test_without_hypothesis_the_command_names_the_extra_to_install(monkeypatch, capsys):
    for module in [name for name in sys.modules if name.startswith("ppocore.testing.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert cli.main(["check-backend", "numpy"]) == 2
    message = "ppocore check-backend: hypothesis is not installed: pip install 'ppocore[check]'\n"
    assert capsys.readouterr().err == message
