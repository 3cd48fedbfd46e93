"""What a run writes and reads where: links, other kinds of files, another working directory, a removed directory."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings

import gymnasium as gym
import numpy as np
import pytest
from support.interrupting import SMALL, StopAfter, contents, rows, whole

from ppocore import Policy, resume, train
from ppocore.cli import main
from ppocore.errors import OutputError, RunWarning, UsageError
from ppocore.export.onnx import export_onnx
from ppocore.files import run_files
from ppocore.runs import compare
from ppocore.training.signals import Terminated, signals_interrupt

pytestmark = pytest.mark.posix

FILES = ("config.json", "metrics.jsonl", "run-000000000256.safetensors", "policy.safetensors")


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    train("CartPole-v1", SMALL, seed=5, run_dir=directory, reporters=[StopAfter(4)])
    return directory


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def link(path):
    path.with_name("precious").write_bytes(b"precious")
    path.symlink_to("precious")


def nothing(path):
    path.symlink_to("nowhere")


class TestTargets:
    """A path that a user gives: new, or a regular file that no run needs."""

    @pytest.mark.parametrize("write", ["export", "save"])
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (pipe, "is a named pipe: name a new file"),
            (folder, "is a directory: name a file in it"),
            (device, "is a symbolic link: name a new file"),
            (link, "is a symbolic link: name a new file"),
            (nothing, "is a symbolic link: name a new file"),
        ],
    )
    def test_what_is_no_regular_file_is_left_alone(self, write, make, said, run, tmp_path):
        target = tmp_path / "target"
        make(target)
        before = os.lstat(target)
        policy = Policy.load(run)
        with pytest.raises(UsageError, match=said):
            policy.save(target) if write == "save" else export_onnx(policy, target)
        after = os.lstat(target)
        assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
        if make is link:
            assert (tmp_path / "precious").read_bytes() == b"precious"

    @pytest.mark.parametrize(
        "name", ["policy.safetensors", "config.json", "metrics.jsonl", "run-000000000256.safetensors"]
    )
    def test_files_of_a_run_are_left_alone(self, name, run, capsys):
        before = (run / name).read_bytes()
        assert main(["export", str(run), "--onnx", str(run / name)]) == 2
        assert f"{run / name} is a file of the run in {run}: name another file" in capsys.readouterr().err
        with pytest.raises(UsageError, match="is a file of the run in"):
            Policy.load(run).save(run / name)
        assert (run / name).read_bytes() == before

    def test_what_holds_something_else_of_ppocores_is_left_alone(self, run, tmp_path):
        policy, checkpoint = Policy.load(run), tmp_path / "kept.safetensors"
        shutil.copy(run_files(run)[-1], checkpoint)
        with pytest.raises(UsageError, match="holds a run of ppocore's: name another file"):
            policy.save(checkpoint)
        policy.save(tmp_path / "mine")
        with pytest.raises(UsageError, match="holds a policy of ppocore's: name another file"):
            export_onnx(policy, tmp_path / "mine")
        assert Policy.load(tmp_path / "mine").act(np.zeros(4)) == policy.act(np.zeros(4))

    def test_a_regular_file_is_replaced_also_under_the_longest_name(self, run, tmp_path):
        policy = Policy.load(run)
        for target in (tmp_path / "model.onnx", tmp_path / ("x" * 250)):
            target.write_bytes(b"old")
            export_onnx(policy, target, checks=4)
            assert len(target.read_bytes()) > 1000
            target.write_bytes(b"old")
            policy.save(target)
            policy.save(target)  # one of the same kind
            assert Policy.load(target).weights.keys() == policy.weights.keys()

    @pytest.mark.parametrize("path", ["/proc/x", "x" * 300, "no/such/place", "a\0b"])
    def test_a_path_that_cannot_be_written_is_a_sentence(self, path, run):
        policy = Policy.load(run)
        for write in (policy.save, lambda target: export_onnx(policy, target, checks=4)):
            with pytest.raises(UsageError, match="cannot be written"):
                write(path)


class TestLinks:
    """Nothing is written through a link that is in a run directory."""

    @pytest.mark.parametrize("name", [".holder.json", ".lock"])
    def test_the_lock(self, name, tmp_path):
        (tmp_path / "precious").write_bytes(b"precious")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / name).symlink_to("../precious")
        if name == ".lock":
            with pytest.raises(UsageError, match=r"cannot be written to \(its \.lock is a symbolic link\)"):
                train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
        else:
            train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
        assert (tmp_path / "precious").read_bytes() == b"precious"

    def test_a_lock_with_another_name_is_not_cut_off(self, tmp_path):
        (tmp_path / "precious").write_bytes(b"precious")
        (tmp_path / "run").mkdir()
        os.link(tmp_path / "precious", tmp_path / "run" / ".lock")
        train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
        assert (tmp_path / "precious").read_bytes() == b"precious"
        assert os.stat(tmp_path / "precious").st_nlink == 1  # the run has a lock of its own

    @pytest.mark.parametrize("symbolic", [False, True])
    def test_a_copy_by_links_does_not_change_the_original(self, symbolic, run, tmp_path):
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in run.iterdir():
            (copy / file.name).symlink_to(file) if symbolic else os.link(file, copy / file.name)
        (copy / ".lock").unlink() if symbolic else None
        before = {file.name: file.read_bytes() for file in run.iterdir()}
        resume(copy)
        assert {file.name: file.read_bytes() for file in run.iterdir()} == before
        assert contents(copy) == whole(tmp_path, "CartPole-v1", SMALL)


class TestOtherKindsOfFiles:
    @pytest.mark.parametrize("make", [pipe, folder, device, nothing])
    @pytest.mark.parametrize(
        "name", ["config.json", "metrics.jsonl", "run-000000000256.safetensors", "policy.safetensors"]
    )
    def test_in_the_place_of_a_file_of_the_run(self, name, make, run):
        (run / name).unlink()
        make(run / name)
        for read in (resume, Policy.load, lambda path: compare([path, path])):
            with warnings.catch_warnings(), contextlib.suppress(UsageError):
                warnings.simplefilter("ignore", RunWarning)
                read(run)
        assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)

    def test_files_that_are_too_large(self, run):
        for name, said in (
            ("metrics.jsonl", r"line 5 of .* is longer than the 16777216 bytes that are read: restore the file"),
            ("config.json", "has 1099511627776 bytes, more than the 16777216 that are read: restore the file"),
        ):
            with open(run / name, "r+b") as file:
                file.truncate(2**40)
            with pytest.raises(UsageError, match=said):
                resume(run)


class Wanders(gym.Env):
    """Changes the working directory in its ``at``th reset."""

    observation_space, action_space = gym.spaces.Box(-9, 9, (1,), np.float32), gym.spaces.Discrete(2)
    resets, at, to = 0, 10, "/"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Wanders.resets += 1
        if Wanders.resets == Wanders.at:
            os.chdir(Wanders.to)
        self.t = 0
        return self.np_random.normal(size=1).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([self.t + action], np.float32), 1.0, self.t == 7, False, {}


class TestDirectories:
    @pytest.mark.parametrize("at", [1, 10])
    def test_an_environment_that_changes_the_working_directory(self, at, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Wanders.resets, Wanders.at = 0, 0
        expected = whole(tmp_path, Wanders, SMALL, checkpoint_every=3)
        (tmp_path / "elsewhere").mkdir()
        Wanders.resets, Wanders.at, Wanders.to = 0, at, tmp_path / "elsewhere"
        train(Wanders, SMALL, seed=5, run_dir="run", checkpoint_every=3)
        assert os.listdir(tmp_path / "elsewhere") == []
        assert contents(tmp_path / "run") == expected
        os.chdir(tmp_path)
        shutil.rmtree("run")
        Wanders.resets, Wanders.at = 0, 0
        train(Wanders, SMALL, seed=5, run_dir="run", checkpoint_every=3, reporters=[StopAfter(5)])
        Wanders.resets, Wanders.at = 0, at
        resume("run", env=Wanders)
        assert os.listdir(tmp_path / "elsewhere") == []
        assert contents(tmp_path / "run") == expected

    @pytest.mark.parametrize("last", [None, 9])
    def test_a_directory_that_is_removed_is_made_again(self, last, tmp_path):
        directory = tmp_path / "above" / "run"

        def remove(run):
            if run.snapshot.iterations == 7:
                shutil.rmtree(tmp_path / "above")

        stopping = [] if last is None else [StopAfter(last)]
        with pytest.warns(RunWarning, match="was removed during the run: it is made again") as caught:
            train(
                "CartPole-v1", SMALL, seed=5, run_dir=directory, checkpoint_every=3, callbacks=[remove],
                reporters=stopping,
            )  # fmt: skip
        assert len(caught) == 1
        expected = whole(tmp_path, "CartPole-v1", SMALL, checkpoint_every=3)
        if last is not None:
            assert len(rows(directory)) == 9
            resume(directory)
        assert rows(directory) == expected[0]
        assert contents(directory)[1]["policy.safetensors"] == expected[1]["policy.safetensors"]
        assert contents(directory)[1][run_files(directory)[-1].name] == expected[1][run_files(directory)[-1].name]

    def test_a_configuration_that_is_removed_is_written_again(self, tmp_path):
        directory, seen = tmp_path / "run", []

        def remove(run):
            if run.snapshot.iterations == 7:
                seen.append((directory / "config.json").read_bytes())
                (directory / "config.json").unlink()

        train("CartPole-v1", SMALL, run_dir=directory, checkpoint_every=3, callbacks=[remove])
        assert [(directory / "config.json").read_bytes()] == seen

    def test_one_that_cannot_be_made_again_ends_in_a_sentence(self, tmp_path):
        directory = tmp_path / "above" / "run"

        def remove(run):
            if run.snapshot.iterations == 7:
                shutil.rmtree(tmp_path / "above")
                (tmp_path / "above").write_text("a file")

        with pytest.warns(RunWarning), pytest.raises(OutputError, match="the policy could not be written") as caught:
            train("CartPole-v1", SMALL, run_dir=directory, checkpoint_every=3, callbacks=[remove])
        assert "\n" not in str(caught.value)

    def test_another_run_in_its_place_is_left_alone(self, tmp_path):
        directory = tmp_path / "run"

        def replace(run):
            if run.snapshot.iterations == 7:
                directory.rename(tmp_path / "moved")
                directory.mkdir()
                (directory / "config.json").write_text("another's")

        with pytest.warns(RunWarning), pytest.raises(OutputError, match="another directory is now at"):
            train("CartPole-v1", SMALL, run_dir=directory, checkpoint_every=3, callbacks=[replace])
        assert [file.name for file in directory.iterdir()] == ["config.json"]
        assert (directory / "config.json").read_text() == "another's"


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_both_are_raised_where_the_program_is_and_given_back(self, number):
        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
        try:
            for n in before:
                signal.signal(n, signal.SIG_DFL)
            with pytest.raises(Terminated), signals_interrupt():
                signal.raise_signal(number)
            assert {signal.getsignal(n) for n in before} == {signal.SIG_DFL}
            signal.signal(number, signal.SIG_IGN)  # as nohup does
            with signals_interrupt():
                signal.raise_signal(number)
            assert signal.getsignal(number) is signal.SIG_IGN
        finally:
            for n, handler in before.items():
                signal.signal(n, handler)

    def test_a_closed_terminal_ends_the_run_and_it_is_saved(self, tmp_path):
        command = [sys.executable, "-m", "ppocore", "train", "CartPole-v1", "--run-dir", "run", "--steps", "10000000"]
        process = subprocess.Popen(
            [*command, "--checkpoint-every", "0"], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )  # fmt: skip
        metrics = tmp_path / "run" / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.02)
        process.send_signal(signal.SIGHUP)
        assert process.wait() == 1
        (saved,) = run_files(tmp_path / "run")
        assert saved.name == f"run-{rows(tmp_path / 'run')[-1]['steps']:012d}.safetensors"
        assert json.loads((tmp_path / "run" / "config.json").read_text())["env"] == "CartPole-v1"
