"""Importing ppocore is quick and imports only NumPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = {
    "Callback",
    "Run",
    "Runtime",
    "evaluate",
    "preset",
    "ObservationNormalizer",
    "PPOConfig",
    "Policy",
    "RewardScaler",
    "RolloutBuffer",
    "RunningMeanStd",
    "TrainResult",
    "__version__",
    "available_backends",
    "discounted_returns",
    "explained_variance",
    "gae",
    "lambda_returns",
    "masked_whiten",
    "n_step_returns",
    "normalize",
    "register_backend",
    "resume",
    "successor_values",
    "td_residuals",
    "token_gae",
    "train",
    "vtrace",
}


def python(code, *, cwd):
    """The JSON on the last line of a fresh interpreter's output."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_ppocore_brings_in_nothing_but_numpy_and_the_standard_library(tmp_path):
    roots = python(
        "import json, sys, numpy\n"
        "before = set(sys.modules)\n"
        "import ppocore\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(roots - sys.stdlib_module_names)))",
        cwd=tmp_path,
    )
    assert set(roots) <= {"ppocore", "numpy"}


def test_the_array_functions_need_no_framework_and_no_gymnasium(tmp_path):
    heavy = python(
        "import json, os, sys\n"
        "os.environ['PPOCORE_NUMBA'] = '0'\n"  # where it is installed, Numba brings in scipy
        "import numpy\n"
        "from ppocore import gae, normalize, PPOConfig, RolloutBuffer, available_backends\n"
        "gae(*[numpy.zeros(3)] * 3, *[numpy.zeros(3, bool)] * 2)\n"
        "available_backends()\n"
        "names = 'torch paddle jax tensorflow gymnasium hypothesis tqdm safetensors scipy'.split()\n"
        "print(json.dumps([name for name in names if name in sys.modules]))",
        cwd=tmp_path,
    )
    assert heavy == []


@pytest.mark.parametrize("package", ["spaces", "files", "distributions", "networks"])
def test_the_packages_of_plain_data_bring_in_numpy_alone_and_have_what_they_list(package, tmp_path):
    absent, roots = python(
        "import json, sys, numpy\n"
        "before = set(sys.modules)\n"
        f"import ppocore.{package} as package\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "absent = [name for name in package.__all__ if not hasattr(package, name)]\n"
        "print(json.dumps([absent, sorted(roots - sys.stdlib_module_names)]))",
        cwd=tmp_path,
    )
    assert absent == []
    assert set(roots) <= {"ppocore", "numpy"}


def test_the_import_takes_at_most_100_ms_of_the_processor_beyond_numpy(tmp_path):
    seconds = [
        python(
            "import numpy, time\nstart = time.process_time()\nimport ppocore\nprint(time.process_time() - start)",
            cwd=tmp_path,
        )
        for _ in range(5)
    ]
    assert min(seconds) <= 0.1, seconds


def test_every_public_name_resolves_and_is_listed(tmp_path):
    found = python(
        "import json, ppocore\n"
        "listed, declared = dir(ppocore), ppocore.__all__\n"
        "for name in declared: getattr(ppocore, name)\n"
        "print(json.dumps([declared, listed]))",
        cwd=tmp_path,
    )
    declared, listed = map(set, found)
    assert declared == PUBLIC
    others = {name for name in listed - PUBLIC if not name.startswith("__")}
    assert others <= {path.stem for folder in (ROOT, ROOT / "ppocore") for path in folder.iterdir()}  # its modules
    assert listed >= PUBLIC


@pytest.mark.parametrize("name", ["normalize"])
def test_a_function_whose_module_has_the_same_name_stays_the_function(name, tmp_path):
    kind = python(
        f"import json, ppocore.{name}, ppocore.training.trainer\n"
        f"from ppocore.{name} import {name}\n"
        f"print(json.dumps([ppocore.{name} is {name}, type(ppocore.{name}).__name__]))",
        cwd=tmp_path,
    )
    assert kind == [True, "function"]


def test_an_unknown_name_is_an_attribute_error_that_names_it(tmp_path):
    message = python(
        "import json, ppocore\ntry: ppocore.gea\nexcept AttributeError as error: print(json.dumps(str(error)))",
        cwd=tmp_path,
    )
    assert message == "module 'ppocore' has no attribute 'gea'"


@pytest.mark.parametrize("name", ["ppocore.ppocore", "ppocore.tests", "ppocore.benchmarks", "ppocore.examples"])
def test_a_checkout_gives_backends_and_envs_and_nothing_else(name, tmp_path):
    found = python(
        "import json, importlib.util, ppocore.backends.numpy_backend, ppocore.envs\n"
        f"print(json.dumps(importlib.util.find_spec({name!r}) is not None))",
        cwd=tmp_path,
    )
    assert found is False


@pytest.mark.parametrize(
    "name", ["advantages", "networks", "spaces", "files", "distributions", "training", "normalize", "runs", "cli"]
)
def test_what_needs_no_environment_is_imported_without_gymnasium(name, tmp_path):
    heavy = python(
        "import json, sys\n"
        f"import ppocore.{name}\n"
        "names = 'torch paddle jax gymnasium hypothesis tqdm safetensors scipy'.split()\n"
        "print(json.dumps([name for name in names if name in sys.modules]))",
        cwd=tmp_path,
    )
    assert heavy == []
