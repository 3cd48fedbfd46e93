"""Runs that a signal stops, or kills, at any instant."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.interrupting import rows

from ppocore import Policy, PPOConfig, resume, train

pytestmark = pytest.mark.posix


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_signal_ends_the_run_and_it_is_saved(number, vectorization, tmp_path):
    command = [sys.executable, "-m", "ppocore", "train", "CartPole-v1", "--run-dir", "run", "--steps", "10000000"]
    process = subprocess.Popen(
        [
            *command,
            "--no-anneal-learning-rate",
            "--no-anneal-clip-range",
            "--vectorization",
            vectorization,
            "--checkpoint-every",
            "0",
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)},
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the run is saved; resume with: ppocore resume run" in err
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    found = rows(tmp_path / "run")
    assert [row["iteration"] for row in found] == list(range(1, len(found) + 1))
    assert Policy.load(tmp_path / "run").act(np.zeros(4)) in (0, 1)
    steps = found[-1]["steps"] + 2048
    result = resume(tmp_path / "run", steps=steps)
    config = PPOConfig.from_dict(json.loads((tmp_path / "run" / "config.json").read_text())["config"])
    assert result.fingerprint == train("CartPole-v1", config).fingerprint


@pytest.mark.slow
def test_a_run_killed_at_random_equals_one_that_was_never_killed():
    """`benchmarks/kill.py` in full: 100 kills of each kind, on every backend."""
    script = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "kill.py"
    command = [sys.executable, str(script), "--kills", "8", "--backends", "numpy", "--json"]
    path = {"PYTHONPATH": os.pathsep.join([str(script.parent.parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 4
    assert all(row["equal"] and row["kills"] == 8 for row in found)
    assert "Traceback" not in done.stderr
