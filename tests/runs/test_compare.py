"""``ppocore compare``: whether runs are equal, and their first difference."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from ppocore import PPOConfig, train
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.cli import main
from ppocore.errors import UsageError
from ppocore.runs import compare

CONFIG = PPOConfig(
    total_steps=512, num_envs=4, num_steps=16, minibatch_size=32, update_epochs=2, hidden_sizes=(8,)
)  # 8 iterations of 4 updates
UPDATES = 4


def tampering(update, tensor, until=None):
    """A backend that reports ``tensor`` with the last bit of one element flipped from ``update`` until ``until``."""

    class Tampering(NumpyBackend):
        name = "tampering"

        def state(self):
            state = super().state()
            made = int(state["adam.step"])
            if made >= update and (until is None or made < until):
                state[tensor].reshape(-1).view(np.uint32)[-1] ^= 1
            return state

    return Tampering


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs to compare, by name."""
    root = tmp_path_factory.mktemp("runs")
    first_of_sixth = 5 * UPDATES + 1
    for name, settings in {
        "first": {},
        "again": {},
        "weight": {"backend": tampering(first_of_sixth, "critic.hidden.0.bias")},
        "moment": {"backend": tampering(first_of_sixth, "adam.v.critic.output.weight")},
        "healed": {"backend": tampering(2 * UPDATES + 1, "adam.m.actor.output.bias", until=3 * UPDATES + 1)},
        "seed": {"seed": 1},
        "gamma": {"config": CONFIG.replace(gamma=0.5)},
        "longer": {"config": CONFIG.replace(total_steps=1024, anneal_learning_rate=False)},
        "constant": {"config": CONFIG.replace(anneal_learning_rate=False)},
        "kl": {"config": CONFIG.replace(learning_rate=0.1, target_kl=1e-9)},
    }.items():
        train("CartPole-v1", **{"config": CONFIG, **settings}, run_dir=root / name)
    return root


def first_difference(root, first, other):
    (found,) = compare([root / first, root / other]).first_differences
    return found


def test_each_tensor_has_the_digest_of_its_documented_text_and_bytes():
    seen = []

    class Recording(NumpyBackend):
        def state(self):
            seen.append(super().state())
            return seen[-1]

    history = train("CartPole-v1", CONFIG, backend=Recording).history
    state, recorded = seen[-1], history[-1]["tensors"]
    assert list(recorded) == list(state)
    for name, array in state.items():
        content = f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes()
        assert recorded[name] == hashlib.sha256(content).hexdigest()[:12], name


def test_equal_runs(root, capsys):
    result = compare([root / "first", root / "again"])
    assert result.equal
    assert result.first_differences == [None]
    assert result.settings == [{}]
    assert main(["compare", str(root / "first"), str(root / "again"), str(root / "first")]) == 0
    out = capsys.readouterr().out
    fingerprint = json.loads((root / "first" / "metrics.jsonl").read_text().splitlines()[-1])["fingerprint"]
    assert out.count(fingerprint) == 3
    assert out.count("equals") == 2
    assert len(out.splitlines()) == 5


def test_the_iteration_and_the_first_tensor_that_differ_are_named(root, capsys):
    found = first_difference(root, "first", "weight")
    assert (found.iteration, found.tensors, found.counters) == (6, ("critic.hidden.0.bias",), ())
    assert found.equal_from is None
    found = first_difference(root, "moment", "weight")  # canonical order: weights before moments
    assert (found.iteration, found.tensors) == (6, ("critic.hidden.0.bias", "adam.v.critic.output.weight"))
    assert main(["compare", str(root / "first"), str(root / "weight")]) == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert "iteration 6 of 8: tensor critic.hidden.0.bias (first of 1 that differ, of 25)" in said
    assert said.endswith("not equal in the end")


def test_runs_that_are_equal_again_in_the_end(root, capsys):
    found = first_difference(root, "first", "healed")
    assert (found.iteration, found.tensors, found.equal_from) == (3, ("adam.m.actor.output.bias",), 4)
    assert main(["compare", str(root / "first"), str(root / "healed")]) == 1
    assert "equal again from iteration 4 on" in capsys.readouterr().out


def test_counters_that_differ_are_named(root):
    assert first_difference(root, "constant", "kl").counters == ("updates",)


