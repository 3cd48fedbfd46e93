"""A run that fails for any reason is saved, and the error says how to resume it."""

import errno
import json
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from support.interrupting import SMALL, contents, rows, whole
from support.networks import loaded_backend, random_batch, random_weights, spec_of

from ppocore import Policy, resume, train
from ppocore.backend import Objective, OptimizerStep
from ppocore.cli import main
from ppocore.errors import EnvironmentFault, NonFiniteError, OutputError, RunWarning, UsageError
from ppocore.files import encode, read, run_files
from ppocore.registry import available_backends
from ppocore.runs import encode_bundle, read_bundle, replay, replay_lines
from ppocore.runs.failed_updates import BUNDLE_FORMAT
from ppocore.training import FailedUpdate

pytestmark = pytest.mark.posix


class Walk(gym.Env):
    """A random walk; calls `fault` in step `at` of all steps of this process's environments, unless it is None."""

    observation_space, action_space = Box(-1e6, 1e6, (2,), np.float32), Discrete(3)
    fault, at, steps = None, 150, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.normal(size=2)
        return self.place.astype(np.float32), {}

    def step(self, action):
        Walk.steps += 1
        self.t += 1
        self.place = self.place + self.np_random.normal(size=2) * (action - 1)
        observation, reward = self.place.astype(np.float32), -float(abs(self.place).sum())
        if Walk.fault is not None and Walk.steps == Walk.at:
            observation, reward = Walk.fault(observation, reward)
        return observation, reward, self.t == 23, False, {}


def raising(observation, reward):
    raise LookupError("no such joint")


def hanging(observation, reward):
    time.sleep(60)
    return observation, reward


def dying(observation, reward):
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "raises": (raising, r"LookupError: no such joint"),
    "nan observation": (lambda o, r: (o * np.nan, r), r"gave the observation with nan at \[0\]"),
    "infinite reward": (lambda o, r: (o, np.inf), "gave the reward inf"),
    "wrong shape": (lambda o, r: (np.zeros(3, np.float32), r), r"shape \(3,\)"),
    "hangs": (hanging, r"it took longer than env_timeout=0\.5 seconds"),
}
TIMED = {"env_timeout": 0.5}


@pytest.fixture(autouse=True)
def mended():
    Walk.fault, Walk.steps, Walk.at = None, 0, 150
    yield
    Walk.fault = None


class TestEnvironments:
    @pytest.mark.parametrize("vectorization", ["sync", "async"])
    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault_is_named_and_the_run_is_saved_and_resumed(self, fault, vectorization, tmp_path):
        run = tmp_path / "run"
        Walk.fault, said = FAULTS[fault]
        # Each worker counts its own steps: the third rollout in one process, or in each of four.
        Walk.at = 150 if vectorization == "sync" else 40
        with pytest.raises(EnvironmentFault, match=said) as caught:
            train(Walk, SMALL, seed=5, run_dir=run, runtime=TIMED | {"vectorization": vectorization})
        message = str(caught.value)
        assert "\n" not in message
        index = re.search(r"environment (\d)", message)
        assert int(index[1]) == (1 if vectorization == "sync" else 0)
        assert re.search(r"episode seed \d+; last action [012]\)", message)
        assert (
            f"saved in {run}, the traceback in its fault.txt; fix the cause and resume with: "
            f"ppocore.resume({str(run)!r}, env=...)"
        ) in message
        assert multiprocessing.active_children() == []
        trace = (run / "fault.txt").read_text()
        assert "EnvironmentFault" in trace
        if fault == "raises":
            assert 'raise LookupError("no such joint")' in trace
        assert [row["iteration"] for row in rows(run)] == [1, 2]
        assert Policy.load(run).act(np.zeros(2)) in (0, 1, 2)
        Walk.fault = None
        resume(run, env=Walk)
        assert contents(run) == whole(tmp_path, Walk, SMALL)

    def test_a_worker_that_dies(self, tmp_path):
        Walk.fault, Walk.at = dying, 40
        with pytest.raises(EnvironmentFault, match=r"its worker process ended \(exit code -9\).*ppocore.resume\("):
            train(Walk, SMALL, run_dir=tmp_path / "run", runtime={"vectorization": "async"})
        assert multiprocessing.active_children() == []
        assert len(run_files(tmp_path / "run")) == 1

    def test_a_reset_that_hangs(self):
        class Slow(Walk):
            def reset(self, **settings):
                time.sleep(30)

        with pytest.raises(EnvironmentFault, match=r"environment 0 failed in reset, .* longer than env_timeout=0\.5"):
            train(Slow, SMALL, runtime=TIMED)

    def test_a_timeout_changes_neither_the_signals_nor_the_run(self):
        before = signal.getsignal(signal.SIGALRM)
        assert train(Walk, SMALL, runtime=TIMED).fingerprint == train(Walk, SMALL).fingerprint
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_without_a_run_directory_the_error_mentions_none(self):
        Walk.fault = raising
        with pytest.raises(EnvironmentFault) as caught:
            train(Walk, SMALL)
        assert str(caught.value).endswith("LookupError: no such joint")


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullDisk:
    """A reporter that fills the disk after one iteration and empties it after another."""

    def __init__(self, monkeypatch, first, last):
        self.monkeypatch, self.first, self.last = monkeypatch, first, last

    def begin(self, start): ...
    def close(self): ...
    def end(self, result): ...
    def iteration(self, metrics):
        if metrics["iteration"] == self.first:
            self.monkeypatch.setattr(os, "fsync", full)
        if metrics["iteration"] == self.last:
            self.monkeypatch.undo()


