"""What the library says of its arguments is said on the command line of the options."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import ppocore
from ppocore.cli import main
from ppocore.cli.parser import build_parser
from ppocore.cli.words import in_options
from ppocore.training import Runtime

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = build_parser().commands
QUICK = {"total_steps": 64, "num_envs": 2, "num_steps": 16, "minibatch_size": 16, "hidden_sizes": (4,)}
RAISING = re.compile(r"\w*(Error|Fault)$|warn$|add_explanation$")


@pytest.mark.parametrize(
    ("command", "said", "expected"),
    [
        ("train", "gamma=1.5 is out of range", "--gamma 1.5 is out of range"),
        ("train", "total_steps=3 is less than num_envs=2 x 8", "--steps 3 is less than --num-envs 2 x 8"),
        ("train", "set anneal_clip_range=False, or target_kl=None", "set --no-anneal-clip-range, or --target-kl none"),
        ("train", "leave critic_l2_coef= out", "leave --critic-l2-coef out"),
        ("train", "shared_trunk=True shares", "--shared-trunk shares"),
        ("train", "hidden_sizes=(64, 32) is odd", "--hidden-sizes 64 32 is odd"),
        ("train", "observation_keys=['a', 'b'] must be", "--observation-keys a b must be"),
        ("train", 'use fewer (num_envs=), or vectorization="sync"', "use fewer (--num-envs), or --vectorization sync"),
        ("train", "pass another run_dir= or move it", "pass another --run-dir or move it"),
        ("resume", "pass restart_episodes=True", "pass --restart-episodes"),
        ("resume", "more than steps=8: give a larger number", "more than --steps 8: give a larger number"),
        ("resume", "pass env='ale_py:ALE/Pong-v5'", "pass --env ale_py:ALE/Pong-v5"),
        ("resume", "again, with wrappers=", "again, with --wrapper"),
        ("export", "leave with_mask=True out", "leave --mask out"),
        # What is no option of the command, and what others say, stays as it is.
        ("resume", "gamma=1.5 is out of range", "gamma=1.5 is out of range"),
        ("train", "run directory runs/seed=3 is not empty", "run directory runs/seed=3 is not empty"),
        ("train", "run directory seed=3 is not empty", "run directory seed=3 is not empty"),
        ("train", "CartPole failed: ValueError: seed=3", "CartPole failed: ValueError: seed=3"),
        ("resume", "r/config.json is odd: total_steps=0 is", "r/config.json is odd: total_steps=0 is"),
        ("train", "there is no environment 'seed=3'", "there is no environment 'seed=3'"),
    ],
)  # fmt: skip
def test_a_sentence_in_options(command, said, expected):
    assert in_options(said, COMMANDS[command]) == expected


def sentences():
    """Yield where, and the text of, every string of the library that is part of an error or a warning."""
    for file in sorted(path for folder in ("ppocore", "envs", "backends") for path in (ROOT / folder).rglob("*.py")):
        if file.parent.name == "cli":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        roots = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        roots += [node for node in ast.walk(tree) if isinstance(node, ast.Call) and RAISING.match(_name(node.func))]
        roots += [node for node in ast.walk(tree) if getattr(node, "name", "") == "_contradictions"]
        seen = set()
        for node in (node for root in roots for node in _texts(root)):
            if id(node) not in seen:
                seen.add(id(node))
                yield f"{file.relative_to(ROOT)}:{node.lineno}", _text(node)


def _name(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(node):
    """Yield the outermost strings below a node, without docstrings."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from _texts(child)


def _text(node):
    if isinstance(node, ast.Constant):
        return node.value
    return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)


SENTENCES = dict.fromkeys(sentences())
ARGUMENTS = {
    name for where in (ppocore.train, ppocore.resume, ppocore.evaluate) for name in inspect.signature(where).parameters
} | {field.name for kind in (ppocore.PPOConfig, Runtime) for field in dataclasses.fields(kind)}
OPTIONS = {
    name.lstrip("-").replace("-", "_") for command in ("train", "resume", "evaluate") for name in
    [option for action in COMMANDS[command]._actions for option in action.option_strings]
}  # fmt: skip


def test_they_are_found():
    assert len(SENTENCES) > 300
    assert any("restart_episodes=True" in text for _, text in SENTENCES)


def test_no_sentence_of_the_library_names_an_option():
    """A program's reader has none; commands, which anyone can type, are in backticks or follow "with:"."""
    named = [(where, text) for where, text in SENTENCES if re.search(r"(?<!\S)--[a-z]", re.sub(r"`[^`]*`", "", text))]
    assert named == []


def test_every_argument_that_has_an_option_is_written_so_that_it_becomes_one():
    """As ``name=``; of names that are words, too, only the others can be told from prose."""
    bare = {
        (where, name)
        for where, text in SENTENCES
        if len(text.split()) > 3
        for name in re.findall(r"(?<![\w.'\"{\[])([a-z]+(?:_[a-z0-9]+)+)(?![\w(=])", text)
        if name in ARGUMENTS & OPTIONS
    }
    assert {(where.partition(":")[0], name) for where, name in bare} == {
        # Of what only a program can pass: a loss's objective, a vector environment, a class, a wrong config.
        ("backends/autograd_loss.py", "kl_coef"),
        ("backends/numpy_loss.py", "kl_coef"),
        ("envs/make.py", "env_kwargs"),
        ("ppocore/presets.py", "hidden_sizes"),
        ("ppocore/registry.py", "adam_epsilon"),
        # Of what a file says.
        ("ppocore/runs/checkpoint_file.py", "num_envs"),
        ("ppocore/runs/configuration.py", "env_kwargs"),
    }


def test_every_argument_becomes_an_option_on_a_command_line():
    written = {name for _, text in SENTENCES for name in re.findall(r"(?<![\w.'\"])([a-z0-9_]+)=", text)}
    written |= {field.name for field in dataclasses.fields(ppocore.PPOConfig)}  # `require` has any of them
    left = {
        name
        for name in written & ARGUMENTS
        if not any(in_options(f"pass {name}=", parser).startswith("pass --") for parser in COMMANDS.values())
    }
    assert left == {"runtime", "callbacks", "collector", "config"} & written


def sentence(capsys, *arguments):
    capsys.readouterr()
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_same_refusal_in_both_worlds(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ppocore.train("CartPole-v1", QUICK, run_dir="run")
    with pytest.raises(ValueError, match="run is not empty: pass another run_dir= or move it away, or") as told:
        ppocore.train("CartPole-v1", QUICK, run_dir="run")
    assert str(told.value).endswith("resume the run in it with: ppocore resume run")
    line = sentence(capsys, "train", "CartPole-v1", "--quiet", "--run-dir", "run")
    assert "run directory run is not empty: pass another --run-dir or move it away, or resume the run in it" in line
    with pytest.raises(ValueError, match="more than steps=32: give a larger number"):
        ppocore.resume("run", steps=32)
    assert "more than --steps 32: give a larger number" in sentence(capsys, "resume", "run", "--steps", "32")


def test_how_a_run_of_a_callable_is_resumed_is_said_in_a_program(tmp_path):
    import gymnasium as gym

    def make():
        return gym.make("CartPole-v1")

    ppocore.train(make, QUICK, run_dir=tmp_path / "run")
    with pytest.raises(ValueError, match=r"resume the run in it with: ppocore\.resume\('.*run', env=\.\.\.\)"):
        ppocore.train(make, QUICK, run_dir=tmp_path / "run")
