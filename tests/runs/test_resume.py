"""A resumed run equals an uninterrupted one to the byte, and a run that cannot be resumed gives the reason."""

import functools
import json
import os

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from support.interrupting import SMALL, StopAfter, contents, rows, whole
from support.spaces import ACTION_SPACES, Numbers

from ppocore import Runtime, resume, train
from ppocore.cli import main
from ppocore.errors import RunWarning, UsageError
from ppocore.files import run_files
from ppocore.registry import available_backends
from ppocore.runs import RunDirectory

NORMALIZED = SMALL.replace(normalize_observations=True, normalize_rewards=True)
KINDS = {
    "discrete": ("CartPole-v1", SMALL),
    "continuous, normalized": ("Pendulum-v1", NORMALIZED),
    "squashed": ("Pendulum-v1", SMALL.replace(continuous_policy="squashed_gaussian")),
    "beta, adapted rate": (
        "Pendulum-v1",
        SMALL.replace(continuous_policy="beta", adaptive_lr_kl=0.003, anneal_learning_rate=False),
    ),
    "adapted penalty": ("CartPole-v1", SMALL.replace(objective="kl", kl_penalty_target=0.001, entropy_decay=0.9)),
    "optimizers apart": (
        "CartPole-v1",
        SMALL.replace(separate_optimizers=True, critic_learning_rate=1e-3, target_kl=1e-4, shared_trunk=False),
    ),
    "vtrace, recomputed": ("CartPole-v1", SMALL.replace(advantage_estimator="vtrace", recompute_advantages=True)),
    "async": ("CartPole-v1", SMALL),
    "async, normalized": ("Pendulum-v1", NORMALIZED),
    "one-hot observations": ("FrozenLake-v1", SMALL),
    "float32": ("CartPole-v1", SMALL.replace(precision="float32")),
}
ASYNC = Runtime(vectorization="async")
OF_NUMBERS = [
    (kind, masked, vectorization)
    for kind, space in ACTION_SPACES.items()
    for masked in (None, "info", "method")
    for vectorization in ("sync", "async")
    if masked is None or (space.__class__ is not Box and (vectorization, masked) != ("async", "method"))
]


def interrupted(directory, env, config, at, seed=5, **settings):
    result = train(env, config, seed=seed, run_dir=directory, reporters=[StopAfter(at)], **settings)
    assert result.interrupted
    assert result.iterations == at == len(result.history) == len(rows(directory))
    return result


