"""The NumPy backend's optimizer step and state, against torch's Adam and by hand."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import KINDS, assert_states_equal, loaded_backend, problems, random_batch, random_weights, spec_of

from ppocore.backend import Objective, OptimizerStep
from ppocore.networks import NetworkSpec
from ppocore.testing.backends.problems import in_dtype

OBJECTIVE = Objective(clip_range=0.2, value_clip_range=0.5, entropy_coef=0.01, value_coef=0.5)
SPEC = NetworkSpec(3, "gaussian", 2, (6, 5))


def batches(spec, seed, count, size=16, dtype=np.float64):
    rng = np.random.default_rng(seed)
    weights = random_weights(spec, rng)
    return weights, [random_batch(spec, weights, rng, size, [0.0, 0.1, -0.3], dtype=dtype) for _ in range(count)]


def step(backend, batch, learning_rate=3e-3, max_grad_norm=0.5):
    return backend.update(batch, OBJECTIVE, OptimizerStep(learning_rate, max_grad_norm))


def norm(gradients):
    return math.sqrt(math.fsum(float(x) ** 2 for g in gradients.values() for x in g.ravel()))


def clipped(gradients, max_grad_norm, epsilon):
    """The input of Adam: the gradient times min(1, c / norm), rounded to exact mode's grid of epsilon / 128 or less."""
    spacing = max(2.0**k for k in range(-80, 20) if 2.0**k <= epsilon / 128)
    factor = 1.0
    if max_grad_norm is not None and (length := norm(gradients)) > max_grad_norm:
        factor = max_grad_norm / float(np.float32(length))
    return {name: np.rint(factor * g / spacing) * spacing for name, g in gradients.items()}


class TorchAdam:
    """torch.optim.Adam in float64 on weights and moments that are rounded to float32 after every step."""

    def __init__(self, weights, epsilon):
        import torch

        self.torch = torch
        self.weights = {k: torch.tensor(w, dtype=torch.float64, requires_grad=True) for k, w in weights.items()}
        self.adam = torch.optim.Adam(self.weights.values(), betas=(0.9, 0.999), eps=epsilon)

    def step(self, gradients, learning_rate):
        torch = self.torch
        self.adam.param_groups[0]["lr"] = learning_rate
        for name, weight in self.weights.items():
            weight.grad = torch.tensor(gradients[name])
        self.adam.step()
        with torch.no_grad():
            for weight in self.weights.values():
                for tensor in (weight, self.adam.state[weight]["exp_avg"], self.adam.state[weight]["exp_avg_sq"]):
                    tensor.copy_(tensor.float())

    def state(self):
        moments = {"adam.m.": "exp_avg", "adam.v.": "exp_avg_sq"}
        state = {k: w.detach().float().numpy() for k, w in self.weights.items()}
        for prefix, key in moments.items():
            state |= {prefix + k: self.adam.state[w][key].float().numpy() for k, w in self.weights.items()}
        steps = {int(s["step"]) for s in self.adam.state.values()}
        return {**state, "adam.step": np.array(steps.pop(), np.int64)}


class ScalarAdam:
    """Algorithm 1 of Adam on Python floats, one number at a time; its state is rounded to float32 by `struct`."""

    def __init__(self, weights, epsilon):
        self.epsilon, self.steps = epsilon, 0
        self.numbers = {name: [[float(x), 0.0, 0.0] for x in w.ravel()] for name, w in weights.items()}
        self.shapes = {name: w.shape for name, w in weights.items()}

    def step(self, gradients, learning_rate):
        self.steps += 1
        for name, numbers in self.numbers.items():
            for number, g in zip(numbers, gradients[name].ravel().tolist(), strict=True):
                weight, m, v = number
                m = 0.9 * m + (1.0 - 0.9) * g
                v = 0.999 * v + (1.0 - 0.999) * (g * g)
                root = math.sqrt(v) * (1.0 / math.sqrt(1.0 - 0.999**self.steps)) + self.epsilon
                weight -= m / root * (learning_rate / (1.0 - 0.9**self.steps))
                number[:] = (struct.unpack("f", struct.pack("f", x))[0] for x in (weight, m, v))

    def state(self):
        state = {"adam.step": np.array(self.steps, np.int64)}
        for column, prefix in enumerate(("", "adam.m.", "adam.v.")):
            for name, numbers in self.numbers.items():
                column_of = np.array([number[column] for number in numbers], np.float32)
                state[prefix + name] = column_of.reshape(self.shapes[name])
        return state


