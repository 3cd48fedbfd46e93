"""An ONNX model that does not act as its policy does is not written."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from support.interrupting import SMALL
from support.policies import OBSERVATIONS, policy_for

from ppocore import Policy, train
from ppocore.errors import RunError

onnxruntime = pytest.importorskip("onnxruntime")
from ppocore.export import onnx as onnx_export  # noqa: E402  (where onnx is installed)
from ppocore.export import verify as onnx_check  # noqa: E402  (where onnx is installed)
from ppocore.export.onnx import export_onnx  # noqa: E402


def replaced(old, new):
    return "add", lambda add: lambda graph, operator, *x, **a: add(graph, operator.replace(old, new), *x, **a)


BROKEN = {
    "another activation": replaced("Tanh", "Relu"),
    "no bias": ("add", lambda add: lambda graph, op, *x, **a: x[0] if op == "Add" else add(graph, op, *x, **a)),
    "normalization left out": ("clip", lambda clip: lambda graph, x, low, high: x),
    "the least probable action": replaced("ArgMax", "ArgMin"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_differs_from_its_policy_is_not_written(name, tmp_path, monkeypatch):
    policy = train("CartPole-v1", SMALL.replace(normalize_observations=True, total_steps=128)).policy
    rng = np.random.default_rng(1)
    for weight, array in policy.weights.items():
        policy.weights[weight] = array + rng.normal(0.0, 0.5, array.shape).astype(np.float32)
    policy = Policy(policy.spec, policy.weights, policy.adapter, policy.mapping, policy.normalizer.state())
    export_onnx(policy, tmp_path / "right.onnx")
    attribute, change = BROKEN[name]
    monkeypatch.setattr(onnx_export.Graph, attribute, change(getattr(onnx_export.Graph, attribute)))
    if name == "normalization left out":
        policy.normalizer.clip = 0.5
    with pytest.raises(RunError, match=r"the model's (parameters|action) .*: it was not written") as caught:
        export_onnx(policy, tmp_path / "wrong.onnx")
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["right.onnx"]


def break_action(monkeypatch, changed):
    """Replace operators in the part of the graph that computes the action; None removes one."""
    action, add = onnx_export._action, onnx_export.Graph.add

    def changed_add(graph, operator, *x, **a):
        replacement = changed.get(operator, operator)
        return x[0] if replacement is None else add(graph, replacement, *x, **a)

    def broken(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(onnx_export.Graph, "add", changed_add)
            return action(*arguments)

    monkeypatch.setattr(onnx_export, "_action", broken)


@pytest.mark.parametrize("width", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("continuous", "changed"), [("squashed_gaussian", {"Tanh": None}), ("beta", {"Div": "Mul"})])
def test_wrong_actions_are_detected_for_bounds_of_any_width(continuous, changed, width, tmp_path, monkeypatch):
    policy = policy_for((Box(-width, width, (2,)), continuous), OBSERVATIONS["box"], hidden_sizes=(4,))
    export_onnx(policy, tmp_path / "right.onnx")
    break_action(monkeypatch, changed)
    with pytest.raises(RunError, match=r"the model's action .* is not the policy's"):
        export_onnx(policy, tmp_path / "wrong.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["right.onnx"]


@pytest.mark.parametrize(
    ("space", "zeroed", "changed"),
    [
        (MultiDiscrete([2, 4]), slice(0, 2), {"ArgMax": "ArgMin"}),  # the first component ties, not the second
        (Discrete(3, start=7), slice(None), {"Add": None}),  # all tie, but 0 is not an action
        (MultiBinary(2), slice(0, 1), {"Greater": "Less"}),
    ],
)
def test_a_tie_hides_no_other_mistake(space, zeroed, changed, tmp_path, monkeypatch):
    policy = policy_for((space, "gaussian"), OBSERVATIONS["box"], zeroed=zeroed, hidden_sizes=(4,))
    export_onnx(policy, tmp_path / "right.onnx")
    break_action(monkeypatch, changed)
    with pytest.raises(RunError, match=r"the model's action .* is not the policy's"):
        export_onnx(policy, tmp_path / "wrong.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["right.onnx"]


def test_a_model_that_ignores_the_mask_is_not_written(tmp_path, monkeypatch):
    policy = policy_for("categorical", OBSERVATIONS["box"], hidden_sizes=(4,))
    monkeypatch.setattr(onnx_export, "_masked", lambda graph, policy, parameters, mask: parameters)
    with pytest.raises(RunError, match=r"the model's action .* is not the policy's"):
        export_onnx(policy, tmp_path / "wrong.onnx", with_mask=True)
    assert list(tmp_path.iterdir()) == []


def test_wrong_parameters_are_detected_where_actions_are_right(tmp_path, monkeypatch):
    output = onnx_export.Graph.output

    def doubled(graph, name, value, *rest):
        output(graph, name, graph.add("Add", value, value) if name == "parameters" else value, *rest)

    monkeypatch.setattr(onnx_export.Graph, "output", doubled)
    with pytest.raises(RunError, match="the model's parameters differ from the policy's by"):
        export_onnx(policy_for("categorical", OBSERVATIONS["box"]), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("continuous", "width", "dtype", "error", "differs"),
    [
        ("beta", 1e-6, np.float32, 1e-9, True),
        ("beta", 1e6, np.float32, 1.0, False),  # a millionth of the range
        ("gaussian", 1e6, np.float32, 1.0, True),  # its mean is not scaled to the bounds
        ("beta", 1.0, np.float16, 2.0**-11, False),  # one step of float16 at 0.5
        ("beta", 1.0, np.float16, 2.0**-10, True),
    ],
)
def test_how_much_continuous_actions_may_differ(continuous, width, dtype, error, differs):
    policy = policy_for((Box(-width, width, (1,), dtype), continuous), OBSERVATIONS["box"])
    taken = np.array([[0.5 * min(width, 1.0)]], dtype)
    moved = (taken + np.array(error, dtype)).astype(dtype)
    assert moved != taken
    assert bool(onnx_check._numbers_differ(policy, None, None, moved, taken)) == differs


def test_any_of_the_tied_actions_is_right(tmp_path, monkeypatch):
    policy = policy_for((Discrete(3), "gaussian"), OBSERVATIONS["box"], zeroed=slice(None), hidden_sizes=(4,))
    add = onnx_export.Graph.add
    last = {"ArgMax": {"select_last_index": 1}}
    monkeypatch.setattr(
        onnx_export.Graph, "add", lambda graph, op, *x, **a: add(graph, op, *x, **a, **last.get(op, {}))
    )
    export_onnx(policy, tmp_path / "last.onnx", checks=4)
    observations = np.zeros((1, 2, 3), np.float32)
    model = onnxruntime.InferenceSession(tmp_path / "last.onnx", providers=["CPUExecutionProvider"])
    assert model.run(["action"], {"observation": observations})[0].tolist() == [2]
    assert policy.act(observations).tolist() == [0]
