"""The command line: its output, its files and its exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ppocore.cli import main
from ppocore.presets import PRESETS

QUICK = "--steps 512 --num-envs 4 --num-steps 32 --minibatch-size 64 --update-epochs 1 --hidden-sizes 8".split()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *arguments: str) -> str:
    """The one line of an error message."""
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    assert status == 2
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    return lines[0]


def test_train_then_evaluate(capsys, tmp_path):
    assert main(["train", "CartPole-v1", *QUICK, "--run-dir", "here", "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out.splitlines()[-1])
    assert (
        list(summary)
        == (
            "env backend seed steps iterations episodes mean_return steps_per_second wall_seconds fingerprint run_dir"
        ).split()
    )
    assert summary["steps"] == 512
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == [
        ".lock",
        "best.safetensors",
        "config.json",
        "metrics.jsonl",
        "policy.safetensors",
        "run-000000000512.safetensors",
    ]
    assert captured.err.startswith("preset for CartPole-v1: ")
    assert f"\ngiven: {' '.join(QUICK)}\n" in captured.err
    assert "iteration     1 " in captured.err
    assert "iteration     4 " in captured.err
    assert f"fingerprint {summary['fingerprint']}" in captured.err
    assert main(["evaluate", "here", "--episodes", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == "env episodes mean_return std_return min_return max_return cut_off".split()
    assert result["episodes"] == 3
    assert main(["evaluate", "here", "--episodes", "3", "--stochastic", "--seed", "1"]) == 0
    assert "over 3 episodes" in capsys.readouterr().out


def test_default_run_directories_do_not_collide(capsys, tmp_path):
    for _ in range(2):
        assert main(["train", *QUICK, "--quiet"]) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["CartPole-v1-numpy-s0", "CartPole-v1-numpy-s0-2"]
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert re.fullmatch("fingerprint [0-9a-f]{64}", first)


def test_settings_reach_the_run(capsys, tmp_path):
    arguments = "--no-anneal-learning-rate --hidden-sizes 5 6 --target-kl none --value-clip-range 0.2 --steps 1_024"
    assert main(["train", *QUICK, *arguments.split(), "--run-dir", "here"]) == 0
    config = json.loads((tmp_path / "here" / "config.json").read_text())["config"]
    assert config["hidden_sizes"] == [5, 6]
    assert config["anneal_learning_rate"] is False
    assert config["target_kl"] is None
    assert config["value_clip_range"] == 0.2
    assert config["total_steps"] == 1024
    assert config["gamma"] == PRESETS["CartPole-v1"]["gamma"]


def test_backends(capsys):
    assert main(["backends"]) == 0
    assert "numpy" in capsys.readouterr().out
    assert main(["backends", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["numpy"] == {"available": True, "install": None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "CartPoel-v1", *QUICK], "CartPole-v1"),
        (["train", *QUICK, "--backend", "tourch"], "there is no backend 'tourch'"),
        (["train", *QUICK, "--gamma", "1.5"], "--gamma 1.5 is out of range: it must be between 0 and 1"),
        (["train", *QUICK, "--gae-lambda", "-0.1"], "--gae-lambda -0.1"),
        (["train", *QUICK, "--minibatch-size", "1000"], "--minibatch-size 1000 is larger than the rollout"),
        (["train", *QUICK, "--gama", "0.9"], "unknown argument --gama; did you mean --gamma?"),
        (["train", *QUICK, "--steps", "many"], "--steps/--total-steps: invalid whole number value: 'many'"),
        (["train", *QUICK, "--precision", "half"], "--precision half is out of range"),
        (["train", *QUICK, "--seed", "-3"], "--seed -3"),
        (["evaluate", "nowhere"], "there is no policy at nowhere"),
        (["trian"], "trian"),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, list) else None,
)
def test_wrong_usage_is_reported_in_one_line_and_writes_nothing(arguments, said, capsys, tmp_path):
    quiet = ["--quiet"] if arguments[:1] == ["train"] else []  # otherwise the settings are printed first
    assert said in refused(capsys, *arguments, *quiet)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_run_directory(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written to" in refused(capsys, "train", *QUICK, "--quiet", "--run-dir", "file/run")


@pytest.mark.posix
def test_ctrl_c_saves_the_policy_and_prints_how_to_resume(tmp_path):
    arguments = "train CartPole-v1 --run-dir here --steps 100000000 --no-anneal-learning-rate".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "ppocore", *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "here" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the run is saved; resume with: ppocore resume here" in err
    assert "Traceback" not in err
    assert main(["evaluate", "here", "--episodes", "1"]) == 0


@pytest.mark.posix
def test_a_terminal_shows_a_progress_bar(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ppocore", "train", *QUICK, "--steps", "20000", "--run-dir", "here"],
        stderr=secondary,
        stdout=subprocess.DEVNULL,
    )
    os.close(secondary)
    shown = b""
    while True:
        try:
            piece = os.read(primary, 4096)
        except OSError:  # on Linux, the other end was closed
            break
        if not piece:
            break
        shown += piece
    process.wait(timeout=60)
    os.close(primary)
    text = shown.decode()
    assert process.returncode == 0
    assert "%|" in text  # tqdm's bar
    assert "return " in text
    assert "steps/s" in text
    assert "iteration " not in text  # the plain lines are for files
