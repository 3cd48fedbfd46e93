"""Fuzz the files of runs: changed entries under right checksums, and other kinds of files in their places.

Called by ``benchmarks/fuzz.py files``.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_cases import outcome_of, parser, run
from fuzz_changes import Change, change_json, change_tensor, text_of
from safetensors import safe_open
from safetensors.numpy import load_file, save

from ppocore import Policy, PPOConfig, resume, train
from ppocore.backend import Minibatch, Objective, OptimizerStep
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import UsageError
from ppocore.evaluation import evaluate
from ppocore.export.onnx import export_onnx
from ppocore.files import run_files
from ppocore.files.tensor_file import _checksum
from ppocore.networks import NetworkSpec
from ppocore.runs import compare, encode_bundle, environment_of, read_bundle, replay, replay_lines
from ppocore.training import FailedUpdate

TINY = PPOConfig(
    total_steps=48, num_envs=2, num_steps=8, minibatch_size=16, update_epochs=1, hidden_sizes=(4,),
    anneal_learning_rate=False,
)  # fmt: skip
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("CartPole-v1", {}),
    "normalized": ("Pendulum-v1", {"normalize_observations": True, "normalize_rewards": True}),
    "penalty": ("FrozenLake-v1", {"objective": "kl", "kl_penalty_target": 0.01, "shared_trunk": True}),
    "beta": ("Pendulum-v1", {"continuous_policy": "beta", "adaptive_lr_kl": 0.01}),
}
NODES = ("named pipe", "directory", "socket", "device", "link to zeros", "link to a file", "link to nothing", "huge",
         "empty", "random bytes", "cut off", "hard link")  # fmt: skip


class Workplace:
    """Hold the good files that cases are made from, in a temporary directory."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fuzz"))
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(self.root, ignore_errors=True))
        for name, (env, changes) in RUNS.items():
            config = TINY.replace(**changes)
            train(env, config, seed=3, run_dir=self.root / name, checkpoint_every=1, keep=1, callbacks=[_stop])
        self.bundle = self.root / "bundle.safetensors"
        self.bundle.write_bytes(encode_bundle(_failed_update()))
        self.expected = {(name, what): self._outcome(name, what) for name in RUNS for what in ACTIONS}
        """The outcome of each action on the good files of each run."""

    def _outcome(self, name: str, what: str) -> str:
        folder = Path(tempfile.mkdtemp(dir=self.root))
        shutil.copytree(self.root / name, folder / "run")
        shutil.copy(self.bundle, folder)
        outcome = outcome_of(lambda: ACTIONS[what](folder))
        shutil.rmtree(folder)
        return outcome


def _stop(run: Any) -> None:
    if run.snapshot.iterations == 2:
        run.stop("as the fuzzer wants")


def _stop_later(run: Any) -> None:
    if run.snapshot.iterations >= 3:
        run.stop("as the fuzzer wants")


def _failed_update() -> FailedUpdate:
    spec = NetworkSpec(3, "categorical", 2, (4,))
    backend, rng = NumpyBackend(spec, precision="exact", adam_epsilon=1e-5, device="cpu"), np.random.default_rng(0)
    backend.load_state(spec.initial_weights(rng))
    numbers = rng.normal(size=(5, 8))
    batch = Minibatch(rng.normal(size=(8, 3)), rng.integers(0, 2, 8), -abs(numbers[0]), *numbers[1:4])
    failed = FailedUpdate.of(backend, spec, TINY, batch, Objective(0.2), OptimizerStep(1e-3, 0.5))
    assert failed is not None
    return failed


def _resume(folder: Path) -> str:
    result = resume(folder / "run", callbacks=[_stop_later])  # a changed number of steps could be any
    numbers = [result.mean_return, *(row.get("seconds", 0.0) for row in result.history)]
    finite = all(number is None or math.isfinite(number) for number in numbers)
    return f"{'' if finite else '! not finite '}resumed: {result.fingerprint} {result.episodes} {result.mean_return}"


def _evaluate(folder: Path) -> str:
    path = folder / "run"
    made = environment_of(path)
    policy = Policy.load(path)
    found = evaluate(policy, made.env, episodes=1, env_kwargs=made.env_kwargs, wrappers=made.wrappers)
    mean = found.summary()["mean_return"]
    return f"{'' if math.isfinite(mean) else '! not finite '}evaluated: {mean}"


def _load(folder: Path) -> str:
    files = [folder / "run" / "policy.safetensors", *run_files(folder / "run")]
    policy = Policy.load(next((file for file in files if file.exists()), files[-1]))
    try:
        action = policy.act_on_vectors(np.ones((2, policy.mapping.size)))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return f"acted: {np.asarray(action).tolist()}"


def _export(folder: Path) -> str:
    export_onnx(Policy.load(folder / "run"), folder / "model.onnx", checks=4)
    return "exported: "


def _compare(folder: Path) -> str:
    comparison = compare([folder / "run", folder / "run"])
    return f"compared: {json.dumps(comparison.summary()['comparisons']).replace(str(folder), '')}"


def _replay(folder: Path) -> str:
    failed = read_bundle(folder / "bundle.safetensors")
    return f"replayed: {replay_lines(failed, replay(failed))}"


