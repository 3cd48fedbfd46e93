"""JAX only: networks as pure functions, few compilations, no fused multiply-adds, unchanged process settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.networks import assert_states_equal, random_batch, random_weights, spec_of

from ppocore import PPOConfig, resume, train
from ppocore.backend import Objective, OptimizerStep
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import UsageError

jax = pytest.importorskip("jax")
from jax import numpy as jnp  # noqa: E402

from ppocore.backends import jax_backend  # noqa: E402
from ppocore.backends.jax_backend import JaxBackend  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CONFIG = PPOConfig(total_steps=512, num_envs=4, num_steps=16, minibatch_size=32, update_epochs=2, hidden_sizes=(8,))


def apply(parameters, observations):
    """Two small stacks, as the built-in network has them."""

    def stack(layers):
        hidden = jnp.tanh(observations @ layers[0]["weight"] + layers[0]["bias"])
        return hidden @ layers[1]["weight"] + layers[1]["bias"]

    return stack(parameters["actor"]), stack(parameters["critic"])[:, 0]


def initial():
    """The built-in network's weights and an integer."""
    weights = {}

    class Recording(NumpyBackend):
        def load_state(self, state):
            super().load_state(state)
            weights.update(weights or self.weights())

    run = train("CartPole-v1", CONFIG, backend=Recording, seed=3)
    tree = {
        head: [
            {part: weights[f"{head}.{layer}.{part}"] for part in ("weight", "bias")} for layer in ("hidden.0", "output")
        ]
        for head in ("actor", "critic")
    }
    return {**tree, "version": 7}, run