class TestFullDisk:
    def test_older_checkpoints_stay_and_the_run_continues(self, tmp_path, monkeypatch):
        run = tmp_path / "run"
        sentence = (
            r"run-000000000384.safetensors could not be written \(No space left on device\): the run continues, its "
        )
        with pytest.warns(RunWarning, match=sentence + r"newest checkpoint is run-000000000192"):
            train(
                "CartPole-v1", SMALL, seed=5, run_dir=run, checkpoint_every=3, reporters=[FullDisk(monkeypatch, 5, 8)]
            )  # fmt: skip
        assert [file.name[-8 - 12 : -12] for file in run_files(run)] == ["00000192", "00000576", "00000768"]
        assert not list(run.glob(".*.tmp"))
        assert rows(run) == whole(tmp_path, "CartPole-v1", SMALL, checkpoint_every=3)[0]

    def test_before_the_run_starts_it_is_a_usage_error(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UsageError, match=r"run directory .* cannot be read or written \(No space left on device\)"):
            train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
        monkeypatch.undo()
        assert train("CartPole-v1", SMALL, run_dir=tmp_path / "run").iterations == 12

    def test_at_the_end_the_error_says_how_to_resume(self, tmp_path, monkeypatch):
        run = tmp_path / "run"
        with (
            pytest.warns(RunWarning),
            pytest.raises(OutputError, match=r"policy could not be written .*No space left.* ppocore resume") as caught,
        ):
            train(
                "CartPole-v1", SMALL, seed=5, run_dir=run, checkpoint_every=5, reporters=[FullDisk(monkeypatch, 7, 99)]
            )
        assert "\n" not in str(caught.value)
        monkeypatch.undo()
        resume(run)
        assert contents(run) == whole(tmp_path, "CartPole-v1", SMALL, checkpoint_every=5)

    def test_lines_of_metrics_are_kept_until_they_can_be_written(self, tmp_path, monkeypatch):
        from ppocore.reporting import jsonl

        path = tmp_path / "metrics.jsonl"
        sink, room = jsonl.MetricsFile(path), 20
        original = sink._file

        class Small:
            """A file on a disk with room for some bytes."""

            def write(self, data):
                nonlocal room
                if not room:
                    full()
                written = original.write(bytes(data[:room]))
                room -= written
                return written

            def __getattr__(self, name):
                return getattr(original, name)

        sink._file = Small()
        said = r"metrics\.jsonl could not be written \(No space left on device\)"
        sink.on_iteration(SimpleNamespace(metrics={"iteration": 1}))
        with pytest.warns(RunWarning, match=said):
            sink.on_iteration(SimpleNamespace(metrics={"iteration": 2}))
        sink.on_iteration(SimpleNamespace(metrics={"iteration": 3}))  # a second warning would be an error
        assert path.read_bytes() == b'{"iteration": 1}\n'  # no partial line
        room = 1000
        sink.on_iteration(SimpleNamespace(metrics={"iteration": 4}))
        assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
        sink.on_end(SimpleNamespace(complete=True), None)


