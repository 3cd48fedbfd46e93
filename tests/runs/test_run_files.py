"""Checkpoints: their contents, which are kept, and that any damage is reported or harmless."""

import json
import os
import random

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from support.files import changed
from support.interrupting import SMALL, StopAfter, contents

from ppocore import Policy, resume, train
from ppocore.cli import main
from ppocore.errors import RunWarning, UsageError
from ppocore.evaluation import evaluate
from ppocore.files import RUN_FORMAT, run_files
from ppocore.registry import available_backends
from ppocore.runs import RunDirectory, read_checkpoint

TINY = SMALL.replace(num_envs=2, num_steps=8, minibatch_size=16, hidden_sizes=(3,), total_steps=48)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny") / "run"
    train("CartPole-v1", TINY, run_dir=directory)
    return directory


@pytest.fixture
def file(tiny, tmp_path):
    copy = tmp_path / "run-000000000048.safetensors"
    copy.write_bytes((tiny / copy.name).read_bytes())
    return copy


def refusal(path, read=read_checkpoint):
    with pytest.raises(UsageError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


class TestContents:
    @pytest.mark.parametrize("config", [SMALL, SMALL.replace(normalize_observations=True, normalize_rewards=True)])
    def test_equal_runs_write_equal_bytes_on_every_backend(self, config, tmp_path):
        for name, missing in available_backends().items():
            if missing is None and name in ("numpy", "torch", "paddle", "jax"):
                train("CartPole-v1", config, seed=1, backend=name, run_dir=tmp_path / name)
        runs = [contents(run)[1] for run in sorted(tmp_path.iterdir())]
        assert len(runs) > 1
        assert all(run == runs[0] for run in runs)

    def test_nothing_is_pickled_and_no_path_is_in_it(self, tiny):
        with safe_open(run_files(tiny)[-1], framework="numpy") as opened:
            assert list(opened.metadata()) == ["ppocore"]
            description = json.loads(opened.metadata()["ppocore"])
        assert sorted(description) == sorted(
            "action_space actions best checksum config counters env format learner network observation_space seed "
            "version".split()
        )
        assert str(tiny.parent) not in json.dumps(description)

    @pytest.mark.parametrize("config", [SMALL, SMALL.replace(normalize_observations=True)])
    def test_a_checkpoint_is_also_a_policy(self, config, tmp_path):
        result = train("CartPole-v1", config, run_dir=tmp_path / "run")
        observations = np.random.default_rng(0).normal(size=(50, 4))
        expected = result.policy.act_on_vectors(observations, False, rng=np.random.default_rng(1))
        for path in (run_files(tmp_path / "run")[-1], tmp_path / "run" / "policy.safetensors", tmp_path / "run"):
            found = Policy.load(path).act_on_vectors(observations, False, rng=np.random.default_rng(1))
            assert np.array_equal(found, expected)

    def test_the_policy_of_a_killed_run_is_that_of_its_newest_undamaged_checkpoint(self, tmp_path):
        run = tmp_path / "run"
        train("CartPole-v1", SMALL, run_dir=run, checkpoint_every=2, keep=9, reporters=[StopAfter(7)])
        (run / "policy.safetensors").unlink()
        newest = run_files(run)[-1]
        assert_same_weights(Policy.load(run), Policy.load(newest))
        newest.write_bytes(newest.read_bytes()[:-1])
        assert_same_weights(Policy.load(run), Policy.load(run_files(run)[-2]))
        assert main(["evaluate", str(run), "--episodes", "1"]) == 0
        assert main(["evaluate", str(run_files(run)[0]), "--episodes", "1"]) == 0


def assert_same_weights(policy, other):
    assert all(np.array_equal(other.weights[name], array) for name, array in policy.weights.items())


class TestKept:
    def test_the_newest_and_the_best(self, tmp_path):
        run = tmp_path / "run"
        result = train("CartPole-v1", SMALL, seed=3, run_dir=run, checkpoint_every=3, keep=2)
        assert [file.name for file in run_files(run)] == [
            f"run-{steps:012d}.safetensors" for steps in (9 * 64, 12 * 64)
        ]
        returns = {row["steps"]: row["mean_return"] for row in result.history if row["iteration"] % 3 == 0}
        best = max(returns, key=returns.get)
        state = read_checkpoint(run / "best.safetensors")
        assert state.steps == best
        assert state.description["best"] == {"return": returns[best], "steps": best}

    def test_the_best_by_evaluation(self, tmp_path):
        run = tmp_path / "run"
        train("CartPole-v1", SMALL, seed=3, run_dir=run, checkpoint_every=3, keep=9, evaluate_episodes=4)
        returns = {
            read_checkpoint(file).steps: evaluate(Policy.load(file), "CartPole-v1", episodes=4, seed=3).summary()[
                "mean_return"
            ]
            for file in run_files(run)
        }
        best = read_checkpoint(run / "best.safetensors")
        assert best.description["best"] == {"return": max(returns.values()), "steps": best.steps}
        assert returns[best.steps] == max(returns.values())
        # Evaluation does not use the run's random streams.
        assert train("CartPole-v1", SMALL, seed=3).fingerprint == resume(run).fingerprint

    def test_a_resumed_run_copies_the_best_checkpoint_if_it_was_killed_before(self, tmp_path):
        run, config = tmp_path / "run", SMALL.replace(anneal_learning_rate=False)
        train("CartPole-v1", config, seed=3, run_dir=run, checkpoint_every=1, keep=20, reporters=[StopAfter(4)])
        best = read_checkpoint(run_files(run)[-1]).description["best"]["steps"]
        for file in run_files(run):
            if read_checkpoint(file).steps > best:
                file.unlink()  # as if killed just before the best was copied
        (run / "best.safetensors").write_bytes(b"the best before")
        assert resume(run, steps=best).steps == best
        assert (run / "best.safetensors").read_bytes() == run_files(run)[-1].read_bytes()

    def test_no_checkpoint_before_the_end(self, tmp_path):
        train("CartPole-v1", SMALL, run_dir=tmp_path / "run", checkpoint_every=0)
        assert [read_checkpoint(file).steps for file in run_files(tmp_path / "run")] == [12 * 64]

    def test_a_slow_run_is_also_saved_every_minute(self, tmp_path, monkeypatch):
        monkeypatch.setattr("ppocore.runs.checkpoints.SECONDS", -1.0)  # every iteration takes longer
        train("CartPole-v1", SMALL, seed=3, run_dir=tmp_path / "run", checkpoint_every=8, keep=99)
        monkeypatch.undo()
        assert [read_checkpoint(file).iterations for file in run_files(tmp_path / "run")] == list(range(1, 13))
        train("CartPole-v1", SMALL, seed=3, run_dir=tmp_path / "other", checkpoint_every=8)
        assert contents(tmp_path / "run") == contents(tmp_path / "other")

    @pytest.mark.parametrize("bad", [{"checkpoint_every": -1}, {"keep": 0}, {"evaluate_episodes": -3}, {"keep": 1.5}])
    def test_saving_settings_out_of_range_are_refused(self, bad, tmp_path):
        with pytest.raises(UsageError, match=f"{next(iter(bad))}=.* must be an integer, at least"):
            train("CartPole-v1", SMALL, run_dir=tmp_path / "run", **bad)
        assert not (tmp_path / "run").exists()


class TestDamage:
    """`benchmarks/corrupt.py` does the same at more places."""

    def test_every_flipped_byte_is_found_or_harmless(self, file):
        content, draw = file.read_bytes(), random.Random(4)
        expected = read_checkpoint(file)
        harmless = 0
        for place in [*range(0, 120, 3), *(draw.randrange(len(content)) for _ in range(200))]:
            flipped = bytearray(content)
            flipped[place] ^= 1 << draw.randrange(8)
            file.write_bytes(flipped)
            try:
                found = read_checkpoint(file)
            except UsageError:
                continue
            harmless += 1
            assert found.encode() == expected.encode()
        assert harmless < 20

    def test_every_length_that_is_too_short_is_found(self, file):
        content = file.read_bytes()
        for length in range(0, len(content), 53):
            file.write_bytes(content[:length])
            assert "not a readable safetensors file" in refusal(file)
        file.write_bytes(content + b"\0")
        assert "not a readable safetensors file" in refusal(file)

    def test_a_damaged_checkpoint_is_renamed_and_an_older_one_is_read(self, tmp_path):
        run = tmp_path / "run"
        train("CartPole-v1", SMALL, seed=5, run_dir=run, checkpoint_every=2, reporters=[StopAfter(8)])
        expected = train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "whole", checkpoint_every=2)
        newest = run_files(run)[-1]
        newest.write_bytes(newest.read_bytes()[:-100])
        with pytest.warns(RunWarning, match=f"{newest.name} is not a readable .* an older checkpoint is read instead"):
            assert resume(run).fingerprint == expected.fingerprint
        assert contents(run) == contents(tmp_path / "whole")
        assert (run / f"damaged-{newest.name}").is_file()

    def test_if_all_checkpoints_are_damaged_the_run_is_not_started(self, tmp_path):
        run = tmp_path / "run"
        train("CartPole-v1", TINY, run_dir=run)
        for file in run_files(run):
            file.write_bytes(b"nothing")
        before = sorted(os.listdir(run))
        with pytest.raises(UsageError, match=r"none of the 1 checkpoints in .* can be read \(.*it was cut off"):
            resume(run)
        assert sorted(os.listdir(run)) == before


