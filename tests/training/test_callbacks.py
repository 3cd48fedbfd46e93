"""Callbacks observe a run and can stop it; however a run ends, its last complete iteration is saved."""

import json

import gymnasium as gym
import numpy as np
import pytest
from support.interrupting import SMALL, contents, rows, whole

from ppocore import Callback, Runtime, resume, train
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.cli import main
from ppocore.errors import RunWarning, UsageError
from ppocore.policy import Policy


class Recorder(Callback):
    """Records its calls."""

    def __init__(self, name="", calls=None):
        self.name, self.calls = name, [] if calls is None else calls

    def on_start(self, run):
        self.calls.append((self.name, "start", run.progress.iterations))

    def on_iteration(self, run):
        self.calls.append((self.name, "iteration", run.progress.iterations))

    def on_end(self, run, error):
        self.calls.append((self.name, "end", type(error).__name__))


class Failing(Callback):
    """Raises at an iteration, or at the end."""

    def __init__(self, at, error):
        self.at, self.error = at, error

    def on_iteration(self, run):
        if run.progress.iterations == self.at:
            raise self.error

    def on_end(self, run, error):
        if self.at == "end":
            raise self.error


class FailingBackend(NumpyBackend):
    """Runs out of memory at an update."""

    name = "failing"
    updates = 0

    def update(self, *arguments):
        type(self).updates += 1
        if self.updates == 18:  # in the middle of the fifth iteration of four updates
            raise RuntimeError("CUDA out of memory")
        return super().update(*arguments)


@pytest.fixture
def failing_backend(monkeypatch):
    monkeypatch.setattr(FailingBackend, "updates", 0)
    return FailingBackend


class TestRun:
    def test_order_and_once_each(self):
        calls = []
        train("CartPole-v1", SMALL, callbacks=[Recorder("a", calls), Recorder("b", calls)])
        assert calls[:2] == [("a", "start", 0), ("b", "start", 0)]
        assert calls[2:-2] == [(name, "iteration", n) for n in range(1, 13) for name in "ab"]
        assert calls[-2:] == [("a", "end", "NoneType"), ("b", "end", "NoneType")]

    def test_metrics_policy_progress_and_snapshot(self, tmp_path):
        seen = []

        def look(run):
            seen.append(
                (
                    run.metrics["iteration"],
                    run.progress.steps,
                    run.snapshot.steps,
                    int(run.policy.act(np.zeros(4))),
                    run.run_dir,
                )
            )

        result = train("CartPole-v1", SMALL, run_dir=tmp_path / "run", callbacks=[look])
        assert [row[:3] for row in seen] == [(n, 64 * n, 64 * n) for n in range(1, 13)]
        assert seen[-1][3] == result.policy.act(np.zeros(4))
        assert {row[4] for row in seen} == {tmp_path / "run"}

    def test_the_final_infos_of_the_episodes_that_ended(self):
        env, seen = lambda: gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1")), []
        result = train(env, SMALL, callbacks=[lambda run: seen.append(run.infos)])
        returns = [[float(info["episode"]["r"]) for _, info in infos] for infos in seen]
        assert returns == [row["episode_returns"] for row in result.history]
        assert sum(map(len, returns)) == result.episodes > 0

    def test_the_result_is_there_at_the_end(self):
        kept = {}

        class End(Callback):
            def on_end(self, run, error):
                kept["fingerprint"] = run.result.fingerprint

        assert train("CartPole-v1", SMALL, callbacks=[End()]).fingerprint == kept["fingerprint"]

    def test_reading_a_run_changes_nothing(self):
        expected = train("CartPole-v1", SMALL).fingerprint
        assert train("CartPole-v1", SMALL, callbacks=[Recorder(), lambda run: run.policy]).fingerprint == expected

    def test_an_object_with_the_three_methods_is_a_callback(self):
        class Plain:
            seen = 0

            def on_start(self, run): ...
            def on_end(self, run, error): ...
            def on_iteration(self, run):
                self.seen += 1

        plain = Plain()
        train("CartPole-v1", SMALL, callbacks=[plain])
        assert plain.seen == 12


