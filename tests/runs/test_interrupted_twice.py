"""Ctrl-C that is pressed again while the run is saved."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.interrupting import SMALL, rows, whole

from ppocore import Callback, resume, train

pytestmark = pytest.mark.posix

PROGRAM = """
import os, signal, sys
import ppocore
from support.interrupting import SMALL

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where this was started in the background

class Presses(ppocore.Callback):
    def on_iteration(self, run):
        if run.progress.iterations == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def on_end(self, run, error):
        assert isinstance(error, KeyboardInterrupt)
        for _ in range(int(sys.argv[1])):
            os.kill(os.getpid(), signal.SIGINT)
        print("ended")

result = ppocore.train("CartPole-v1", SMALL, seed=5, run_dir="run", callbacks=[Presses()])
assert result.interrupted, result
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_the_second_is_answered_and_the_run_is_saved(tmp_path):
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ended\n"  # once: the second Ctrl-C did not interrupt it
    assert done.stderr == "ppocore: the run is being saved; press Ctrl-C again to abandon that\n"
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2, 3]
    resume(tmp_path / "run")
    assert rows(tmp_path / "run") == whole(tmp_path, "CartPole-v1", SMALL)[0]


def test_the_third_interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = []

    class Presses(Callback):
        def on_iteration(self, run):
            signal.raise_signal(signal.SIGINT)

        def on_end(self, run, error):
            calls.append(error)
            if len(calls) == 1:
                signal.raise_signal(signal.SIGINT)
                calls.append("second")
                signal.raise_signal(signal.SIGINT)
                calls.append("third")

    try:
        assert train("CartPole-v1", SMALL, callbacks=[Presses()]).interrupted
    finally:
        signal.signal(signal.SIGINT, before)
    assert [call if isinstance(call, str) else type(call) for call in calls] == [
        KeyboardInterrupt,
        "second",
        KeyboardInterrupt,  # and `on_end` is called again
    ]


def test_a_callback_that_handles_the_first_makes_the_next_the_first():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []

    def handle(run):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            seen.append(run.progress.iterations)

    try:
        assert not train("CartPole-v1", SMALL, callbacks=[handle]).interrupted
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == list(range(1, 13))