@pytest.mark.slow
def test_the_built_in_architecture_and_weights_give_the_built_in_run():
    tree, expected = initial()
    before = tree["actor"][0]["weight"].copy()
    backend = JaxBackend(network=apply, parameters=tree)
    found = train("CartPole-v1", CONFIG, backend=backend, seed=3).policy.weights
    places = {"hidden.0": 0, "output": 1}
    named = {name: name.replace(layer, str(place)) for layer, place in places.items() for name in
             expected.policy.weights if layer in name}  # fmt: skip
    assert set(found) == set(named.values())
    for name, path in named.items():
        np.testing.assert_array_equal(found[path], expected.policy.weights[name], err_msg=name)
    after = backend.parameters
    np.testing.assert_array_equal(after["actor"][0]["weight"], found["actor.0.weight"])
    assert (after["version"], after["actor"][0]["weight"].dtype) == (7, np.float32)
    np.testing.assert_array_equal(tree["actor"][0]["weight"], before)  # the caller's arrays are unchanged
    assert not np.array_equal(before, found["actor.0.weight"])


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(tmp_path):
    class StopAfterTwo:
        def begin(self, start): ...
        def close(self): ...
        def end(self, result): ...
        def iteration(self, metrics):
            if metrics["iteration"] == 2:
                raise KeyboardInterrupt

    tree, _ = initial()
    expected = train("CartPole-v1", CONFIG, backend=JaxBackend(network=apply, parameters=tree)).fingerprint
    first = JaxBackend(network=apply, parameters=tree)
    train("CartPole-v1", CONFIG, backend=first, run_dir=tmp_path / "run", reporters=[StopAfterTwo()])
    again = JaxBackend(network=apply, parameters=tree)
    assert resume(tmp_path / "run", backend=again).fingerprint == expected


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda p, x: (x[:, :1] * p["w"], x[:, 0]), r"distribution parameters have shape \(2, 1\).*expected \(2, 2\)"),
        (lambda p, x: (x[:, :2] * p["w"], x[:, :1]), r"values have shape \(2, 1\).*expected \(2,\)"),
        (lambda p, x: x * p["w"], "must return a pair"),
        (lambda p, x: x @ jnp.zeros((9, 9)), r"fails on observations of shape \(2, 4\)"),
        (3, "network=3 must be a function of parameters and observations"),
    ],
    ids=["policy", "values", "pair", "raises", "no function"],
)
def test_an_invalid_network_is_refused_before_anything_is_created(network, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        train(
            "CartPole-v1", CONFIG, run_dir=tmp_path / "run",
            backend=JaxBackend(network=network, parameters={"w": np.ones(1)}),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("parameters", [None, {}, {"steps": 3}])
def test_parameters_without_a_number_to_train_are_refused(parameters):
    backend = JaxBackend(network=lambda p, x: (x[:, :2], x[:, 0]), parameters=parameters)
    with pytest.raises(UsageError, match="no parameter to train: no array of its parameters is of floating-point"):
        train("CartPole-v1", CONFIG, backend=backend)


@pytest.mark.parametrize("device", ["cuda", "tpu", "cpu:9"])
def test_a_missing_device_is_reported_in_one_sentence(device):
    try:
        jax.devices(device)
        pytest.skip(f"this machine has {device}")
    except RuntimeError:
        pass
    with pytest.raises(UsageError, match=f"^device='{device}' was asked for but jax finds none here: use cpu$"):
        JaxBackend(spec_of("categorical"), device=device)


@pytest.mark.slow
def test_minibatches_of_many_sizes_are_compiled_once_and_step_as_numpy_does():
    """Sizes vary if a rollout has invalid steps; padded rows do not affect the loss."""
    rng = np.random.default_rng(0)
    spec = spec_of("categorical", hidden_sizes=(8,))
    weights = random_weights(spec, rng)
    batches = [random_batch(spec, weights, rng, size, masked=True, old=True) for size in range(241, 257)]
    objective = Objective(0.2, value_clip_range=0.3, entropy_coef=0.01, kl_coef=0.3, critic_l2_coef=1e-3)
    backends = [JaxBackend(spec), NumpyBackend(spec)]
    compiled = jax_backend._loss_and_gradient, jax_backend._stepped
    before = [function._cache_size() for function in compiled]
    for backend in backends:
        backend.load_state(weights)
        for i, batch in enumerate(batches):
            backend.update(batch, objective, OptimizerStep(1e-3 / (1 + i), 0.5))
    assert_states_equal(backends[0].state(), backends[1].state())
    assert [function._cache_size() for function in compiled] == [count + 1 for count in before]


@pytest.mark.parametrize("seed", range(2))
def test_adam_is_numpys_to_the_bit_over_many_numbers(seed):
    """100,000 weights at once: a fused multiply-add anywhere differs in hundreds of them."""
    rng = np.random.default_rng(seed)
    spec = spec_of("categorical", hidden_sizes=(300, 300), observation_size=30)
    state = NumpyBackend(spec).state()
    for name, array in state.items():
        if array.dtype == np.float32:
            scale = 1e-3 if name.startswith("adam") else 0.3
            array[...] = rng.normal(0.0, scale, array.shape)
            array[...] = array**2 if name.startswith("adam.v") else array
    state["adam.step"] = np.array(5)
    batch = random_batch(spec, {n: a for n, a in state.items() if not n.startswith("adam")}, rng, 16)
    backends = [JaxBackend(spec), NumpyBackend(spec)]
    for backend in backends:
        backend.load_state(state)
        backend.update(batch, Objective(0.2), OptimizerStep(1e-3, 0.5))
    assert_states_equal(backends[0].state(), backends[1].state())


@pytest.mark.parametrize("x64", [False, True])
def test_the_processs_float64_setting_is_unchanged_and_does_not_matter(x64):
    expected = train("CartPole-v1", CONFIG, seed=1).fingerprint
    with jax.enable_x64(x64):
        assert train("CartPole-v1", CONFIG, seed=1, backend="jax").fingerprint == expected
        assert jnp.zeros(1).dtype == (jnp.float64 if x64 else jnp.float32)


@pytest.mark.slow
def test_the_example_runs():
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "own_jax_network.py"), "--steps", "2048"],
        capture_output=True, text=True, timeout=240, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean return over 20 episodes" in done.stdout