def run_beside(reference_class, seed, max_grad_norm):
    """The states of the backend and of a reference after 40 updates on the same gradients."""
    spec = spec_of(KINDS[seed % len(KINDS)], 2, (6, 5), shared_trunk=seed % 3 == 0)
    weights, steps = batches(spec, seed, count=40)
    backend, reference = loaded_backend(spec, weights, adam_epsilon=1e-5), reference_class(weights, epsilon=1e-5)
    for k, batch in enumerate(steps):
        learning_rate = 3e-3 * (1.0 - k / len(steps))
        reference.step(clipped(backend.gradients(batch, OBJECTIVE), max_grad_norm, 1e-5), learning_rate)
        step(backend, batch, learning_rate, max_grad_norm)
    assert all(np.any(backend.state()[name] != weight) for name, weight in weights.items())
    return backend.state(), reference.state()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("max_grad_norm", [None, 0.05])
def test_many_updates_end_in_the_weights_and_moments_of_adam_by_hand_to_the_bit(seed, max_grad_norm):
    state, reference = run_beside(ScalarAdam, seed, max_grad_norm)
    assert_states_equal({name: state[name] for name in reference}, reference)


@pytest.mark.parametrize("seed", range(8))
def test_many_updates_end_in_the_weights_of_torchs_adam(seed):
    """Torch interpolates and fuses, so that a rounding to float32 now and then goes the other way."""
    state, reference = run_beside(TorchAdam, seed, 0.05)
    for name, expected in reference.items():
        np.testing.assert_allclose(state[name], expected, rtol=1.2e-7, atol=4e-9, err_msg=name)


PARTS = {"critic": lambda name: name.startswith("critic."), "actor": lambda name: not name.startswith("critic.")}


@pytest.mark.parametrize("kind", KINDS)
def test_separate_optimizers_are_two_of_torchs(kind):
    """Each with its own rate and norm; the actor's makes two steps of every three."""
    spec = spec_of(kind, 2, (6, 5))
    weights, steps = batches(spec, 5, count=30)
    backend = loaded_backend(spec, weights, adam_epsilon=1e-5)
    parts = {part: {k: w for k, w in weights.items() if mine(k)} for part, mine in PARTS.items()}
    torchs = {part: TorchAdam(own, epsilon=1e-5) for part, own in parts.items()}
    for k, batch in enumerate(steps):
        gradients = backend.gradients(batch, OBJECTIVE)
        hold = k % 3 == 1
        for part, rate in (("critic", 1e-3), ("actor", 3e-3)):
            if not (hold and part == "actor"):
                torchs[part].step(clipped({n: gradients[n] for n in parts[part]}, 0.05, 1e-5), rate)
        stats = backend.update(batch, OBJECTIVE, OptimizerStep(3e-3, 0.05, 1e-3, separate=True, freeze_actor=hold))
        assert stats.grad_norm == pytest.approx(norm(gradients), rel=1e-12)
    state = backend.state()
    assert (state["adam.step"], state["adam.held"], state["adam.held"].dtype) == (30, 10, np.int64)
    assert torchs["actor"].state()["adam.step"] == 20
    for torch_adam in torchs.values():
        for name, expected in torch_adam.state().items():
            if name != "adam.step":
                np.testing.assert_allclose(state[name], expected, rtol=1.2e-7, atol=4e-9, err_msg=name)


def test_one_optimizer_with_two_rates_is_torchs_with_two_groups():
    import torch

    weights, steps = batches(SPEC, 6, count=30)
    backend = loaded_backend(SPEC, weights, adam_epsilon=1e-5)
    reference = TorchAdam(weights, epsilon=1e-5)
    groups = {part: [w for k, w in reference.weights.items() if mine(k)] for part, mine in PARTS.items()}
    reference.adam = torch.optim.Adam(
        [{"params": groups["actor"], "lr": 3e-3}, {"params": groups["critic"], "lr": 2e-2}], eps=1e-5
    )
    for batch in steps:
        reference.step(clipped(backend.gradients(batch, OBJECTIVE), 0.05, 1e-5), 3e-3)  # of the first group
        backend.update(batch, OBJECTIVE, OptimizerStep(3e-3, 0.05, 2e-2))
    state = backend.state()
    assert "adam.held" not in state
    for name, expected in reference.state().items():
        np.testing.assert_allclose(state[name], expected, rtol=1.2e-7, atol=4e-9, err_msg=name)