def test_different_settings_are_listed_first(root, capsys):
    result = compare([root / "first", root / "seed", root / "gamma", root / "weight"])
    assert result.settings == [{"seed": (0, 1)}, {"gamma": (0.99, 0.5)}, {}]  # the backend is not compared
    assert [p is not None and p.iteration for p in result.first_differences] == [1, 1, 6]
    assert main(["compare", str(root / "first"), str(root / "gamma")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "differ in gamma (0.99 and 0.5)" in lines[2]
    assert "first differs from" in lines[3]


def test_runs_of_unequal_length_are_compared_as_far_as_both_go(root, capsys):
    assert main(["compare", str(root / "constant"), str(root / "longer")]) == 0  # a constant learning rate
    out = capsys.readouterr().out
    assert "total_steps (512 and 1024)" in out
    assert "8 and 16 iterations: the 8 that both have are compared" in out
    assert out.splitlines()[-1].endswith("after each of 8 iterations")


def test_json(root, capsys):
    paths = [str(root / name) for name in ("first", "again", "weight", "healed")]
    assert main(["compare", *paths, "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert result["equal"] is False
    assert [run["run"] for run in result["runs"]] == paths
    assert list(result["runs"][0]) == ["run", "env", "backend", "seed", "iterations", "fingerprint"]
    assert [c["run"] for c in result["comparisons"]] == paths[1:]
    assert [c["common_iterations"] for c in result["comparisons"]] == [8, 8, 8]
    again, weight, healed = (c["difference"] for c in result["comparisons"])
    assert again is None
    assert weight == {
        "iteration": 6,
        "tensor": "critic.hidden.0.bias",
        "tensors": ["critic.hidden.0.bias"],
        "counters": [],
        "equal_from": None,
    }
    assert healed["equal_from"] == 4


class TestBadInput:
    """One sentence that names the file and the line, status 2."""

    def refused(self, capsys, *paths):
        assert main(["compare", *map(str, paths)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return line

    @pytest.fixture
    def copy(self, root, tmp_path):
        for name in ("config.json", "metrics.jsonl"):
            (tmp_path / name).write_bytes((root / "first" / name).read_bytes())
        return tmp_path

    def test_one_run(self, root, capsys):
        assert "two runs or more" in self.refused(capsys, root / "first")

    def test_no_run_directory(self, root, tmp_path, capsys):
        assert "nowhere is not a run directory" in self.refused(capsys, root / "first", tmp_path / "nowhere")
        assert "is not a run directory" in self.refused(capsys, tmp_path, root / "first")

    def test_no_metrics(self, root, copy, capsys):
        (copy / "metrics.jsonl").unlink()
        assert "metrics.jsonl cannot be read" in self.refused(capsys, root / "first", copy)

    def test_empty_metrics(self, root, copy, capsys):
        (copy / "metrics.jsonl").write_text("")
        assert "no complete iteration" in self.refused(capsys, root / "first", copy)

    def test_no_common_iteration(self, root, copy, capsys):
        lines = (copy / "metrics.jsonl").read_text().splitlines()
        (copy / "metrics.jsonl").write_text(json.dumps({**json.loads(lines[0]), "iteration": 99}))
        assert "no iteration in common" in self.refused(capsys, root / "first", copy)

    @pytest.mark.parametrize(
        ("third", "said"),
        [
            (b'{"iteration": 3, "fing', "is not valid JSON"),
            (b"\xff\xfe\x00", "is not valid JSON"),
            (b"", "is not valid JSON"),
            (b"[1, 2]", "it is a list, expected an object"),
            (b'{"iteration": 3, "steps": 4, "updates": 5, "fingerprint": 6}', "it has no tensors"),
            (
                b'{"iteration": 3, "steps": 4, "updates": 5, "fingerprint": 6, "tensors": {}}',
                "fingerprint is 6, expected a string",
            ),
        ],
    )
    def test_an_unreadable_line(self, third, said, root, copy, capsys):
        lines = (copy / "metrics.jsonl").read_bytes().splitlines()
        lines[2] = third
        (copy / "metrics.jsonl").write_bytes(b"\n".join(lines))
        line = self.refused(capsys, root / "first", copy)
        assert f"{copy / 'metrics.jsonl'}, line 3" in line
        assert said in line

    def test_too_few_runs_for_the_function(self):
        with pytest.raises(UsageError, match="two runs or more"):
            compare(["only"])