class TestStopping:
    def test_with_a_reason_and_resumed_to_the_same_bytes(self, tmp_path):
        expected = whole(tmp_path, "CartPole-v1", SMALL, checkpoint_every=5)

        def enough(run):
            if run.progress.iterations == 5:
                run.stop("good enough")

        result = train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run", checkpoint_every=5, callbacks=[enough])
        assert (result.stop_reason, result.iterations, result.interrupted) == ("good enough", 5, False)
        assert len(rows(tmp_path / "run")) == 5
        assert Policy.load(tmp_path / "run").act(np.zeros(4)) in (0, 1)
        assert resume(tmp_path / "run").stop_reason is None
        assert contents(tmp_path / "run") == expected

    def test_before_the_first_iteration(self):
        class Never(Callback):
            def on_start(self, run):
                run.stop("not today")

        result = train("CartPole-v1", SMALL, callbacks=[Never()])
        assert (result.iterations, result.stop_reason) == (0, "not today")


class TestErrors:
    def test_an_error_of_a_backend(self, failing_backend, tmp_path):
        run = tmp_path / "run"
        with pytest.raises(RuntimeError, match="CUDA out of memory") as caught:
            train("CartPole-v1", SMALL, backend=failing_backend, seed=5, run_dir=run)
        (note,) = caught.value.__notes__
        assert note.startswith(f"the run after 256 steps is saved in {run}, the traceback in its fault.txt;")
        assert note.endswith(f"resume with: ppocore resume {run}")
        assert "CUDA out of memory" in (run / "fault.txt").read_text()
        assert [row["iteration"] for row in rows(run)] == [1, 2, 3, 4]
        resume(run, backend="numpy")
        assert contents(run) == whole(tmp_path, "CartPole-v1", SMALL)

    def test_of_a_device_that_cannot_even_take_the_weights_back(self, failing_backend, monkeypatch, tmp_path):
        run = tmp_path / "run"

        class Lost(failing_backend):
            own_network = "on a device that is lost"

            def load_state(self, state):
                raise RuntimeError("device lost")

        with pytest.raises(RuntimeError, match="CUDA out of memory") as caught:
            train("CartPole-v1", SMALL, backend=Lost, run_dir=run)
        assert caught.value.__notes__[0].startswith(f"the run after 256 steps is saved in {run}")
        assert len(rows(run)) == 4

    @pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), SystemExit(0), GeneratorExit()])
    def test_an_error_of_a_callback(self, error, tmp_path):
        run = tmp_path / "run"
        with pytest.raises(type(error)) as caught:
            train("CartPole-v1", SMALL, seed=5, run_dir=run, callbacks=[Failing(7, error)])
        assert "resume with: ppocore resume" in caught.value.__notes__[-1]
        assert len(rows(run)) == 7
        resume(run)
        assert contents(run) == whole(tmp_path, "CartPole-v1", SMALL)

    def test_at_the_end_the_others_still_end_and_the_run_is_saved(self, tmp_path):
        calls, run = [], tmp_path / "run"
        with pytest.raises(LookupError):
            train(
                "CartPole-v1",
                SMALL,
                seed=5,
                run_dir=run,
                callbacks=[Failing("end", LookupError("lost")), Recorder("a", calls)],
            )
        assert calls[-1] == ("a", "end", "LookupError")
        assert contents(run) == whole(tmp_path, "CartPole-v1", SMALL)

    def test_a_second_error_at_the_end_is_a_warning(self):
        with pytest.warns(RunWarning, match="Failing failed when the run ended"), pytest.raises(KeyError):
            train("CartPole-v1", SMALL, callbacks=[Failing(2, KeyError("x")), Failing("end", LookupError("y"))])

    def test_a_callback_interrupted_at_the_end_is_called_again(self):
        class Interrupted(Callback):
            ends = 0

            def on_end(self, run, error):
                self.ends += 1
                if self.ends == 1:
                    raise KeyboardInterrupt

        callback = Interrupted()
        assert train("CartPole-v1", SMALL, callbacks=[callback]).iterations == 12
        assert callback.ends == 2

    def test_the_command_line_says_what_was_saved(self, failing_backend, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr("ppocore.registry._registered", {"failing-in-a-test": failing_backend})
        arguments = "--steps 768 --num-envs 4 --num-steps 16 --minibatch-size 32 --update-epochs 2".split()
        run = tmp_path / "run"
        status = main(
            ["train", "CartPole-v1", "--backend", "failing-in-a-test", "--quiet", "--run-dir", str(run), *arguments]
        )
        assert status == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            "ppocore train: the run failed: RuntimeError: CUDA out of memory; the run after 256 steps"
        )


