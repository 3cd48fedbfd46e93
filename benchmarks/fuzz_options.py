"""Try random command lines, right and odd: each must succeed or say in one sentence what is wrong.

    python benchmarks/fuzz_options.py --count 2000 --seed 1

Every command line runs in a process of its own, in a folder with a few runs and files. It fails if the exit status is
not 0, 1 or 2, if there is a traceback, if wrong usage (2) is not reported in exactly one line, or if it takes too long.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gymnasium

import ppocore
from ppocore.cli import main as command_line
from ppocore.cli.parser import build_parser

QUICK = "--steps 128 --num-envs 2 --num-steps 16 --minibatch-size 16 --update-epochs 1 --hidden-sizes 4".split()
ODD = [
    *"0 -1 1 2 3 0.5 -0.0 1e-300 1e18 1e30 1e308 1e400 nan inf -inf 9007199254740993 99999999999999999999999".split(),
    *"none None true x é 1_000 0x10 \u0661 1,2 [] {} : .. / /dev/null - --- =3 ' \" \\ % %s $HOME *".split(),
    *("", " ", "a b", "a\nb", "\x01", "\udcff", "x" * 300, "y" * 5000, "\U0001f642"),
]
SMALL = "0.1 0.5 0.9 1 2 4 8 16 none tanh relu exact float32 same gae td vtrace minibatch rollout clip kl".split()
ENVIRONMENTS = (
    "CartPole-v1 CartPole CartPole-v0 CartPole-v99 Pendulum-v1 MountainCar FrozenLake-v1 Taxi-v3 cartpole-V1 Nope-v0 "
    "..:CartPole-v1 :CartPole-v1 CartPole-v1: no_such_module:X-v0 gymnasium:CartPole-v1 json:CartPole-v1 a/b-v0"
).split()
PATHS = (
    "run run/policy.safetensors run/best.safetensors run/config.json callable policy.safetensors empty text missing . "
    "/ /dev/null run/missing text/below missing/below loop"
).split()
TARGETS = (
    "numpy nope file.py:Empty file.py:Missing file.py text:x missing.py:X raises.py:X exits.py:X json:dumps json: :x "
    "file:Empty a:b:c"
).split()
WRAPPERS = (
    "FrameStackObservation:stack_size=2 TimeLimit:max_episode_steps=5 TimeLimit Nope FlattenObservation json:dumps "
    'FrameStackObservation:stack_size=x ClipReward:min_reward=-1 no_module:X :: a=1 TimeLimit:{} TimeLimit:{"a":'
).split()
PAIRS = 'is_slippery=false a=1 map_name=8x8 g=9.81 {"g":9} {"g": x=[1, =1 render_mode=nope max_episode_steps=5'.split()
BY_NAME = {
    "env": [*ENVIRONMENTS, *["CartPole-v1"] * len(ENVIRONMENTS)],
    "env_kwargs": PAIRS,
    "wrapper": WRAPPERS,
    "observation_keys": ["a", "image", ""],
    "name": TARGETS,
    "target": TARGETS,
    "path": [*PATHS, *["run"] * len(PATHS)],
    "paths": [*PATHS, *["run"] * len(PATHS)],
    "onnx": ["model.onnx", "/proc/x.onnx", "missing/m.onnx", ".", "text/m.onnx"],
    "run_dir": ["new", "run", "text", "text/below", "/proc/x", "é", "a/b/c", "/dev/null"],
    "backend": ["numpy", "numpy", "numpy", "nope", "Numpy"],
    "device": ["cpu", "cpu", "cuda", "tpu"],
    "report": ["console", "consol", "json"],
    "vectorization": ["sync", "async", "vector", "nope"],
    # Right values of these are small, or a run would take long; odd ones are refused whatever they are.
    "total_steps": ["64", "128", "256"],
    "num_envs": ["1", "2", "3"],
    "num_steps": ["8", "16"],
    "minibatch_size": ["8", "16", "32"],
    "update_epochs": ["1", "2"],
    "hidden_sizes": ["4", "8"],
    "episodes": ["1", "2"],
    "examples": ["1", "2"],
    "evaluate_episodes": ["0", "1"],
    "max_episode_steps": ["1", "9", "200"],
    "seed": ["0", "1", "7"],
    "threads": ["1", "2"],
}
ENDLESS = {"episodes", "examples", "update_epochs", "evaluate_episodes", "total_steps", "num_steps"}
"""Options of which a large number is right, and would take long."""


def draw(rng: random.Random) -> list[str]:
    """Return a command line."""
    commands = build_parser().commands
    weights = {"train": 8, "resume": 3, "evaluate": 5}
    command = rng.choices(list(commands), [weights.get(name, 1) for name in commands])[0]
    actions = [action for action in commands[command]._actions if action.dest != "help"]
    arguments: list[str] = []
    for action in actions:
        if not action.option_strings and rng.random() < 0.95:
            number = rng.choice((1, 2, 3)) if action.nargs == "+" else 1
            arguments += [_value(rng, action.dest, odd=0.1) for _ in range(number)]
    if command == "train":
        arguments += QUICK
    if command.startswith("check"):
        arguments += ["--examples", "1"]
    options = [action for action in actions if action.option_strings]
    for action in rng.sample(options, min(len(options), rng.choice((0, 0, 1, 1, 1, 2, 2, 3, 5)))):
        arguments.append(rng.choice(action.option_strings))
        if action.nargs == 0 or type(action).__name__ == "BooleanOptionalAction":
            continue
        for _ in range(rng.choice((0, 1, 1, 2)) if action.nargs in ("+", "*") else int(rng.random() < 0.95)):
            arguments.append(_value(rng, action.dest, odd=0.25))
    if rng.random() < 0.1:
        arguments.insert(rng.randrange(len(arguments) + 1), rng.choice(["--video", "--lr", "-x", "--", *ODD]))
    return [command, *arguments] if rng.random() < 0.98 else arguments


def _value(rng: random.Random, name: str, odd: float) -> str:
    if rng.random() >= odd:
        return rng.choice(BY_NAME.get(name, SMALL))
    value = rng.choice(ODD)
    return "-1" if name in ENDLESS and value in ("1e18", "1_000") else value


def outcome(arguments: list[str], seconds: float) -> tuple[int | None, str, str]:
    """Run a command line in a process of its own; return the exit status, None for one that was stopped, and output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.setsid()
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
                    try:
                        status = command_line(arguments)
                    except SystemExit as error:
                        status = error.code if isinstance(error.code, int) else 1
                    except BaseException:
                        traceback.print_exc()
            finally:
                os._exit(status)
        deadline, done, code = time.monotonic() + seconds, 0, 0
        while not done and time.monotonic() < deadline:
            done, code = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if not done:
            os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return (os.waitstatus_to_exitcode(code) if done else None), texts[0], texts[1]


