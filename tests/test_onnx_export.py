"""The ONNX model of a policy acts as the policy does, and one that would not is not written."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interrupting import SMALL
from spaces_for_tests import ACTION_SPACES, Numbers

from ppocore import Policy, train
from ppocore.cli import main
from ppocore.errors import RunError, UsageError
from ppocore.testing import policies

onnxruntime = pytest.importorskip("onnxruntime")
from ppocore import onnx_export  # noqa: E402  (where onnx is installed)
from ppocore.onnx_export import export_onnx  # noqa: E402


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def make(seed=0, **fixed):
    """One policy that hypothesis draws."""
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
@pytest.mark.parametrize("masked", [None, "info"])
@pytest.mark.parametrize("kind", ACTION_SPACES)
def test_observations_in_parts_and_masks(kind, masked, normalized, tmp_path):
    if masked and kind == "box":
        pytest.skip("a Box has no masks")
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


def test_equal_policies_are_equal_models(tmp_path):
    for name in ("one", "two"):
        export_onnx(make(3), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def other(old, new):
    return "add", lambda add: lambda graph, operator, *x, **a: add(graph, operator.replace(old, new), *x, **a)


BROKEN = {
    "another activation": other("Tanh", "Relu"),
    "no bias": ("add", lambda add: lambda graph, op, *x, **a: x[0] if op == "Add" else add(graph, op, *x, **a)),
    "normalization left out": ("clipped", lambda clipped: lambda graph, x, low, high: x),
    "the least probable action": other("ArgMax", "ArgMin"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_does_something_else_is_not_written(name, tmp_path, monkeypatch):
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


class TestBadInput:
    def test_a_mask_for_continuous_actions(self, tmp_path):
        policy = train("Pendulum-v1", SMALL.replace(total_steps=64)).policy
        with pytest.raises(UsageError, match="continuous actions have no mask"):
            export_onnx(policy, tmp_path / "model.onnx", with_mask=True)

    def test_no_such_directory(self, tmp_path):
        with pytest.raises(UsageError, match=r"absent/model\.onnx cannot be written: there is no directory"):
            export_onnx(make(), tmp_path / "absent" / "model.onnx")

    @pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
    def test_without_the_packages_it_says_what_to_install(self, package, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match=rf"{package} is not installed.*ppocore\[onnx\]"):
            export_onnx(make(), tmp_path / "model.onnx")
        assert list(tmp_path.iterdir()) == []

    def test_a_network_of_ones_own(self, tmp_path):
        policy = make()
        own = Policy(policy.spec, policy.weights, policy.adapter, policy.mapping, network=policy)
        with pytest.raises(UsageError, match="a network of your own"):
            export_onnx(own, tmp_path / "model.onnx")


def test_the_command(tmp_path, capsys):
    train("CartPole-v1", SMALL, run_dir=tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "model.onnx"), "--mask"]) == 0
    assert "found equal on random observations" in capsys.readouterr().out
    assert [item.name for item in session(tmp_path / "model.onnx").get_inputs()] == ["observation", "action_mask"]
    assert main(["export", str(tmp_path / "nowhere"), "--onnx", str(tmp_path / "other.onnx")]) == 2
    code = "import sys, ppocore.cli, ppocore.onnx_export; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