class TestResumed:
    """A resumed run writes the same bytes as an uninterrupted one."""

    @pytest.mark.parametrize("at", [4, 7])
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_run(self, kind, at, tmp_path):
        env, config = KINDS[kind]
        runtime = ASYNC if "async" in kind else Runtime()
        expected = whole(tmp_path, env, config, checkpoint_every=4, runtime=runtime)
        interrupted(tmp_path / "run", env, config, at, checkpoint_every=4, runtime=runtime)
        result = resume(tmp_path / "run")
        assert result.iterations == len(result.history) == 12
        assert result.fingerprint == expected[0][-1]["fingerprint"]
        assert contents(tmp_path / "run") == expected

    @pytest.mark.parametrize(("kind", "masked", "vectorization"), OF_NUMBERS)
    def test_observations_in_parts_and_masks(self, kind, masked, vectorization, tmp_path):
        env = functools.partial(Numbers, kind, masked)
        config, runtime = SMALL.replace(total_steps=6 * 64), Runtime(vectorization=vectorization)
        expected = whole(tmp_path, env, config, runtime=runtime)
        interrupted(tmp_path / "run", env, config, 3, runtime=runtime)
        resume(tmp_path / "run", env=env)
        assert contents(tmp_path / "run") == expected

    @pytest.mark.parametrize("name", ["torch", "paddle", "jax"])
    def test_on_another_backend(self, name, tmp_path):
        if available_backends()[name] is not None:
            pytest.skip(f"{name} is not installed")
        expected = whole(tmp_path, "Pendulum-v1", NORMALIZED)
        interrupted(tmp_path / "run", "Pendulum-v1", NORMALIZED, 4)
        assert resume(tmp_path / "run", backend=name, reporters=[StopAfter(8)]).backend == name
        result = resume(tmp_path / "run", backend="numpy")
        assert contents(tmp_path / "run")[1] == expected[1]
        assert [row["tensors"] for row in rows(tmp_path / "run")] == [row["tensors"] for row in expected[0]]
        assert result.backend == "numpy"
        known = json.loads((tmp_path / "run" / "config.json").read_text())
        assert known["resumed"] == [{"steps": 256, "backend": name}, {"steps": 512, "backend": "numpy"}]

    def test_several_times(self, tmp_path):
        expected = whole(tmp_path, "Pendulum-v1", NORMALIZED, checkpoint_every=5, keep=2)
        interrupted(tmp_path / "run", "Pendulum-v1", NORMALIZED, 1, checkpoint_every=5, keep=2)
        for at in range(2, 12):
            assert resume(tmp_path / "run", reporters=[StopAfter(at)]).iterations == at
        resume(tmp_path / "run")
        assert contents(tmp_path / "run")[0] == expected[0]
        assert contents(tmp_path / "run")[1]["policy.safetensors"] == expected[1]["policy.safetensors"]

    def test_from_an_older_checkpoint_than_the_metrics(self, tmp_path):
        expected = whole(tmp_path, "CartPole-v1", SMALL, checkpoint_every=5)
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 9, checkpoint_every=5)
        run_files(tmp_path / "run")[-1].unlink()  # as if killed, not stopped
        resume(tmp_path / "run")
        assert contents(tmp_path / "run") == expected

    def test_when_every_episode_has_just_started(self, tmp_path):
        config = SMALL.replace(
            num_steps=40, num_envs=2, minibatch_size=40, total_steps=10 * 80
        )  # episodes are 200 steps
        expected = whole(tmp_path, "Pendulum-v1", config, checkpoint_every=5)
        for at in (5, 10):
            run = tmp_path / f"run{at}"
            interrupted(run, "Pendulum-v1", config, at, checkpoint_every=5)
            resume(run)
            assert contents(run) == expected

    def test_from_the_start_if_it_was_never_saved(self, tmp_path):
        expected = whole(tmp_path, "CartPole-v1", SMALL)
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 9)
        for file in run_files(tmp_path / "run"):
            file.unlink()
        with pytest.raises(UsageError, match="holds a policy but no checkpoint"):
            resume(tmp_path / "run")
        assert len(rows(tmp_path / "run")) == 9
        (tmp_path / "run" / "policy.safetensors").unlink()
        with pytest.warns(RunWarning, match="was never saved: it is trained from the start"):
            resume(tmp_path / "run")
        assert contents(tmp_path / "run") == expected

    def test_a_complete_run_returns_its_result_again(self, tmp_path):
        ended = train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run")
        before = contents(tmp_path / "run")
        again = resume(tmp_path / "run")
        assert (again.fingerprint, again.mean_return, again.episodes) == (
            ended.fingerprint,
            ended.mean_return,
            ended.episodes,
        )
        assert again.history == ended.history
        assert contents(tmp_path / "run") == before

    def test_with_more_steps(self, tmp_path):
        config = SMALL.replace(anneal_learning_rate=False)
        train("CartPole-v1", config.replace(total_steps=5 * 64 + 20), seed=5, run_dir=tmp_path / "run")
        result = resume(tmp_path / "run", steps=12 * 64)
        assert result.fingerprint == whole(tmp_path, "CartPole-v1", config)[0][-1]["fingerprint"]
        assert rows(tmp_path / "run") == rows(tmp_path / "whole")
        assert resume(tmp_path / "run").fingerprint == result.fingerprint  # the number of steps is kept

    def test_with_more_steps_and_annealing_warns(self, tmp_path):
        train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
        with pytest.warns(
            RunWarning,
            match=r"anneal_learning_rate depends on the number of steps: a run resumed to 896 instead of",
        ):
            assert resume(tmp_path / "run", steps=14 * 64).iterations == 14

    def test_an_own_network(self, tmp_path):
        torch = pytest.importorskip("torch")
        from ppocore.backends.torch_backend import TorchBackend

        def backend():
            torch.manual_seed(1)
            return TorchBackend(network=Two())

        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.policy, self.value = torch.nn.Linear(4, 2), torch.nn.Linear(4, 1)

            def forward(self, observations):
                return self.policy(observations), self.value(observations)[:, 0]

        expected = train("CartPole-v1", SMALL, seed=5, backend=backend(), run_dir=tmp_path / "whole")
        train("CartPole-v1", SMALL, seed=5, backend=backend(), run_dir=tmp_path / "run", reporters=[StopAfter(5)])
        with pytest.raises(UsageError, match="trains a network of your own: pass backend="):
            resume(tmp_path / "run")
        assert resume(tmp_path / "run", backend=backend()).fingerprint == expected.fingerprint
        assert contents(tmp_path / "run") == contents(tmp_path / "whole")