def fault(status: int | None, out: str, err: str) -> str | None:
    """Return what is wrong with an outcome, if anything."""
    if status is None:
        return "took too long"
    if status not in (0, 1, 2):
        return f"exit status {status}"
    if "Traceback (most recent call last)" in out + err:
        return "a traceback"
    said = [line for line in err.splitlines() if ": warning: " not in line]
    if status == 2 and len(said) != 1:
        return f"{len(said)} lines on wrong usage"
    if status == 1 and not (out + err).strip():
        return "failed without a word"
    return None


@contextlib.contextmanager
def playground() -> Iterator[None]:
    """Work in a temporary folder with a few runs and files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-options-") as folder:
        os.chdir(folder)
        try:
            settings = {"total_steps": 64, "num_envs": 2, "num_steps": 16, "minibatch_size": 16, "hidden_sizes": 4}
            result = ppocore.train("CartPole-v1", settings, run_dir="run")
            ppocore.train(lambda: gymnasium.make("CartPole-v1"), settings, run_dir="callable")
            result.policy.save("policy.safetensors")
            Path("empty").mkdir()
            Path("text").write_text("text")
            Path("loop").symlink_to("loop")
            Path("file.py").write_text("class Empty: pass\n")
            Path("raises.py").write_text("raise KeyError('here')\n")
            Path("exits.py").write_text("raise SystemExit(3)\n")
            yield
        finally:
            os.chdir(before)


def fuzz(count: int, seed: int, seconds: float) -> tuple[Counter[int | None], list[str]]:
    """Try ``count`` command lines; return how often each exit status occurred, and a description of each fault."""
    rng, statuses, faults = random.Random(seed), Counter[int | None](), []
    with playground():
        for _ in range(count):
            arguments = draw(rng)
            status, out, err = outcome(arguments, seconds)
            statuses[status] += 1
            wrong = fault(status, out, err)
            if wrong is not None:
                line = shlex.join(arguments).encode("ascii", "backslashreplace").decode()
                faults.append(f"{wrong}: ppocore {line[:500]}\n    {' | '.join(err.splitlines()[-3:])[-600:]}")
    return statuses, faults


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="number of command lines (2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the command lines (0)")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="X", help="most seconds for each (30)")
    options = parser.parse_args(arguments)
    statuses, faults = fuzz(options.count, options.seed, options.seconds)
    print("\n".join(faults))
    shown = ", ".join(f"{number} with status {status}" for status, number in sorted(statuses.items(), key=str))
    print(f"{options.count} command lines, seed {options.seed}: {shown}; {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
