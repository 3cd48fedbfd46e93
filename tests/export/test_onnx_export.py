"""An exported ONNX model acts as its policy does, and a model that does not is not written."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.interrupting import SMALL
from support.networks import random_weights
from support.spaces import ACTION_SPACES, Numbers

from ppocore import ObservationNormalizer, Policy, train
from ppocore.cli.parser import main
from ppocore.envs import action_space, observation_mapping
from ppocore.errors import RunError, UsageError
from ppocore.networks import NetworkSpec
from ppocore.spaces import ActionAdapter
from ppocore.testing import policies

onnxruntime = pytest.importorskip("onnxruntime")
from ppocore.export import onnx as onnx_export  # noqa: E402  (where onnx is installed)
from ppocore.export import verify as onnx_check  # noqa: E402  (where onnx is installed)
from ppocore.export.onnx import export_onnx  # noqa: E402


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def make(seed=0, **fixed):
    """Draw one policy with hypothesis."""
    return draw_policy(seed, tuple(fixed.items()))


@functools.cache
def draw_policy(seed, fixed):
    found = []

    @settings(max_examples=seed + 5, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(policies(**dict(fixed)))
    def collect(policy):
        found.append(policy)

    collect()
    return found[-1]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(policies(), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_every_kind_of_policy(tmp_path_factory, policy, batch, seed):
    path = tmp_path_factory.mktemp("onnx") / "policy.onnx"
    export_onnx(policy, path, checks=16)
    model = session(path)
    assert [item.name for item in model.get_inputs()] == ["observation"]
    assert [item.name for item in model.get_outputs()] == ["action", "parameters"]
    observations = (
        np.random.default_rng(seed).normal(0.0, 2.0, (batch, policy.spec.observation_size)).astype(np.float32)
    )
    action, parameters = model.run(None, {"observation": observations})
    expected = policy.act(observations)
    np.testing.assert_allclose(parameters, policy.parameters(observations), rtol=1e-9, atol=1e-9)
    assert action.shape == expected.shape
    assert action.dtype == expected.dtype
    np.testing.assert_allclose(action, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(
    ("kind", "masked"), [(kind, m) for kind in ACTION_SPACES for m in (None, "info") if m is None or kind != "box"]
)
def test_observations_in_parts_and_masks(kind, masked, normalized, tmp_path):
    env = functools.partial(Numbers, kind, masked)
    policy = train(env, SMALL.replace(normalize_observations=normalized, total_steps=128)).policy
    path = tmp_path / "policy.onnx"
    export_onnx(policy, path, with_mask=masked is not None, checks=32)
    model = session(path)
    environment = env()
    observation, info = environment.reset(seed=3)
    assert len(model.get_inputs()) == 4 + (masked is not None)
    for _ in range(20):
        given = {
            "observation.place": np.float32(observation["place"])[None],
            "observation.phase": np.array([observation["phase"]]),
            "observation.pair.0": np.asarray(observation["pair"][0], np.int8)[None],
            "observation.pair.1": np.asarray(observation["pair"][1], np.int64)[None],
        }
        if masked:
            given["action_mask"] = policy._masks(info["action_mask"], True, 1)
        action, _ = model.run(None, given)
        single = {**observation, "place": np.float32(observation["place"])}
        np.testing.assert_allclose(action[0], policy.act(single, mask=info.get("action_mask")), rtol=1e-6)
        observation, _, terminated, truncated, info = environment.step(action[0] if action[0].shape else int(action[0]))
        if terminated or truncated:
            observation, info = environment.reset()


OBSERVATIONS = {
    "box": Box(-1, 1, (2, 3), np.float32),
    "discrete": Discrete(4, start=-2),
    "multi_discrete": MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [5, -1]]),
    "multi_binary": MultiBinary((2, 2)),
    # Not in the order of the alphabet; one part is an array without an axis.
    "parts": Dict(
        {
            "z": Tuple([Discrete(3, start=1), Dict({"m": MultiBinary(3), "k": MultiDiscrete([3, 2], start=[-4, 2])})]),
            "a": Box(-1, 1, (), np.float32),
        }
    ),
}
ACTIONS = {
    "categorical": (Discrete(5, start=-2), "gaussian"),
    "multi_categorical": (MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [0, -1]]), "gaussian"),
    "bernoulli": (MultiBinary((2, 2)), "gaussian"),
    "gaussian": (Box(-0.5, 1, (1, 3), np.float64), "gaussian"),
    "gaussian without bounds": (Box(-np.inf, np.inf, (2,)), "gaussian"),
    "squashed_gaussian": (Box(np.float32([[-2, 5]]), np.float32([[-1, 9]])), "squashed_gaussian"),
    "beta": (Box(-2, 1, (2,), np.float16), "beta"),
}


def policy_for(actions, observations, normalized=False, zeroed=slice(0), **network):
    """Make a policy with random weights, whose outputs in ``zeroed`` are always 0."""
    space, continuous = ACTIONS[actions] if isinstance(actions, str) else actions
    adapter, mapping = ActionAdapter(action_space(space), continuous), observation_mapping(observations)
    spec = NetworkSpec(mapping.size, adapter.kind, adapter.size, choices=adapter.choices, **network)
    weights = random_weights(spec, np.random.default_rng(0))
    for name in ("actor.output.weight", "actor.output.bias"):
        weights[name][..., zeroed] = 0.0
    normalizer = ObservationNormalizer((mapping.size,))
    normalizer.update(np.random.default_rng(1).normal(0.5, 2.0, (50, mapping.size)))
    return Policy(spec, weights, adapter, mapping, normalizer.state() if normalized else None)


def stacked(space, samples):
    if isinstance(space, Dict):
        return {key: stacked(part, [sample[key] for sample in samples]) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(stacked(part, [sample[i] for sample in samples]) for i, part in enumerate(space.spaces))
    return np.array(samples)


def model_inputs(name, batch):
    """Return the model's inputs for a batch, by name."""
    if isinstance(batch, dict | tuple):
        items = batch.items() if isinstance(batch, dict) else enumerate(batch)
        return {found: x for key, part in items for found, x in model_inputs(f"{name}.{key}", part).items()}
    return {name: batch}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("observations", OBSERVATIONS)
