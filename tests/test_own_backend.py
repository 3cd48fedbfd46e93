"""The example of a user's own backend, checked by the command as MODULE:CLASS, as its docstring says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


def check(target, cwd=ROOT):
    """The process of ``ppocore check-backend`` with few examples."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "ppocore", "check-backend", target, "--examples", "3", "--json"]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240)


def test_the_example_passes_every_property():
    target = "examples.own_backend:OwnBackend"
    assert f"ppocore check-backend {target}\n" in (ROOT / "examples" / "own_backend.py").read_text(encoding="utf-8")
    done = check(target)
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"], report["backend"]) == (0, True, "OwnBackend"), done.stderr
    assert all(result["examples"] for result in report["properties"])


@pytest.mark.slow
def test_the_example_ends_with_the_fingerprint_of_the_numpy_backend():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "examples" / "own_backend.py"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (own, ours), (numpy, theirs) = (line.split() for line in done.stdout.splitlines())
    assert (own, numpy) == ("own", "numpy")
    assert ours == theirs


def test_a_backend_in_the_working_directory_is_found_and_its_mistake_too(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ppocore.backends.numpy_backend import NumpyBackend\n\n\n"
        "class Wrong(NumpyBackend):\n"
        "    def forward(self, observations):\n"
        "        parameters, values = super().forward(observations)\n"
        "        return parameters, 2.0 * values + 1.0\n"
    )
    done = check("mine:Wrong", cwd=tmp_path)
    failed = [result for result in json.loads(done.stdout)["properties"] if not result["passed"]]
    assert done.returncode == 1
    assert "forward" in [result["name"] for result in failed]
    assert "from mine import Wrong as factory" in failed[0]["failure"]["code"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (":Mine", "':Mine' names no class: give MODULE:CLASS, for instance my_package.backend:MyBackend"),
        ("nothing_of_that_name:Mine", "nothing_of_that_name cannot be imported"),
        ("examples.own_backend:Mine", "examples.own_backend has no Mine: name a class of it"),
        ("examples.own_backend:__doc__", "not a class"),
    ],
)
def test_what_names_no_backend_is_one_line(target, message):
    done = check(target)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