def test_an_actor_frozen_from_the_first_step_starts_when_it_is_unfrozen():
    """Its first step then has the size of a first step: its rate, where epsilon is next to nothing."""
    weights, steps = batches(SPEC, 7, count=4)
    backend = loaded_backend(SPEC, weights, adam_epsilon=1e-30)
    for batch in steps[:3]:
        backend.update(batch, OBJECTIVE, OptimizerStep(3e-3, freeze_actor=True))
        for name, array in backend.weights().items():
            assert np.array_equal(array, weights[name]) != name.startswith("critic."), name
    frozen = backend.state()
    assert (frozen["adam.step"], frozen["adam.held"]) == (3, 3)
    assert not any(frozen[f"adam.{m}.{name}"].any() for m in "mv" for name in weights if not name.startswith("critic."))
    gradients = backend.gradients(steps[3], OBJECTIVE)
    step(backend, steps[3], max_grad_norm=None)
    for name in ("actor.output.weight", "log_std"):
        moved = backend.weights()[name] - weights[name]
        np.testing.assert_allclose(moved, -3e-3 * np.sign(gradients[name]), rtol=1e-4)


@settings(deadline=None, max_examples=60)
@given(problems(), st.sampled_from([1e-3, 0.5, 1e3]), st.sampled_from([0.0, 1e-4, 1e-2]))
def test_the_first_step_is_adams_with_the_gradient_scaled_by_min_1_c_over_norm(problem, max_grad_norm, learning_rate):
    backend = problem.backend(adam_epsilon=1e-3)
    gradients = backend.gradients(problem.batch, problem.objective)
    norm_before = norm(gradients)
    stats = backend.update(problem.batch, problem.objective, OptimizerStep(learning_rate, max_grad_norm))
    assert stats.grad_norm == pytest.approx(norm_before, rel=1e-12, abs=1e-300)
    state = backend.state()
    assert state["adam.step"] == 1
    for name, g in clipped(gradients, max_grad_norm, 1e-3).items():
        # m / (1 - 0.9) = g and v / (1 - 0.999) = g^2, so the first step is learning_rate g / (|g| + epsilon)
        moved = problem.weights[name] - learning_rate * g / (np.abs(g) + 1e-3)
        tiny = np.finfo(np.float32).smallest_subnormal
        np.testing.assert_allclose(state[name], moved, rtol=2e-7, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(state[f"adam.m.{name}"], 0.1 * g, rtol=2e-7, atol=tiny, err_msg=name)
        np.testing.assert_allclose(state[f"adam.v.{name}"], 0.001 * g * g, rtol=2e-7, atol=tiny, err_msg=name)


def test_a_learning_rate_of_0_moves_the_moments_and_not_the_weights():
    weights, (batch,) = batches(SPEC, 1, count=1)
    backend = loaded_backend(SPEC, weights)
    step(backend, batch, learning_rate=0.0)
    state = backend.state()
    assert_states_equal(backend.weights(), weights)
    assert state["adam.step"] == 1
    assert np.any(state["adam.m.actor.output.weight"] != 0.0)


def test_a_learning_rate_counts_to_the_last_digit_of_float64():
    """Rates that are equal as float32 give different float64 steps; the weights show it sooner or later."""
    weights, (batch,) = batches(SPEC, 1, count=1, size=64)
    ends = []
    for learning_rate in (0.1, float(np.float32(0.1))):
        backend = loaded_backend(SPEC, weights)
        for _ in range(60):
            step(backend, batch, learning_rate)
        ends.append(backend.weights())
    assert any(np.any(ends[0][name] != ends[1][name]) for name in weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_float32_stays_within_a_tolerance_of_exact_for_some_updates(seed, kind):
    spec = spec_of(kind, 2, (16, 16))
    rng = np.random.default_rng(seed)
    weights = spec.initial_weights(rng)
    backends = [loaded_backend(spec, weights, precision) for precision in ("exact", "float32")]
    for _ in range(50):
        batch = random_batch(spec, weights, rng, 64, [0.0, 0.05])
        low = in_dtype(batch, np.float32)
        step(backends[0], batch, learning_rate=3e-4)
        step(backends[1], low, learning_rate=3e-4)
    exact, fast = (backend.weights() for backend in backends)
    moved = max(np.abs(exact[name] - weights[name]).max() for name in weights)
    apart = max(np.abs(exact[name] - fast[name]).max() for name in weights)
    assert moved > 3e-3
    assert 0.0 < apart <= 2e-5


def test_float32_mode_computes_in_float32():
    weights, (batch,) = batches(SPEC, 1, count=1, dtype=np.float32)
    backend = loaded_backend(SPEC, weights, "float32")
    terms, gradients = backend.evaluate(batch, OBJECTIVE), backend.gradients(batch, OBJECTIVE)
    arrays = [*backend.forward(batch.observations), *terms[:4], *gradients.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
