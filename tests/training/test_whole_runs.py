"""Complete runs on every backend: bit-identical in exact mode, close in float32, and with the same errors."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from support.interrupting import StopAfter
from support.networks import assert_states_equal
from support.spaces import Numbers
from threadpoolctl import threadpool_limits

from ppocore import Policy, PPOConfig, train
from ppocore.errors import NonFiniteError
from ppocore.networks import NetworkSpec
from ppocore.registry import available_backends, backend_factory

pytestmark = pytest.mark.slow

BACKENDS = [name for name in ("numpy", "torch", "paddle", "jax") if available_backends()[name] is None]
OTHERS = BACKENDS[1:]
SMALL = PPOConfig(
    total_steps=20 * 128, num_envs=4, num_steps=32, minibatch_size=32, update_epochs=3, hidden_sizes=(16, 16)
)  # 20 iterations of 12 updates
RUNS = {
    "discrete": ("CartPole-v1", SMALL),
    "discrete, value clipping, no gradient clipping": (
        "CartPole-v1",
        SMALL.replace(value_clip_range=0.005, max_grad_norm=None, value_coef=1.0, learning_rate=1e-3),
    ),
    "discrete, shared relu trunk": (
        "CartPole-v1",
        SMALL.replace(shared_trunk=True, activation="relu", anneal_clip_range=True),
    ),
    "discrete, three layers, target_kl": (
        "CartPole-v1",
        SMALL.replace(hidden_sizes=(8, 12, 5), target_kl=1e-3, learning_rate=3e-3),
    ),
    "continuous": ("Pendulum-v1", SMALL.replace(learning_rate=1e-3, max_grad_norm=10.0)),
    "continuous, advantages as they are": (
        "Pendulum-v1",
        SMALL.replace(normalize_advantages=False, entropy_coef=0.0, value_clip_range=0.02, log_std_init=-0.5),
    ),
    "normalized": ("Pendulum-v1", SMALL.replace(normalize_observations=True, normalize_rewards=True)),
    "normalized, shared trunk, linear": (
        "Pendulum-v1",
        SMALL.replace(
            normalize_observations=True,
            normalize_rewards=True,
            shared_trunk=True,
            hidden_sizes=(24,),
            minibatch_size=48,  # an epoch of 128 is split into 43, 43 and 42
        ),
    ),
}


KINDS = {
    "discrete, masks": (Numbers, {"kind": "discrete", "masked": "info"}, {}),
    "multi-discrete": (Numbers, {"kind": "multi_discrete"}, {}),
    "multi-discrete, masks": (Numbers, {"kind": "multi_discrete", "masked": "method"}, {"objective": "kl"}),
    "multi-binary": (Numbers, {"kind": "multi_binary"}, {}),
    "multi-binary, masks": (Numbers, {"kind": "multi_binary", "masked": "info"}, {"objective": "clip+kl"}),
    "gaussian, log-std fixed": (Numbers, {"kind": "box"}, {"learn_log_std": False, "log_std_init": -0.5}),
    "squashed gaussian": (Numbers, {"kind": "box"}, {"continuous_policy": "squashed_gaussian"}),
    "beta": (Numbers, {"kind": "box"}, {"continuous_policy": "beta"}),
}
OBJECTIVES = {
    "kl, fixed": {"objective": "kl", "kl_coef": 3.0},
    "kl, adaptive": {"objective": "kl", "kl_penalty_target": 1e-3},
    "clip and kl": {"objective": "clip+kl", "kl_penalty_target": 3e-3},
    "no clip": {"objective": "none"},
    "dual clip": {"dual_clip": 1.01, "clip_range": 0.01},
    "rate adapted to kl": {"adaptive_lr_kl": 2e-3, "anneal_learning_rate": False},
    "separate optimizers": {"separate_optimizers": True, "critic_learning_rate": 5e-3, "target_kl": 2e-3},
    "critic's rate": {"critic_learning_rate": 5e-3, "critic_l2_coef": 1e-3},
    "recomputed advantages": {"recompute_advantages": True, "advantage_estimator": "vtrace"},
    "advantages of the rollout": {"advantage_scope": "rollout", "advantage_estimator": "n_step", "value_target": "td"},
    "entropy annealed": {"anneal_entropy_coef": True, "anneal_clip_range": True, "entropy_coef": 0.1},
}


COMPILED = {
    *("discrete", "continuous", "normalized, shared trunk, linear", *KINDS),
    *(("CartPole-v1", name) for name in ("clip and kl", "separate optimizers", "entropy annealed")),
}
"""The runs that JAX takes part in: it compiles each network and loss for seconds."""


def others(name):
    return [backend for backend in OTHERS if backend != "jax" or name in COMPILED]


def assert_equal_runs(name, expected, run):
    """The same tensors after every iteration, and the same final fingerprint."""
    for backend in others(name):
        result = run(backend)
        assert [m["tensors"] for m in result.history] == [m["tensors"] for m in expected.history], backend
        assert result.fingerprint == expected.fingerprint


@pytest.mark.parametrize("name", ["clip", *OBJECTIVES])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_every_objective_gives_the_same_fingerprint_on_every_backend(env, name):
    objective = OBJECTIVES.get(name, {})
    config = SMALL.replace(total_steps=10 * 128, learning_rate=3e-3, **objective)
    expected = train(env, config, seed=2)
    assert_equal_runs((env, name), expected, lambda backend: train(env, config, backend=backend, seed=2))
    if objective:
        plain = train(env, SMALL.replace(total_steps=10 * 128, learning_rate=3e-3), seed=2)
        assert plain.fingerprint != expected.fingerprint, "the objective changed nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_action_gives_the_same_fingerprint_on_every_backend(kind):
    make, arguments, changes = KINDS[kind]
    config = SMALL.replace(learning_rate=3e-3, entropy_coef=0.02, **changes)

    def run(backend):
        return train(make, config, backend=backend, seed=3, env_kwargs=arguments)

    assert_equal_runs(kind, run("numpy"), run)


@pytest.mark.parametrize("name", RUNS)
def test_the_same_fingerprint_on_every_backend(name):
    env, config = RUNS[name]
    expected = train(env, config, seed=1)
    assert expected.iterations >= 20
    updates = [m["updates"] for m in expected.history]
    if config.target_kl is not None:
        assert len(set(np.diff(updates))) > 1, "no iteration was stopped early"
    for backend in others(name):
        result = train(env, config, backend=backend, seed=1)
        tensors = [m["tensors"] for m in result.history]
        assert tensors == [m["tensors"] for m in expected.history], backend
        assert list(tensors[0]) == list(expected.history[0]["tensors"])  # and in one order
        assert result.fingerprint == expected.fingerprint


def copied(batch):
    return type(batch)(**{name: array.copy() for name, array in batch.arrays().items()})


class Recorder:
    """A NumPy backend that records the arguments of each update and the initial weights."""

    def __init__(self):
        self.calls = []
        self.start = None

    def __call__(self, spec, **settings):
        recorder, self.spec, self.settings = self, spec, settings

        class Recording(backend_factory("numpy")):
            def update(self, batch, objective, step):
                if recorder.start is None:
                    recorder.start = self.state()
                recorder.calls.append((copied(batch), objective, step))
                return super().update(batch, objective, step)

        return Recording(spec, **settings)

    def replay(self, backend, calls):
        with backend.using_threads(1), threadpool_limits(1):
            for batch, objective, step in calls:
                backend.update(batch, objective, step)
        return backend.state()

    def backend(self, name):
        return backend_factory(name)(self.spec, **self.settings)


def recorded(name, iterations, **changes):
    env, config = RUNS[name]
    recorder = Recorder()
    train(env, config.replace(total_steps=iterations * config.rollout_size, **changes), backend=recorder)
    return recorder


@pytest.mark.parametrize("name", ["discrete", "normalized, shared trunk, linear"])
def test_a_run_handed_to_another_backend_is_unchanged(name):
    recorder = recorded(name, 4)
    half = len(recorder.calls) // 2 - 1  # in the middle of an iteration
    whole = recorder.backend("numpy")
    whole.load_state(recorder.start)
    expected = recorder.replay(whole, recorder.calls)
    assert expected["adam.step"] == len(recorder.calls) >= 24
    for first, second in product(BACKENDS, BACKENDS):
        one, other = recorder.backend(first), recorder.backend(second)
        one.load_state(recorder.start)
        handed = recorder.replay(one, recorder.calls[:half])
        assert handed["adam.step"] == half
        other.load_state(handed)
        assert_states_equal(other.state(), handed)
        assert_states_equal(recorder.replay(other, recorder.calls[half:]), expected)


def test_moments_matter_when_a_run_is_handed_over():
    recorder = recorded("discrete", 2)
    for name in BACKENDS:
        one, other = recorder.backend(name), recorder.backend(name)
        one.load_state(recorder.start)
        handed = recorder.replay(one, recorder.calls[:10])
        other.load_state({key: array for key, array in handed.items() if not key.startswith("adam.")})
        assert other.state()["adam.step"] == 0
        ended = [recorder.replay(backend, recorder.calls[10:]) for backend in (one, other)]
        assert any((ended[0][key] != ended[1][key]).any() for key in recorder.spec.shapes()), name


FLOAT32_ITERATIONS, FLOAT32_TOLERANCE = 10, 2e-5


@pytest.mark.parametrize("name", RUNS)
def test_in_float32_backends_agree_for_some_iterations(name):
    """No weight differs by more than 2e-5 of its tensor's largest after ten iterations, 120 updates."""
    env, config = RUNS[name]
    config = config.replace(total_steps=FLOAT32_ITERATIONS * config.rollout_size, precision="float32")
    expected = train(env, config, seed=1)
    for backend in others(name):
        weights = train(env, config, backend=backend, seed=1).policy.weights
        for key, array in expected.policy.weights.items():
            apart = np.abs(weights[key] - array).max() / max(np.abs(array).max(), 1e-2)
            assert apart < FLOAT32_TOLERANCE, (backend, key, apart)