ACTIONS: dict[str, Callable[[Path], str]] = {
    "resume": _resume, "evaluate": _evaluate, "load": _load, "export": _export, "compare": _compare, "replay": _replay,
}  # fmt: skip
TARGETS = {  # what is done with each file, the more often the more often it is listed
    "checkpoint": ("resume", "resume", "resume", "load"),
    "policy": ("load",) * 7 + ("evaluate", "evaluate", "export"),
    "configuration": ("resume", "resume", "evaluate", "compare"),
    "metrics": ("resume", "compare"),
    "bundle": ("replay",),
}


def _path(folder: Path, target: str) -> Path:
    run = folder / "run"
    if target == "checkpoint":
        return run_files(run)[-1]
    names = {"policy": "policy.safetensors", "configuration": "config.json", "metrics": "metrics.jsonl"}
    return folder / "bundle.safetensors" if target == "bundle" else run / names[target]


def _change(path: Path, draw: random.Random) -> Change:
    """Change one entry of a file, or several, and write it with a right checksum."""
    count = draw.choice((1, 1, 1, 2, 3))
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as opened:
            description = json.loads(opened.metadata()["ppocore"])
        tensors = load_file(path)
        changes = [
            change_json(description, draw) if draw.random() < 0.5 or not tensors else change_tensor(tensors, draw)
            for _ in range(count)
        ]
        description.pop("checksum", None)
        tensors = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
        try:  # what the reader will have parsed is what the checksum is over
            parsed = json.loads(text_of(description))
            description["checksum"] = _checksum(tensors, parsed)
        except (ValueError, RecursionError):
            pass
        path.write_bytes(save(tensors, {"ppocore": text_of(description)}))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        changes = [change_json(draw.choice(rows), draw) for _ in range(count)]
        path.write_text("".join(text_of(row) + "\n" for row in rows))
    else:
        content = json.loads(path.read_text())
        changes = [change_json(content, draw) for _ in range(count)]
        path.write_text(text_of(content))
    return Change("; ".join(change.what for change in changes), any(change.possible for change in changes))


def _replace(path: Path, draw: random.Random, precious: Path) -> Change:
    """Put another kind of file in the place of one."""
    kind = draw.choice(NODES)
    content = path.read_bytes() if path.is_file() else b"precious"
    path.unlink(missing_ok=True)
    precious.write_bytes(content)
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            here = os.getcwd()
            os.chdir(path.parent)  # the name of a socket must be short
            bound.bind(path.name)
            os.chdir(here)
    elif kind in ("device", "link to zeros"):
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    elif kind == "link to a file":
        path.symlink_to(precious)
    elif kind == "link to nothing":
        path.symlink_to(path.parent / "nothing")
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(2**42)
    elif kind == "hard link":
        os.link(precious, path)
    else:
        random_bytes = draw.randbytes(draw.randrange(1, 5000))
        cut = content[: draw.randrange(len(content))] if content else b""
        path.write_bytes({"empty": b"", "random bytes": random_bytes, "cut off": cut}[kind])
    return Change(f"{path.name} is {kind}", True)


def case(workplace: Workplace, seed: int, number: int) -> tuple[str, str]:
    """Make one case, try it, and return what was tried and the outcome."""
    draw = random.Random(f"{seed} {number}")
    target = draw.choice((*TARGETS, "checkpoint", "checkpoint", "policy"))
    name = draw.choice(tuple(RUNS))
    what = draw.choice(TARGETS[target])
    folder = Path(tempfile.mkdtemp(dir=workplace.root))
    try:
        shutil.copytree(workplace.root / name, folder / "run")
        shutil.copy(workplace.bundle, folder)
        path, precious = _path(folder, target), folder / "precious"
        if target == "checkpoint" and what == "load":
            (folder / "run" / "policy.safetensors").unlink()
        other = draw.random() < 0.1
        if other and draw.random() < 0.2:
            path = folder / "run" / draw.choice((".lock", ".holder.json", "best.safetensors", "fault.txt"))
        change = _replace(path, draw, precious) if other else _change(path, draw)
        before = precious.read_bytes() if other else b""
        outcome = outcome_of(lambda: ACTIONS[what](folder))
        if other and precious.read_bytes() != before:
            outcome = f"! the file that a link leads to was changed: {outcome}"
        elif target == "bundle" and (" fill " in change.what or " entry " in change.what):
            pass  # what is not finite is why there is a bundle
        elif not outcome.startswith("!") and not change.possible and ":" in outcome:
            worked = not outcome.split(":")[0].endswith("Error") and "Fault" not in outcome.split(":")[0]
            if worked and outcome != workplace.expected[name, what]:
                outcome = f"! accepted silently: {outcome}"
        return f"{what} {name} with {target}: {change.what}", outcome.replace(str(folder), "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the cases; return the exit status."""
    options = parser(__doc__.splitlines()[0], 10_000).parse_args(arguments)
    workplace = Workplace()
    for (name, what), good in workplace.expected.items():
        assert good[0] != "!", (name, what, good)
        assert "Error" not in good, (name, what, good)
    return run(lambda number: case(workplace, options.seed, number), options)
