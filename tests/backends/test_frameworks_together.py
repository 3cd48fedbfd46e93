"""Torch and paddle work in one process in either order, and evaluating a run imports neither."""

import json
import os
import subprocess
import sys

import pytest

from ppocore import PPOConfig, train
from ppocore.registry import available_backends

CONFIG = {"total_steps": 1024, "num_envs": 4, "num_steps": 64, "minibatch_size": 64, "hidden_sizes": (16,)}
FRAMEWORKS = ("torch", "paddle")

pytestmark = pytest.mark.skipif(
    any(available_backends()[name] is not None for name in FRAMEWORKS), reason="torch and paddle are not both installed"
)


def python(code):
    """The JSON on the last line of a fresh interpreter's output."""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=["CartPole-v1", "Pendulum-v1"])
def env(request):
    return request.param


@pytest.fixture(scope="module")
def fingerprint(env):
    return train(env, PPOConfig(**CONFIG), backend="numpy", seed=2).fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("first", FRAMEWORKS)
def test_both_in_one_process_give_numpys_fingerprint_in_either_order(first, env, fingerprint):
    second = FRAMEWORKS[1 - FRAMEWORKS.index(first)]
    found = python(
        f"import json, {first}, {second}\n"
        "from ppocore import PPOConfig, train\n"
        f"config = PPOConfig(**{CONFIG!r})\n"
        f"runs = [train({env!r}, config, backend=b, seed=2).fingerprint for b in ({first!r}, {second!r}, {first!r})]\n"
        "print(json.dumps(runs))"
    )
    assert found == [fingerprint] * 3


def test_evaluating_and_loading_what_torch_wrote_imports_no_framework(tmp_path):
    train("CartPole-v1", PPOConfig(**CONFIG), backend="torch", seed=2, run_dir=tmp_path / "run")
    code = (
        "import json, sys, numpy as np\n"
        "from ppocore import Policy, cli\n"
        f"run = {str(tmp_path / 'run')!r}\n"
        "Policy.load(run).act(np.zeros(4, np.float32))\n"
        "assert cli.main(['evaluate', run, '--episodes', '2', '--json']) == 0\n"
        "print(json.dumps(sorted({'torch', 'paddle'} & set(sys.modules))))"
    )
    assert python(code) == []