class Forgetful(gym.Env):
    """An environment that cannot be replayed, because its observations depend on the number of resets."""

    observation_space, action_space = Box(-1e6, 1e6, (1,), np.float32), Discrete(2)
    resets = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Forgetful.resets += 1
        self.t, self.number = 0, Forgetful.resets
        return np.array([self.number], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([self.number + self.t], np.float32), float(action), self.t == 11, False, {}


class TestNotResumed:
    @pytest.mark.parametrize("vectorization", ["sync", "async"])
    def test_environments_that_cannot_be_restored(self, vectorization, tmp_path):
        config = SMALL.replace(num_envs=2, num_steps=32)
        interrupted(tmp_path / "run", Forgetful, config, 3, runtime={"vectorization": vectorization})
        Forgetful.resets += 100
        before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
        with pytest.raises(UsageError, match=r"environments 0, 1 cannot be restored .*restart_episodes=True") as caught:
            resume(tmp_path / "run", env=Forgetful)
        assert "replaying its actions from its seed leads to another observation" in str(caught.value)
        assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
        with pytest.warns(RunWarning, match="new episodes start instead, and the result differs"):
            result = resume(tmp_path / "run", env=Forgetful, restart_episodes=True)
        assert result.iterations == 12
        lengths = [length for row in result.history for length in [row["mean_length"]] if length is not None]
        assert lengths[-1] == 11  # the abandoned episode was not counted

    def test_a_vector_entry_point(self, tmp_path):
        own_seeds = Runtime(vectorization="vector")
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3, runtime=own_seeds)
        with pytest.raises(UsageError, match="and its episode cannot be replayed from its seed"):
            resume(tmp_path / "run")
        with pytest.warns(RunWarning, match="new episodes start instead"):
            result = resume(tmp_path / "run", restart_episodes=True)
        assert result.iterations == 12
        assert result.fingerprint != whole(tmp_path, "CartPole-v1", SMALL, runtime=own_seeds)[0][-1]["fingerprint"]

    def test_an_environment_that_a_file_cannot_store(self, tmp_path):
        interrupted(tmp_path / "run", Forgetful, SMALL, 3)
        with pytest.raises(
            UsageError, match=r"were made by Forgetful, which a file cannot store: call ppocore\.resume"
        ):
            resume(tmp_path / "run")

    def test_another_environment(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        with pytest.raises(UsageError, match="is of CartPole-v1, but the environments given are Acrobot-v1"):
            resume(tmp_path / "run", env="Acrobot-v1")

    def test_settings_that_were_changed(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        file = tmp_path / "run" / "config.json"
        known = json.loads(file.read_text())
        known["config"]["gamma"] = 0.9
        file.write_text(json.dumps(known))
        with pytest.raises(UsageError, match=r"gamma in .* differs from its checkpoint"):
            resume(tmp_path / "run")

    def test_fewer_steps_than_it_has_taken(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        with pytest.raises(UsageError, match="has already taken 192 steps"):
            resume(tmp_path / "run", steps=128)

    def test_a_directory_without_a_run(self, tmp_path):
        with pytest.raises(UsageError, match="is not a run directory"):
            resume(tmp_path)
        with pytest.raises(UsageError, match="is not a run directory"):
            resume(tmp_path / "absent")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_cannot_cause_an_import(self, tmp_path, monkeypatch):
        (tmp_path / "trap.py").write_text("import pathlib; pathlib.Path(__file__).with_name('sprung').touch()\n")
        monkeypatch.syspath_prepend(tmp_path)
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        file = tmp_path / "run" / "config.json"
        file.write_text(file.read_text().replace('"CartPole-v1"', '"trap:CartPole-v1"'))
        for command in ("resume", "evaluate"):
            assert main([command, str(tmp_path / "run")]) == 2
        assert not (tmp_path / "sprung").exists()


class TestMetrics:
    def test_truncated_and_duplicate_lines_are_repaired(self, tmp_path):
        expected = whole(tmp_path, "CartPole-v1", SMALL)
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 6)
        file = tmp_path / "run" / "metrics.jsonl"
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([*lines, lines[2], b'{"iteration": 7, "ste']))
        resume(tmp_path / "run")
        assert contents(tmp_path / "run") == expected

    def test_missing_lines_are_reported(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 6)
        file = tmp_path / "run" / "metrics.jsonl"
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[3:]))
        with pytest.warns(RunWarning, match="lacks 3 iterations, the first of them 1"):
            result = resume(tmp_path / "run")
        assert [row["iteration"] for row in rows(tmp_path / "run")] == list(range(4, 13))
        assert result.fingerprint == whole(tmp_path, "CartPole-v1", SMALL)[0][-1]["fingerprint"]


class TestLock:
    def test_a_second_run_is_refused_with_the_process_that_locks_the_directory(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        with RunDirectory.reopen(tmp_path / "run"):
            for again in (
                lambda: resume(tmp_path / "run"),
                lambda: train("CartPole-v1", SMALL, run_dir=tmp_path / "run"),
            ):
                with pytest.raises(UsageError, match=rf"is being written by process {os.getpid()} on \S+ \(since 20"):
                    again()
        assert resume(tmp_path / "run").iterations == 12
        assert not (tmp_path / "run" / ".holder.json").exists()

    def test_temporary_files_of_a_killed_process_are_removed(self, tmp_path):
        interrupted(tmp_path / "run", "CartPole-v1", SMALL, 3)
        left = tmp_path / "run" / ".run-000000000192.safetensors.123.tmp"
        left.write_bytes(b"half a file")
        resume(tmp_path / "run")
        assert not left.exists()

    def test_a_directory_with_only_the_files_of_a_killed_process_counts_as_empty(self, tmp_path):
        (tmp_path / "run").mkdir()
        for name in (".lock", ".holder.json", ".config.json.17.tmp"):
            (tmp_path / "run" / name).touch()
        assert train("CartPole-v1", SMALL, run_dir=tmp_path / "run").iterations == 12
