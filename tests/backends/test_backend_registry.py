"""Backends are found by name: built-in ones, registered ones, and those of installed packages."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from ppocore import PPOConfig, registry, train
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import MissingBackendError, UsageError
from ppocore.registry import available_backends, backend_factory, register_backend


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


class Counted(NumpyBackend):
    """A user's own backend."""

    made = 0

    def __init__(self, spec, **settings):
        type(self).made += 1
        super().__init__(spec, **settings)


def test_a_registered_backend_is_listed_found_and_trained_with():
    register_backend("counted", Counted)
    assert available_backends()["counted"] is None
    assert backend_factory("counted") is Counted
    config = PPOConfig(total_steps=256, num_envs=2, num_steps=64, minibatch_size=64)
    before = Counted.made
    assert train("CartPole-v1", config, backend="counted").fingerprint == train("CartPole-v1", config).fingerprint
    assert Counted.made > before


@pytest.mark.parametrize("name", ["numpy", "torch", "paddle", "jax", "counted"])
def test_a_name_that_is_taken_is_refused(name):
    register_backend("counted", Counted)
    with pytest.raises(UsageError, match=f"a backend named '{name}' already exists"):
        register_backend(name, Counted)


@pytest.mark.parametrize("factory", [None, "module:Class", 3])
def test_a_factory_that_is_not_callable_is_refused(factory):
    with pytest.raises(TypeError, match="the factory of backend 'mine' must be callable"):
        register_backend("mine", factory)
    assert "mine" not in available_backends()


@pytest.mark.parametrize(("name", "hint"), [("torhc", "'torch'"), ("Paddle", "'paddle'"), ("nunpy", "'numpy'")])
def test_an_unknown_name_is_refused_with_the_closest(name, hint):
    with pytest.raises(UsageError, match=f"there is no backend '{name}'; did you mean {hint}"):
        backend_factory(name)


def test_a_name_without_a_close_match_is_refused_with_all_names():
    with pytest.raises(UsageError, match=r"no backend 'xyzzy' \(choose from: numpy, torch, paddle, jax\)$"):
        backend_factory("xyzzy")


@pytest.mark.parametrize("name", ["torch", "paddle", "jax"])
def test_a_missing_framework_is_one_line_with_the_extra(name, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module, *a: None if module == name else find(module, *a))
    with pytest.raises(MissingBackendError) as raised:
        backend_factory(name)
    message = f"backend {name!r} cannot be used: {name} is not installed: pip install 'ppocore[{name}]'"
    assert str(raised.value) == message
    assert isinstance(raised.value, ImportError)
    assert available_backends()[name] == f"{name} is not installed: pip install 'ppocore[{name}]'"


@pytest.mark.parametrize(
    ("name", "distribution", "version", "needed"),
    [
        ("torch", "torch", "2.3.1+cpu", "2.4"),
        ("paddle", "paddlepaddle", "2.6.2", "3.0"),
        ("jax", "jax", "0.9.2", "0.10"),
    ],
)
def test_a_framework_that_is_too_old_is_one_line_with_the_extra(name, distribution, version, needed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: object())
    old = {distribution: version}

    def versions(asked):
        if asked not in old:
            raise importlib.metadata.PackageNotFoundError(asked)
        return old[asked]

    monkeypatch.setattr(importlib.metadata, "version", versions)
    message = f"{distribution} {version} is too old, {needed} is needed: pip install 'ppocore[{name}]'"
    with pytest.raises(MissingBackendError, match=re.escape(message)):
        backend_factory(name)


PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "elsewhere"
version = "1.0"

[project.entry-points."ppocore.backends"]
elsewhere = "elsewhere:ElsewhereBackend"

[tool.setuptools]
py-modules = ["elsewhere"]
"""
MODULE = '''
"""A backend of another package."""

from ppocore.backends.numpy_backend import NumpyBackend


class ElsewhereBackend(NumpyBackend):
    """The numpy backend by another name."""

    name = "elsewhere"
'''


@pytest.fixture(scope="module")
def ppocore(tmp_path_factory):
    """Runs the command where a package with an entry point is installed; standard output."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "elsewhere.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    installed = subprocess.run([*pip, "--target", str(site), str(source)], capture_output=True, text=True, timeout=240)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*arguments, code=None, cwd=site):
        command = [sys.executable, *(["-c", code] if code else ["-m", "ppocore", *map(str, arguments)])]
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_a_package_with_an_entry_point_is_listed(ppocore):
    listed = json.loads(ppocore("backends", "--json"))
    assert listed["elsewhere"] == {"available": True, "install": None}


def test_listing_names_imports_neither_the_package_nor_a_framework(ppocore):
    code = (
        "import json, sys\nfrom ppocore import available_backends\nnames = list(available_backends())\n"
        "print(json.dumps([names, sorted({'elsewhere', 'torch', 'paddle', 'jax'} & set(sys.modules))]))"
    )
    names, imported = json.loads(ppocore(code=code))
    assert "elsewhere" in names
    assert imported == []


@pytest.mark.slow
def test_the_backend_of_a_package_is_checked_by_its_name(ppocore):
    report = json.loads(ppocore("check-backend", "elsewhere", "--examples", "2", "--json").splitlines()[-1])
    assert (report["backend"], report["passed"]) == ("elsewhere", True)


def test_the_backend_of_a_package_trains(ppocore, tmp_path):
    arguments = ["--steps", "512", "--num-steps", "32", "--seed", "3", "--quiet", "--json"]
    summaries = [
        json.loads(ppocore("train", "CartPole-v1", "--backend", name, "--run-dir", tmp_path / name, *arguments))
        for name in ("elsewhere", "numpy")
    ]
    assert summaries[0]["backend"] == "elsewhere"
    assert summaries[0]["fingerprint"] == summaries[1]["fingerprint"]