class TestNotFinite:
    DIVERGING = SMALL.replace(learning_rate=1e38, anneal_learning_rate=False, max_grad_norm=None)

    @pytest.mark.parametrize("backend", ["numpy", "torch", "paddle", "jax"])
    def test_a_bundle_is_reproduced_in_numpy(self, backend, tmp_path, capsys):
        if available_backends()[backend] is not None:
            pytest.skip(f"{backend} is not installed")
        with pytest.raises(NonFiniteError, match="is not finite") as caught:
            train("CartPole-v1", self.DIVERGING, backend=backend, run_dir=tmp_path / "run")
        message = str(caught.value)
        assert "resumed with the same settings it would fail again: lower the learning rate" in message
        path = re.search(r"examined with: ppocore replay (\S+\.safetensors)", message)[1]
        bundle = read_bundle(path)
        outcome = replay(bundle)
        assert bundle.backend == backend
        assert outcome.error is not None
        assert f"at update {bundle.update}:" in outcome.error
        assert outcome.first is not None
        assert main(["replay", path]) == 0
        assert "reproduced: " in capsys.readouterr().out
        assert main(["replay", path, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["reproduced"]
        assert printed["first"] == outcome.first.name

    def test_the_first_quantity_that_is_not_finite_is_named_with_its_index(self, tmp_path):
        bundle = healthy(tmp_path)
        advantages = bundle.batch.advantages.copy()
        advantages[3] = np.inf
        outcome = replay(with_batch(bundle, advantages=advantages))
        assert (outcome.first.name, outcome.first.first, outcome.first.not_finite) == ("minibatch advantages", (3,), 1)
        assert outcome.error is not None
        assert any("minibatch advantages" in line and "first at [3]" in line for line in replay_lines(bundle, outcome))

    def test_an_update_that_is_finite_in_float64_is_not_reproduced(self, tmp_path):
        bundle = healthy(tmp_path)
        outcome = replay(bundle)
        assert outcome.error is None
        assert outcome.first is None
        assert replay_lines(bundle, outcome)[-1].startswith("not reproduced")

    def test_a_bundle_of_an_older_version_names_the_frozen_actor_otherwise(self, tmp_path):
        path = tmp_path / "bundle.safetensors"
        healthy(tmp_path)
        written = read(path, BUNDLE_FORMAT)
        step = {name: value for name, value in written.description["step"].items() if name != "freeze_actor"}
        description = {**written.description, "step": {**step, "hold_actor": True}}
        path.write_bytes(encode(BUNDLE_FORMAT, written.tensors, description))
        assert read_bundle(path).step == OptimizerStep(1e-3, 0.5, freeze_actor=True)

    def test_a_file_that_is_not_a_bundle(self, tmp_path, capsys):
        (tmp_path / "file").write_bytes(b"nothing")
        assert main(["replay", str(tmp_path / "file")]) == 2
        assert "not a readable safetensors file" in capsys.readouterr().err
        bundle = healthy(tmp_path)
        odd = with_batch(bundle, actions=bundle.batch.actions[:-1])
        with pytest.raises(UsageError, match="arrays of the bundle do not fit together"):
            replay(odd)


def healthy(tmp_path):
    """A bundle of an update that succeeds, written to a file and read from it."""
    spec = spec_of("categorical")
    rng = np.random.default_rng(2)
    weights = random_weights(spec, rng)
    batch = random_batch(spec, weights, rng, 16)
    backend = loaded_backend(spec, weights)
    bundle = FailedUpdate.of(backend, spec, SMALL, batch, Objective(0.2), OptimizerStep(1e-3, 0.5))
    path = tmp_path / "bundle.safetensors"
    path.write_bytes(encode_bundle(bundle))
    return read_bundle(path)


def with_batch(bundle, **changes):
    return replace(bundle, batch=bundle.batch._replace(**changes))