class TestForeign:
    def test_versions(self, file):
        newer = changed(file, lambda tensors, description: None, RUN_FORMAT._replace(versions=(1, 7)))
        assert "is a checkpoint of version 7, this ppocore reads 1 and 2: upgrade ppocore" in refusal(newer)
        older = changed(file, lambda tensors, description: None, RUN_FORMAT._replace(versions=(0,)))
        assert "version 0, this ppocore reads 1 and 2: use the ppocore that wrote it" in refusal(older)

    def test_other_files(self, file, tiny):
        assert "is a safetensors file but not a ppocore checkpoint" in refusal(
            changed(file, lambda tensors, description: None, RUN_FORMAT._replace(name="ppocore-something"))
        )
        save_file({"weight": np.zeros(3)}, file)
        assert "is a safetensors file but not a ppocore checkpoint" in refusal(file)
        file.write_bytes(b"GIF89a, or whatever else")
        assert "not a readable safetensors file" in refusal(file)
        assert "not a ppocore checkpoint" in refusal(tiny / "policy.safetensors")
        assert "there is no checkpoint" in refusal(tiny)
        assert "there is no checkpoint" in refusal(tiny / "absent")

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors, description: description["config"].update(num_envs=10**9),
            lambda tensors, description: description["config"].update(gamma=2.0),
            lambda tensors, description: description["config"].update(no_such_setting=1),
            lambda tensors, description: description.pop("config"),
            lambda tensors, description: description["counters"].update(steps=-1),
            lambda tensors, description: description["counters"].pop("episodes"),
            lambda tensors, description: description.update(env=["CartPole-v1"]),
            lambda tensors, description: tensors.pop("environments.observations"),
        ],
    )
    def test_an_inconsistent_checkpoint_is_refused(self, file, change):
        assert "does not describe a run" in refusal(changed(file, change, RUN_FORMAT))

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors, description: tensors.pop("adam.m.critic.output.bias"),
            lambda tensors, description: tensors.pop("statistics.lengths"),
            lambda tensors, description: tensors.pop("environments.actions"),
            lambda tensors, description: tensors.update({"environments.lengths": np.array([1, 2])}),
            lambda tensors, description: tensors.update({"environments.observations": np.zeros((2, 5), np.float32)}),
            lambda tensors, description: tensors.update({"statistics.returns": np.zeros(3)}),
            lambda tensors, description: description["actions"].update(bit_generator="MT19937"),
            lambda tensors, description: description.pop("actions"),
            lambda tensors, description: description["learner"].update(minibatches=3),
            lambda tensors, description: description.pop("learner"),
        ],
    )
    def test_a_checkpoint_of_another_run_is_not_resumed(self, change, tiny, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        for name in ("config.json", "metrics.jsonl", "run-000000000048.safetensors"):
            (run / name).write_bytes((tiny / name).read_bytes())
        changed(run_files(run)[-1], change, RUN_FORMAT)
        with pytest.raises(UsageError) as caught:
            resume(run)
        assert "\n" not in str(caught.value)
        assert rows_of(run) == rows_of(tiny)

    def test_sizes_are_compared_with_the_tensors_before_anything_is_allocated(self, file):
        def huge(tensors, description):
            description["network"]["hidden_sizes"] = [10**7, 10**7]

        with pytest.raises(UsageError, match="does not describe a policy"):
            Policy.load(changed(file, huge, RUN_FORMAT))

    def test_file_names_that_only_resemble_checkpoints(self, tiny, tmp_path):
        for name in ("run-1.safetensors", "run-000000000048.safetensors.bak", "xrun-000000000048.safetensors"):
            (tmp_path / name).touch()
        assert run_files(tmp_path) == []
        with RunDirectory(tmp_path) as directory:
            assert directory.newest() is None


def rows_of(run):
    return (run / "metrics.jsonl").read_bytes()