class TestWrongKinds:
    @pytest.mark.parametrize(
        ("callbacks", "sentence"),
        [
            (Recorder(), "must be a list of callbacks"),
            (print, "must be a list of callbacks"),
            ([Recorder], r"callback Recorder is a class: give an instance, Recorder\(\)"),
            ([3], "callback 3 is neither a ppocore.Callback nor a function"),
            ([type("Half", (), {"on_start": print})()], "has no method on_iteration: derive its class"),
        ],
    )
    def test_wrong_callbacks_are_refused_in_one_sentence_before_the_run(self, callbacks, sentence, tmp_path):
        with pytest.raises(UsageError, match=sentence):
            train("CartPole-v1", SMALL, run_dir=tmp_path / "run", callbacks=callbacks)
        assert not (tmp_path / "run").exists()


class TestRuntime:
    def test_a_run_that_a_timeout_ended_gets_a_longer_one(self, tmp_path):
        with pytest.raises(UsageError, match=r"env_timeout=-1\.0 is out of range"):
            train("CartPole-v1", SMALL, runtime={"env_timeout": -1.0})
        train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run", callbacks=[stop_at(4)], runtime={"threads": 2})
        resume(tmp_path / "run", runtime={"env_timeout": 60.0, "threads": 1, "vectorization": "async"})
        expected = whole(tmp_path, "CartPole-v1", SMALL)
        assert contents(tmp_path / "run") == expected

    def test_sync_and_async_write_the_same_bytes(self, tmp_path):
        for vectorization in ("sync", "async"):
            run = tmp_path / vectorization
            train("CartPole-v1", SMALL, run_dir=run, runtime=Runtime(vectorization=vectorization), keep=9)
        one, other = (contents(tmp_path / name) for name in ("sync", "async"))
        assert one == other

    @pytest.mark.parametrize("changed", [{"threads": "two"}, {"cores": 2}, {"backend": 5}])
    def test_a_configuration_with_another_runtime_is_one_sentence(self, changed, tmp_path):
        train("CartPole-v1", SMALL, run_dir=tmp_path / "run", callbacks=[stop_at(2)])
        file = tmp_path / "run" / "config.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "runtime": {**content["runtime"], **changed}}))
        with pytest.raises(UsageError, match=r"config\.json is not a run's configuration: "):
            resume(tmp_path / "run")

    def test_a_configuration_without_a_backend_is_of_the_default_one(self, tmp_path):
        train("CartPole-v1", SMALL, seed=5, run_dir=tmp_path / "run", callbacks=[stop_at(2)])
        file = tmp_path / "run" / "config.json"
        content = json.loads(file.read_text())
        del content["runtime"]["backend"]
        file.write_text(json.dumps(content))
        assert resume(tmp_path / "run").backend == "numpy"

    @pytest.mark.parametrize(
        ("runtime", "sentence"),
        [
            ({"treads": 2}, "Runtime has no field 'treads': it has backend, device"),
            ("fast", "must be a ppocore.Runtime or a dict"),
            ({"backend": 5}, "backend=5 must be a backend's name, or a class"),
            ({"vectorization": "threads"}, "one of sync, async, vector"),
        ],
    )
    def test_one_sentence(self, runtime, sentence):
        with pytest.raises(UsageError, match=sentence):
            train("CartPole-v1", SMALL, runtime=runtime)


def stop_at(iteration):
    def stop(run):
        if run.progress.iterations == iteration:
            run.stop("as asked")

    return stop