def spoiled(name, at, field, value):
    """A backend whose update ``at`` gets a minibatch with one value that is not finite."""
    factory = backend_factory(name)

    class Spoiled(factory):
        made = 0

        def update(self, batch, objective, step):
            self.made += 1
            if self.made == at:
                array = getattr(batch, field).copy()
                array.reshape(-1)[-1] = value
                batch = batch._replace(**{field: array})
            return super().update(batch, objective, step)

    return Spoiled


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("field", "value"),
    [("advantages", np.nan), ("returns", np.inf), ("observations", -np.inf), ("log_probs", np.nan)],
)
def test_a_loss_that_is_not_finite_names_the_tensor_and_changes_nothing(backend, field, value):
    recorder = recorded("continuous", 1)
    (batch, objective, step), *_ = recorder.calls
    made = recorder.backend(backend)
    made.load_state(recorder.start)
    recorder.replay(made, recorder.calls[:3])
    before = made.state()
    array = getattr(batch, field).copy()
    array.reshape(-1)[-1] = value
    with pytest.raises(NonFiniteError, match=f"^{field} is not finite at update 4: the update was not applied"):
        made.update(batch._replace(**{field: array}), objective, step)
    assert_states_equal(made.state(), before)
    recorder.replay(made, recorder.calls[3:])  # and it can continue
    unharmed = recorder.backend(backend)
    unharmed.load_state(recorder.start)
    assert_states_equal(made.state(), recorder.replay(unharmed, recorder.calls))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("weight", "named"), [("critic.output.weight", "value output"), ("actor.hidden.0.bias", "policy output")]
)
def test_weights_that_are_not_finite_are_found_in_the_output(backend, weight, named):
    recorder = recorded("discrete", 1)
    made = recorder.backend(backend)
    made.load_state({**recorder.start, weight: np.full_like(recorder.start[weight], np.nan)})
    batch, objective, step = recorder.calls[0]
    with pytest.raises(NonFiniteError, match=f"^{named} is not finite at update 1"):
        made.update(batch, objective, step)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_whose_loss_is_not_finite_keeps_the_policy_of_the_last_complete_iteration(backend, tmp_path):
    env, config = RUNS["discrete"]
    config = config.replace(total_steps=512)
    broken = spoiled(backend, 12 * 2 + 5, "returns", np.nan)  # in the third iteration
    with pytest.raises(NonFiniteError, match="returns is not finite at update 29") as caught:
        train(env, config, backend=broken, run_dir=tmp_path / "run")
    assert str(tmp_path / "run") in str(caught.value)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    whole = train(env, config, backend=backend)
    assert [row["fingerprint"] for row in rows] == [m["fingerprint"] for m in whole.history[:2]]
    shorter = train(env, config, backend=backend, reporters=[StopAfter(2)])
    saved = Policy.load(tmp_path / "run").weights
    assert_states_equal({name: saved[name] for name in shorter.policy.weights}, shorter.policy.weights)


def test_states_are_listed_in_canonical_order():
    spec = NetworkSpec(3, "gaussian", 2, hidden_sizes=(4,), shared_trunk=True)
    names = list(spec.shapes())
    expected = [*names, *(f"adam.m.{n}" for n in names), *(f"adam.v.{n}" for n in names), "adam.step"]
    for name in BACKENDS:
        assert list(backend_factory(name)(spec, precision="exact", adam_epsilon=1e-5, device="cpu").state()) == expected
