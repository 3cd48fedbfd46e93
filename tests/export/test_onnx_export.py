"""An exported ONNX model acts as its policy does."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Tuple
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.interrupting import SMALL
from support.policies import ACTIONS, OBSERVATIONS, policy_for
from support.spaces import ACTION_SPACES, Numbers

from ppocore import Policy, train
from ppocore.cli import main
from ppocore.errors import UsageError
from ppocore.testing import policies

onnxruntime = pytest.importorskip("onnxruntime")
from ppocore.export.onnx import export_onnx  # noqa: E402  (where onnx is installed)


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
    assert "verified on random observations" in capsys.readouterr().out
    assert [item.name for item in session(tmp_path / "model.onnx").get_inputs()] == ["observation", "action_mask"]
    assert main(["export", str(tmp_path / "nowhere"), "--onnx", str(tmp_path / "other.onnx")]) == 2
    code = "import sys, ppocore.cli, ppocore.export.onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