def test_every_kind_of_action_on_every_kind_of_observation(observations, actions, tmp_path):
    space, path = OBSERVATIONS[observations], tmp_path / "policy.onnx"
    # Half of the pairs, so that every kind is tested with both networks.
    second = (list(OBSERVATIONS).index(observations) + list(ACTIONS).index(actions)) % 2 == 1
    network = {"activation": "relu", "shared_trunk": True} if second else {"hidden_sizes": (8,)}
    policy = policy_for(actions, space, normalized=second, **network)
    with_mask = policy.adapter.mask_size > 0
    export_onnx(policy, path, with_mask=with_mask, checks=16)
    model = session(path)
    space.seed(0)
    for size in (1, 9):
        batch = stacked(space, [space.sample() for _ in range(size)])
        flags = {"action_mask": np.ones((size, policy.adapter.mask_size), np.bool_)} if with_mask else {}
        action, parameters = model.run(["action", "parameters"], {**model_inputs("observation", batch), **flags})
        expected = policy.act(batch)
        assert (action.dtype, action.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(action, expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(parameters, policy.parameters(policy.mapping.flatten(batch)), rtol=1e-9, atol=1e-9)
    empty = model.run(["action"], {name: x[:0] for name, x in {**model_inputs("observation", batch), **flags}.items()})[
        0
    ]
    assert empty.shape == (0, *expected.shape[1:])


def test_equal_policies_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        export_onnx(make(3), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


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
    assert session(tmp_path / "last.onnx").run(["action"], {"observation": observations})[0].tolist() == [2]
    assert policy.act(observations).tolist() == [0]


class TestBadInput:
    def test_parts_whose_inputs_would_share_a_name(self, tmp_path):
        box = Box(-1, 1, (2,), np.float32)
        policy = policy_for("categorical", Dict({"a.b": box, "a": Dict({"b": box})}))
        with pytest.raises(UsageError, match=r"two parts .* have the input name observation\.a\.b: rename a key"):
            export_onnx(policy, tmp_path / "model.onnx")

    def test_no_checks(self, tmp_path):
        with pytest.raises(UsageError, match="checks=0 must be at least 1"):
            export_onnx(make(), tmp_path / "model.onnx", checks=0)

    def test_a_directory(self, tmp_path):
        with pytest.raises(UsageError, match="is a directory: name a file in it"):
            export_onnx(make(), tmp_path)

    def test_a_mask_for_continuous_actions(self, tmp_path):
        policy = train("Pendulum-v1", SMALL.replace(total_steps=64)).policy
        with pytest.raises(UsageError, match="continuous actions have no mask"):
            export_onnx(policy, tmp_path / "model.onnx", with_mask=True)

    def test_no_such_directory(self, tmp_path):
        with pytest.raises(UsageError, match=r"absent/model\.onnx cannot be written: there is no directory"):
            export_onnx(make(), tmp_path / "absent" / "model.onnx")

    @pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
    def test_a_missing_package_is_named_with_the_extra_to_install(self, package, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match=rf"{package} is not installed.*ppocore\[onnx\]"):
            export_onnx(make(), tmp_path / "model.onnx")
        assert list(tmp_path.iterdir()) == []

    def test_a_network_of_ones_own(self, tmp_path):
        policy = make()
        own = Policy(policy.spec, policy.weights, policy.adapter, policy.mapping, network=policy)
        with pytest.raises(UsageError, match="the layers of a network of your own are unknown"):
            export_onnx(own, tmp_path / "model.onnx")


def test_the_command(tmp_path, capsys):
    train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "model.onnx"), "--mask"]) == 0
    assert "found equal on random observations" in capsys.readouterr().out
    assert [item.name for item in session(tmp_path / "model.onnx").get_inputs()] == ["observation", "action_mask"]
    assert main(["export", str(tmp_path / "nowhere"), "--onnx", str(tmp_path / "other.onnx")]) == 2
    code = "import sys, ppocore.cli, ppocore.export.onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
