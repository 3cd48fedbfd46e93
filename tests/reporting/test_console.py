"""What the console shows: on a terminal of any width, elsewhere, and where nothing can be written."""

import io
import os
import re
import subprocess
import sys

import pytest
from support.interrupting import SMALL

from ppocore import train
from ppocore.errors import RunWarning
from ppocore.reporting import make_reporters
from ppocore.reporting.console import ConsoleReporter

OPTIONS = "--steps 4096 --num-envs 4 --num-steps 32 --minibatch-size 64 --update-epochs 1 --hidden-sizes 8".split()


def metrics(iteration, steps=64, rate=100.0):
    return {
        "iteration": iteration,
        "steps": steps * iteration,
        "episodes": iteration,
        "mean_return": 1.5,
        "seconds": steps * iteration / rate,
        "steps_per_second": rate,
    }


def test_elsewhere_there_is_a_line_a_second_at_most_and_the_last_one():
    times = iter([0.0, 0.5, 0.99, 1.0, 1.5, 2.5, 2.6])
    stream = io.StringIO()
    reporter = ConsoleReporter(stream, clock=lambda: next(times))
    for iteration in range(1, 8):
        reporter.iteration(metrics(iteration))
    assert [int(n) for n in re.findall(r"^iteration +(\d+) ", stream.getvalue(), re.MULTILINE)] == [1, 4, 6]
    reporter.close()
    assert [int(n) for n in re.findall(r"^iteration +(\d+) ", stream.getvalue(), re.MULTILINE)] == [1, 4, 6, 7]
    reporter.close()
    assert stream.getvalue().count("iteration ") == 4


class Unwritable(io.StringIO):
    """A stream like a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_stream_that_cannot_be_written_costs_the_reporter_and_not_the_run(tmp_path):
    with pytest.warns(RunWarning, match=r"reporter ConsoleReporter failed in begin \(OSError: .*No space"):
        result = train("CartPole-v1", SMALL, reporters=[ConsoleReporter(Unwritable())], run_dir=tmp_path / "run")
    assert result.fingerprint == train("CartPole-v1", SMALL).fingerprint
    assert (tmp_path / "run" / "policy.safetensors").exists()


def test_a_program_without_standard_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    train("CartPole-v1", SMALL, reporters=make_reporters(["console"]))
    assert capsys.readouterr().out == ""


@pytest.mark.posix
@pytest.mark.parametrize("unbuffered", ["", "1"])  # what was not written waits for the end, or does not
@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-", ">&- 2>&-", "2>&1 >/dev/null | head -n 1"])
def test_a_progress_line_that_cannot_be_written_does_not_end_training(redirected, unbuffered, tmp_path):
    command = f"set -o pipefail; {sys.executable} -m ppocore train CartPole-v1 {' '.join(OPTIONS)} --run-dir run"
    done = subprocess.run(
        ["bash", "-c", f"{command} {redirected}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 32
    assert (tmp_path / "run" / "policy.safetensors").exists()


@pytest.mark.posix
@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_result_that_cannot_be_written_is_a_failure_but_the_run_is_saved(option, tmp_path):
    command = f"{sys.executable} -m ppocore train CartPole-v1 {' '.join(OPTIONS)} --run-dir run {option} >/dev/full"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ppocore train: standard output cannot be written (No space left on device)"
    )
    assert (tmp_path / "run" / "policy.safetensors").exists()


@pytest.mark.posix
@pytest.mark.parametrize(("columns", "least"), [(60, 20), (80, 18), (120, 30)])
def test_the_bar_fits_a_terminal_and_is_long_enough(columns, least):
    import fcntl
    import pty
    import struct
    import termios

    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with open(secondary, "w", encoding="utf-8") as stream:
        reporter = ConsoleReporter(stream)
        reporter.begin(type("Start", (), {"preset": "", "given": {}, "config": SMALL, "run_dir": None, **START})())
        reporter.iteration(metrics(6, rate=12345.6))
        reporter._bar.refresh()
        reporter.close()
        os.set_blocking(primary, False)
        shown = b""
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:
                break
            shown += piece
    os.close(primary)
    lines = re.split(r"[\r\n]+", shown.decode())
    assert max(map(len, lines)) <= columns
    bars = [line for line in lines if "%|" in line]
    assert bars
    for line in bars:
        assert len(line) <= columns
        assert len(line.split("|")[1]) >= least, line
        assert line.rstrip().endswith("left"), line
    assert " 50%|" in bars[-1]
    assert "return 1.50" in bars[-1]


START = {"env": "E", "backend": "b", "seed": 0, "steps": 0}


@pytest.mark.posix
def test_no_word_is_broken_on_a_narrow_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    reporter = ConsoleReporter(stream)
    reporter._columns = lambda: 40
    text = "saved in runs/CartPole-v1-numpy-s0 with num_envs=8, num_steps=128 and a-very-long-word-of-fifty-characters"
    reporter._write(text)
    assert stream.getvalue().split() == text.split()
