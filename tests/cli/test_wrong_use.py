"""Wrong use of the command line: one sentence, with what may be meant; and its help."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ppocore
from ppocore.cli import main
from ppocore.runs import UnusedDirectory

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *arguments):
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    (line,) = captured.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--video", " (see"),
        ("--lr", "; here it is --learning-rate (see"),
        ("--n_steps", "; here it is --num-steps (see"),
        ("--ent_coef=0.1", "; here it is --entropy-coef (see"),
        ("--total-timesteps", "; here it is --total-steps (see"),
        ("--gama", "; did you mean --gamma? (see"),
        ("--log-dir", "; here it is --run-dir (see"),
        ("--a\nb", " (see"),
    ],
)
def test_an_unknown_option(argument, hint, capsys):
    line = refused(capsys, "train", argument)
    assert line.startswith(f"ppocore train: unknown argument {' '.join(argument.split())}{hint}")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"], ["evaluate", "--help"]])
@pytest.mark.parametrize("columns", ["60", "80"])
def test_the_help_has_examples_and_breaks_no_word(arguments, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    texts = []
    for width in ("1000", columns):
        monkeypatch.setenv("COLUMNS", width)
        if arguments:
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 0
        else:
            assert main(arguments) == 0
        texts.append(capsys.readouterr().out)
    wide, narrow = texts
    assert "examples:\n" in narrow
    assert set(narrow.split()) == set(wide.split())  # the same words, none of them broken


def test_runs_that_start_at_once_have_directories_of_their_own(tmp_path):
    stem = UnusedDirectory(tmp_path / "runs", "é/CartPole-v1 s0")
    made = [stem.make()[0].name for _ in range(3)]
    assert made == ["--CartPole-v1-s0", "--CartPole-v1-s0-2", "--CartPole-v1-s0-3"]
    assert len(UnusedDirectory(tmp_path, "x" * 1000).make()[0].name) == 200


@pytest.mark.posix
def test_several_processes_at_once(tmp_path):
    options = "--steps 128 --num-envs 2 --num-steps 16 --minibatch-size 16 --hidden-sizes 4 --quiet".split()
    command = [sys.executable, "-m", "ppocore", "train", "CartPole-v1", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(timeout=120) for process in started] == [0] * 4
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert names == {"CartPole-v1-numpy-s0", *(f"CartPole-v1-numpy-s0-{n}" for n in (2, 3, 4))}


def test_sentences_that_misled(capsys):
    settings = {"total_steps": 64, "num_envs": 2, "num_steps": 16, "minibatch_size": 16, "hidden_sizes": 4}
    ppocore.train("CartPole-v1", settings, run_dir="run")
    assert "run holds no failed update" in refused(capsys, "replay", "run")
    assert "/proc/x.onnx cannot be written" in refused(capsys, "export", "run", "--onnx", "/proc/x.onnx")
    assert "--seed -1 is negative" in refused(capsys, "evaluate", "run", "--seed", "-1")
    assert "there is no policy at xxx" in refused(capsys, "evaluate", "x" * 300)
    assert "cannot be imported" in refused(capsys, "evaluate", "run", "--env", "..:CartPole-v1")
    for episodes in ("0", "9007199254740993"):
        assert "must be between 1 and 1000000" in refused(capsys, "evaluate", "run", "--episodes", episodes)


@pytest.mark.posix
def test_a_terminal_of_another_encoding(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    command = [sys.executable, "-m", "ppocore", "evaluate", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"ppocore evaluate: there is no policy at caf\\udce9: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def backend_file(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "from ppocore.backends.numpy_backend import NumpyBackend\n"
        "class Empty: pass\n"
        "class Half:\n"
        "    name, own_network = 'half', None\n"
        "    def __init__(self, spec, *, precision, adam_epsilon, device): pass\n"
        "    def update(self, batch, objective, step): pass\n"
        "class Whole(NumpyBackend):\n"
        "    name = 'whole'\n"
    )
    yield
    sys.modules.pop("theirs", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


@pytest.mark.usefixtures("backend_file")
def test_a_backend_in_a_file_is_checked(capsys):
    assert main(["check-backend", "theirs.py:Whole", "--examples", "1"]) == 0
    assert "Whole on cpu: every property held" in capsys.readouterr().out
    line = refused(capsys, "check-backend", "theirs.py:Empty")
    assert "backend Empty cannot be made" in line
    line = refused(capsys, "check-backend", "theirs:Half")
    lacks = "using_threads, weights, state, load_state, forward, evaluate, gradients"
    assert f"backend Half has no {lacks}: see ppocore.backend.Backend" in line
    assert "theirs.py has no Missing" in refused(capsys, "check-backend", "theirs.py:Missing")
    assert "there is no file nowhere.py" in refused(capsys, "check-backend", "nowhere.py:X")


def test_the_skeleton_is_a_backend_whose_methods_are_to_be_written(capsys, tmp_path):
    assert main(["check-backend", "--skeleton"]) == 0
    (tmp_path / "skeleton_copy.py").write_text(capsys.readouterr().out)
    line = refused(capsys, "check-backend", "skeleton_copy.py:MyBackend")
    assert "load_state, weights, state, forward, evaluate, gradients, update raise NotImplementedError" in line


def test_a_registered_name_is_known_in_its_program_alone(capsys):
    assert "MODULE:CLASS or FILE.py:CLASS" in refused(capsys, "check-backend", "mine")


@pytest.fixture
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_options", ROOT / "benchmarks" / "fuzz_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.posix
def test_random_command_lines(fuzz):
    """``benchmarks/fuzz_options.py``, which tries thousands."""
    statuses, faults = fuzz.fuzz(40, seed=7, seconds=120.0)
    assert not faults, "\n".join(faults)
    assert set(statuses) >= {0, 2}


def test_the_fuzzer_knows_a_fault(fuzz):
    assert fuzz.fault(2, "", "one line\n") is None
    assert fuzz.fault(0, "", "") is None
    assert fuzz.fault(None, "", "") == "took too long"
    assert fuzz.fault(-9, "", "") == "exit status -9"
    assert fuzz.fault(1, "", "Traceback (most recent call last)\n") == "a traceback"
    assert fuzz.fault(2, "", "one\ntwo\n") == "2 lines on wrong usage"
    assert fuzz.fault(1, "", "") == "failed without a word"
