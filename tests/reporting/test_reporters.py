"""A reporter reports a run and never ends it."""

import importlib.metadata
import io

import pytest
from support.interrupting import SMALL, StopAfter, contents, whole

from ppocore import train
from ppocore.cli import main
from ppocore.errors import RunWarning, UsageError
from ppocore.reporting import available_reporters, make_reporters
from ppocore.reporting.console import ConsoleReporter


class Flaky:
    """A reporter that raises in one of its methods; in ``iteration``, in the seventh call."""

    def __init__(self, method):
        self.method, self.calls = method, []

    def _call(self, name, number=None):
        self.calls.append(name)
        if name == self.method and number in (None, 7):
            raise ConnectionError("no route\nto host")

    def begin(self, start):
        self._call("begin")

    def iteration(self, metrics):
        self._call("iteration", metrics["iteration"])

    def close(self):
        self._call("close")

    def end(self, result):
        self._call("end")


@pytest.mark.parametrize("method", ["begin", "iteration", "close", "end"])
def test_a_reporter_that_raises_is_dropped_with_one_warning(method, tmp_path):
    flaky, after = Flaky(method), Flaky(None)
    with pytest.warns(RunWarning) as warned:
        train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run", reporters=[flaky, after])
    (sentence,) = [str(w.message) for w in warned if issubclass(w.category, RunWarning)]
    assert sentence == (
        f"reporter Flaky failed in {method} (ConnectionError: no route to host) and is dropped: the run continues"
    )
    assert contents(tmp_path / "run") == whole(tmp_path, "CartPole-v1", SMALL)
    assert after.calls == ["begin", *["iteration"] * 12, "close", "end"]
    expected = {
        "begin": ["begin", "close"],
        "iteration": ["begin", *["iteration"] * 7, "close"],
        "close": ["begin", *["iteration"] * 12, "close"],
        "end": ["begin", *["iteration"] * 12, "close", "end"],
    }
    assert flaky.calls == expected[method]


def test_an_interrupt_in_a_reporter_does_not_drop_it():
    assert train("CartPole-v1", SMALL, reporters=[StopAfter(3)]).interrupted


@pytest.mark.parametrize(
    ("reporters", "sentence"),
    [
        (print, "must be a list of reporters"),
        ([print], "has no method begin: see ppocore.reporting.Reporter for all four; a function belongs in callbacks="),
        ([Flaky], "reporter Flaky is a class"),
        ([object()], "has no method begin"),
    ],
)
def test_wrong_reporters_are_refused_in_one_sentence(reporters, sentence):
    with pytest.raises(UsageError, match=sentence):
        train("CartPole-v1", SMALL, reporters=reporters)


def test_names(capsys, tmp_path):
    assert available_reporters()[0] == "console"
    status = main(["train", "CartPole-v1", "--run-dir", str(tmp_path / "run"), "--report", "consol"])
    assert status == 2
    said = capsys.readouterr().err
    assert "there is no reporter 'consol'; did you mean 'console'? (choose from: console" in said
    assert "ppocore.reporters" in said
    assert not (tmp_path / "run").exists()


def test_an_installed_package_provides_a_reporter(monkeypatch):
    point = importlib.metadata.EntryPoint("mine", "collections:Counter", "ppocore.reporters")
    broken = importlib.metadata.EntryPoint("broken", "no_such_module:x", "ppocore.reporters")
    real = importlib.metadata.entry_points

    def entry_points(**criteria):
        return [point, broken] if criteria == {"group": "ppocore.reporters"} else real(**criteria)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert available_reporters() == ["console", "mine", "broken"]
    assert make_reporters(["mine"]) == [{}]
    with pytest.raises(UsageError, match=r"reporter 'broken' cannot be used \(ModuleNotFoundError: .*\): leave it out"):
        make_reporters(["broken"])


def test_a_speed_that_rounds_to_nothing_is_no_division_by_zero():
    out = io.StringIO()
    reporter = ConsoleReporter(out)
    reporter._total = 4
    reporter.iteration(
        {"iteration": 1, "steps": 1, "episodes": 0, "seconds": 22.5, "steps_per_second": 0.0, "mean_return": None}
    )
    assert "01:07 left" in out.getvalue()  # three more steps of 22.5 seconds
