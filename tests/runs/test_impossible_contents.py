"""Files with a right checksum that say what cannot be: one sentence, before anything is made of it.

``benchmarks/fuzz.py files`` does the same at every place.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import files
from support.interrupting import SMALL
from support.networks import loaded_backend, random_batch, random_weights, spec_of

from ppocore import Policy, resume, train
from ppocore.backend import Objective, OptimizerStep
from ppocore.errors import RunWarning, UsageError
from ppocore.files import RUN_FORMAT, run_files
from ppocore.files.schema import parse_json
from ppocore.policy import POLICY_FORMAT
from ppocore.runs import compare, encode_bundle, read_bundle, read_checkpoint, read_configuration, replay
from ppocore.runs.failed_updates import BUNDLE_FORMAT
from ppocore.training import FailedUpdate

TINY = SMALL.replace(
    num_envs=2, num_steps=8, minibatch_size=16, hidden_sizes=(3,), total_steps=48, normalize_observations=True,
    normalize_rewards=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good") / "run"
    train("CartPole-v1", TINY, run_dir=directory)
    return directory


@pytest.fixture
def run(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "run"))


def changed(path, change, form):
    """The file after ``change(description, tensors)``, with a right checksum."""
    return files.changed(path, lambda tensors, description: change(description, tensors), form)


def sentence(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def tensor(name, value, dtype=None):
    def change(description, tensors):
        old = tensors[name]
        tensors[name] = np.full(old.shape, value, old.dtype) if dtype is None else old.astype(dtype)

    return change


def entry(path, value):
    def change(description, tensors):
        *parents, last = path.split(".")
        for key in parents:
            description = description[key]
        description[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (entry("best", 5), "best is 5, expected an object"),
        (entry("best", {"return": "x", "steps": 1}), "best.return is 'x', expected a number"),
        (entry("best", {"return": 1.0, "steps": 64}), "best.steps is 64, more than the 48 steps"),
        (entry("counters.iterations", 1e308), "counters.iterations is 1e+308, expected an integer"),
        (entry("counters.iterations", 10**12), "48 steps are impossible in 1000000000000 iterations of 16"),
        (entry("counters.steps", True), "counters.steps is True, expected an integer"),
        (entry("counters.updates", 7), "adam.step is 6, but the run made 7 updates"),
        (entry("counters.episodes", 10**9), "1000000000 episodes are impossible in 48 steps"),
        (entry("seed", "x"), "seed is 'x', expected an integer"),
        (entry("actions.state.state", -1), "actions.state.state is -1, expected an integer"),
        (entry("learner.rate", 0.0), "learner.rate is 0.0, expected a finite number above 0"),
        (entry("observation_space.shape", [4, 10**9]), "the observation space does not fit the network's input"),
        (entry("action_space.n", 10**9), "the action space does not fit the network's output"),
        (entry("network.hidden_sizes", [0]), "network.hidden_sizes[0] is 0, expected an integer from 1"),
        (entry("config", []), "config is [], expected an object"),
        (tensor("adam.step", -1), "tensor adam.step has the entry -1, expected at least 0"),
        (tensor("adam.v.critic.output.bias", -1.0), "tensor adam.v.critic.output.bias has the entry -1.0"),
        (tensor("adam.m.critic.output.bias", np.nan), "tensor adam.m.critic.output.bias has entries that are not"),
        (tensor("actor.output.weight", None, "bool"), "tensor actor.output.weight has dtype bool, expected float32"),
        (tensor("actor.output.weight", np.inf), "tensor actor.output.weight has entries that are not finite"),
        (tensor("statistics.returns", np.nan), "tensor statistics.returns has entries that are not finite"),
        (tensor("statistics.lengths", -1), "tensor statistics.lengths has the entry -1"),
        (tensor("observation_normalizer.squares", -1.0), "tensor observation_normalizer.squares has the entry -1.0"),
        (tensor("reward_scaler.mean", np.nan), "tensor reward_scaler.mean has entries that are not finite"),
        (tensor("environments.observations", np.nan), "tensor environments.observations has entries that are not"),
        (lambda d, t: t.pop("adam.step"), "tensor adam.step is missing"),
        (lambda d, t: t.update({"adam.other": np.zeros(1)}), "tensor adam.other is unknown"),
        (lambda d, t: t.pop("reward_scaler.discounted"), "tensor reward_scaler.discounted is missing"),
    ],
)
def test_a_checkpoint(change, said, run):
    path = changed(run_files(run)[-1], change, RUN_FORMAT)
    assert said in sentence(read_checkpoint, path)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    assert said in sentence(resume, run)
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (tensor("environments.counts", 7), "environment 0 has the seed"),
        (tensor("environments.counts", None, "float64"), "tensor counts has dtype float64, expected int64"),
        (tensor("environments.observations", None, "float64"), "observations of dtype float64, expected float32"),
        (tensor("environments.actions", None, "float32"), "it has actions of dtype float32"),
    ],
)
def test_a_checkpoint_of_other_episodes(change, said, run):
    changed(run_files(run)[-1], change, RUN_FORMAT)
    assert said in sentence(resume, run)


def test_an_older_checkpoint_is_read_instead_of_an_impossible_one(tmp_path):
    run = tmp_path / "run"
    expected = train("CartPole-v1", TINY, run_dir=run, checkpoint_every=1).fingerprint
    changed(run_files(run)[-1], entry("best", 5), RUN_FORMAT)
    with pytest.warns(RunWarning, match="best is 5, expected an object; an older checkpoint is read instead"):
        assert resume(run).fingerprint == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (entry("action_space", {"kind": "multi_binary", "shape": [10**9], "dtype": "int8"}), "the action space does"),
        (entry("action_space.n", 2.0), "action_space.n is 2.0, expected an integer"),
        (entry("action_space.kind", "other"), "action_space.kind is 'other', expected one of discrete"),
        (entry("observation_space", {"kind": "discrete", "n": 10**9, "start": 0}), "1000000000 numbers, but the"),
        (entry("network.activation", "gelu"), "network.activation is 'gelu', expected one of tanh, relu"),
        (entry("network.observation_size", 10**9), "expected (1000000000, 3)"),
        (tensor("actor.output.weight", None, "float64"), "has dtype float64, expected float32"),
        (tensor("observation_normalizer.count", None, "float64"), "tensor observation_normalizer.count has dtype"),
    ],
)  # fmt: skip
def test_a_policy(change, said, run):
    assert said in sentence(Policy.load, changed(run / "policy.safetensors", change, POLICY_FORMAT))


def test_spaces_that_are_nested_too_deeply(run):
    def nest(description, tensors):
        for _ in range(40):
            description["observation_space"] = {"kind": "tuple", "spaces": [description["observation_space"]]}

    path = changed(run / "policy.safetensors", nest, POLICY_FORMAT)
    assert "the observation space is nested more than 32 deep" in sentence(Policy.load, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (entry("step.learning_rate", "1e-3"), "step.learning_rate is '1e-3', expected a number"),
        (entry("objective.clip", 1), "objective.clip is 1, expected true or false"),
        (entry("adam_epsilon", 1e308), "adam_epsilon is 1e+308, expected a finite number"),
        (entry("update", 0), "update is 0, expected an integer"),
        (entry("network.action_size", 10**9), "expected (5, 1000000000)"),
        (tensor("state.adam.step", -1), "tensor adam.step has the entry -1"),
        (lambda d, t: t.update({"batch.observations": np.zeros((10**9, 0))}), "tensor batch.observations is float64 ("),
        (lambda d, t: t.update({"batch.actions": np.zeros(16)}), "tensor batch.actions is float64 (16,)"),
        (lambda d, t: t.pop("batch.values"), "tensor batch.values is missing"),
    ],
)  # fmt: skip
def test_a_bundle(change, said, tmp_path):
    spec, rng = spec_of("categorical"), np.random.default_rng(2)
    weights = random_weights(spec, rng)
    batch = random_batch(spec, weights, rng, 16)
    failed = FailedUpdate.of(loaded_backend(spec, weights), spec, SMALL, batch, Objective(0.2), OptimizerStep(1e-3))
    path = tmp_path / "bundle.safetensors"
    path.write_bytes(encode_bundle(failed))
    assert replay(read_bundle(path)).error is None
    said = said.replace("(5, 1", f"({spec.hidden_sizes[-1]}, 1")
    assert said in sentence(read_bundle, changed(path, change, BUNDLE_FORMAT))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"seed": 0', '"seed": "x"', "seed is 'x', expected an integer"),
        ('"seed": 0', '"seed": 1.5', "seed is 1.5, expected an integer"),
        ('"seed": 0', '"seed": 1e999', "seed is inf, expected an integer"),
        ('"gamma": 0.99', '"gamma": NaN', "is not valid JSON: NaN is not JSON"),
        ('"total_steps": 48', '"total": 48', "config has no total_steps"),
        ('"every": 50', '"every": -1', "saving.every is -1, expected an integer"),
        ('"own_network": false', '"own_network": "no"', "own_network is 'no', expected true or false"),
        ('"env_given_as": "id"', '"env_given_as": 7', "env_given_as is 7, expected one of id"),
        ('"env": "CartPole-v1"', '"env": ["CartPole-v1"]', "env is a list, expected a string"),
    ],
)
def test_a_configuration(old, new, said, run):
    file = run / "config.json"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    for read in (read_configuration, resume, lambda path: compare([path, path])):
        assert said in sentence(read, run)


def test_json_that_is_nested_too_deeply(run):
    nested = "[" * 200_000
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(nested)
    with open(run / "metrics.jsonl", "a") as file:
        file.write(nested + "\n")
    assert "line 4 is not valid JSON" in sentence(compare, [run, run])
    assert len(resume(run).history) == 3
    (run / "config.json").write_text(nested)
    assert "is not valid JSON: it is nested too deeply" in sentence(resume, run)


def test_sizes_in_the_configuration_are_compared_before_environments_are_made(run, monkeypatch):
    monkeypatch.setattr("ppocore.runs.assembly.make_environments", None)
    file = run / "config.json"
    file.write_text(file.read_text().replace('"num_envs": 2', '"num_envs": 100000').replace("48", "800000"))
    assert "num_envs in" in sentence(resume, run)


@pytest.mark.parametrize(
    "text", ["os.system", "os:system", "json.decoder.JSONDecoder", {"x": ["os.path"]}, {"os.path": 1}]
)
def test_a_file_cannot_name_a_class_for_the_environment_to_import(text, run):
    file = run / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "env_kwargs": {"render_mode": text}}))
    said = sentence(resume, run)
    assert "for which a module could be imported: if you trust it, pass env='CartPole-v1'" in said


def test_other_texts_in_the_arguments_are_no_class_paths(run):
    file = run / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "env_kwargs": {"render_mode": "rgb_array"}}))
    assert resume(run).iterations == 3
    for harmless in ("no_such_module.xml", "a text. Of words", "v1.2", "4.5", "os", "/tmp/x.y"):
        file.write_text(json.dumps({**content, "env_kwargs": {"no_such_argument": harmless}}))
        assert "could not be made" in sentence(resume, run)


@pytest.mark.posix
def test_files_that_are_drawn():
    """`benchmarks/fuzz.py files` with 10,000."""
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, str(root / "benchmarks" / "fuzz.py"), "files", "--count", "250", "--jobs", "1"]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 cases, 0 failed" in done.stdout
