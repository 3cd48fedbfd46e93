"""The NumPy backend's optimizer step and state, against torch's Adam and by hand."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_for_tests import (
    SEEDS,
    assert_states_equal,
    loaded_backend,
    problems,
    random_batch,
    random_weights,
    specs,
)

from ppocore.backend import Objective
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec

OBJECTIVE = Objective(clip_range=0.2, value_clip_range=0.5, entropy_coef=0.01, value_coef=0.5)
SPEC = NetworkSpec(3, "gaussian", 2, (6, 5))


def batches(spec, seed, count, size=16, dtype=np.float64):
    rng = np.random.default_rng(seed)
    weights = random_weights(spec, rng)
    return weights, [random_batch(spec, weights, rng, size, [0.0, 0.1, -0.3], dtype=dtype) for _ in range(count)]


def step(backend, batch, learning_rate=3e-3, max_grad_norm=0.5):
    return backend.update(batch, OBJECTIVE, learning_rate=learning_rate, max_grad_norm=max_grad_norm)


def norm(gradients):
    return math.sqrt(math.fsum(float(x) ** 2 for g in gradients.values() for x in g.ravel()))


def clipped(gradients, max_grad_norm, epsilon):
    """What Adam is given: the gradient times min(1, c / norm), on exact mode's grid of a 128th of epsilon or less."""
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
    spec = NetworkSpec(3, ["categorical", "gaussian"][seed % 2], 2, (6, 5), shared_trunk=seed % 3 == 0)
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
    """Torch interpolates and fuses, so that last bits differ; measured, by 1.9e-9 at most."""
    state, reference = run_beside(TorchAdam, seed, 0.05)
    for name, expected in reference.items():
        np.testing.assert_allclose(state[name], expected, rtol=0.0, atol=4e-9, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(problems(), st.sampled_from([1e-3, 0.5, 1e3]), st.sampled_from([0.0, 1e-4, 1e-2]))
def test_the_first_step_is_adams_with_the_gradient_scaled_by_min_1_c_over_norm(problem, max_grad_norm, learning_rate):
    backend = problem.backend(adam_epsilon=1e-3)
    gradients = backend.gradients(problem.batch, problem.objective)
    norm_before = norm(gradients)
    stats = backend.update(problem.batch, problem.objective, learning_rate=learning_rate, max_grad_norm=max_grad_norm)
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


def test_both_ways_to_ask_do_not_step():
    weights, (batch,) = batches(SPEC, 1, count=1)
    backend = loaded_backend(SPEC, weights)
    before = backend.state()
    backend.forward(batch.observations)
    backend.evaluate(batch, OBJECTIVE)
    backend.gradients(batch, OBJECTIVE)
    assert_states_equal(backend.state(), before)


def test_a_batch_is_never_written_to_and_results_are_not_views():
    weights, (batch, other) = batches(SPEC, 1, count=2)
    backend = loaded_backend(SPEC, weights)
    for array in batch:
        array.setflags(write=False)
    before = [array.copy() for array in batch]
    results = [*backend.forward(batch.observations), *backend.evaluate(batch, OBJECTIVE)[:4]]
    results += [*backend.gradients(batch, OBJECTIVE).values(), *backend.state().values(), *backend.weights().values()]
    copies = [array.copy() for array in results]
    step(backend, batch)
    backend.forward(other.observations)
    backend.gradients(other, OBJECTIVE)
    for actual, expected in zip([*results, *batch], [*copies, *before], strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_changing_what_state_returned_or_load_state_took_changes_no_backend():
    weights, (batch,) = batches(SPEC, 1, count=1)
    backend = loaded_backend(SPEC, weights)
    step(backend, batch)
    before, given_to = backend.state(), backend.state()
    for array in (*backend.state().values(), *backend.weights().values()):
        array[...] = 7
    backend.load_state(given_to)
    for array in given_to.values():
        array[...] = 7
    assert_states_equal(backend.state(), before)


def test_a_state_has_canonical_names_float32_tensors_and_an_int64_count():
    state = NumpyBackend(SPEC).state()
    names = list(SPEC.shapes())
    assert list(state) == [p + name for p in ("", "adam.m.", "adam.v.") for name in names] + ["adam.step"]
    assert {array.dtype for name, array in state.items() if name != "adam.step"} == {np.dtype(np.float32)}
    assert (state["adam.step"].dtype, state["adam.step"].shape) == (np.dtype(np.int64), ())


@settings(deadline=None, max_examples=25)
@given(specs(), SEEDS, st.sampled_from(["exact", "float32"]))
def test_going_on_after_a_round_trip_equals_not_having_stopped(spec, seed, precision):
    dtype = np.float64 if precision == "exact" else np.float32
    weights, steps = batches(spec, seed, count=6, size=5, dtype=dtype)
    straight = loaded_backend(spec, weights, precision)
    for batch in steps:
        step(straight, batch)
    stopped = loaded_backend(spec, weights, precision)
    for k, batch in enumerate(steps):
        step(stopped, batch)
        if k in (0, 3):
            state = stopped.state()
            stopped = NumpyBackend(spec, precision=precision)
            stopped.load_state(dict(reversed(state.items())))
            assert_states_equal(stopped.state(), state)
    assert_states_equal(stopped.state(), straight.state())


def test_weights_alone_start_adam_anew():
    weights, (batch,) = batches(SPEC, 1, count=1)
    used, fresh = loaded_backend(SPEC, weights), loaded_backend(SPEC, weights)
    for _ in range(5):
        step(used, batch)
    used.load_state(weights)
    assert_states_equal(used.state(), fresh.state())
    step(used, batch)
    step(fresh, batch)
    assert_states_equal(used.state(), fresh.state())


@pytest.mark.parametrize("name", ["critic.hidden.1.bias", "log_std", "adam.m.actor.output.weight", "adam.v.log_std"])
@pytest.mark.parametrize("wrong", ["missing", "shape"])
def test_a_state_that_does_not_fit_is_refused_naming_the_tensor_and_changes_nothing(name, wrong):
    weights, (batch,) = batches(SPEC, 1, count=1)
    backend = loaded_backend(SPEC, weights)
    step(backend, batch)
    before = backend.state()
    state = {key: array + 1 for key, array in backend.state().items()}
    if wrong == "missing":
        del state[name]
    else:
        state[name] = np.zeros((9, 9), np.float32)
    detail = "is missing" if wrong == "missing" else r"has shape \(9, 9\)"
    with pytest.raises(UsageError, match=rf"'{name}' {detail}, expected shape"):
        backend.load_state(state)
    assert_states_equal(backend.state(), before)
    step(backend, batch)
    expected = loaded_backend(SPEC, before)
    step(expected, batch)
    assert_states_equal(backend.state(), expected.state())


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
@pytest.mark.parametrize("seed", range(4))
def test_float32_stays_within_a_tolerance_of_exact_for_some_updates(seed, kind):
    spec = NetworkSpec(4, kind, 2, (16, 16))
    rng = np.random.default_rng(seed)
    weights = spec.initial_weights(rng)
    backends = [loaded_backend(spec, weights, precision) for precision in ("exact", "float32")]
    for _ in range(50):
        batch = random_batch(spec, weights, rng, 64, [0.0, 0.05])
        low = [array if array.dtype.kind == "i" else array.astype(np.float32) for array in batch]
        step(backends[0], batch, learning_rate=3e-4)
        step(backends[1], type(batch)(*low), learning_rate=3e-4)
    exact, fast = (backend.weights() for backend in backends)
    moved = max(np.abs(exact[name] - weights[name]).max() for name in weights)
    apart = max(np.abs(exact[name] - fast[name]).max() for name in weights)
    assert moved > 5e-3
    assert 0.0 < apart <= 2e-5


def test_float32_mode_computes_in_float32():
    weights, (batch,) = batches(SPEC, 1, count=1, dtype=np.float32)
    backend = loaded_backend(SPEC, weights, "float32")
    terms, gradients = backend.evaluate(batch, OBJECTIVE), backend.gradients(batch, OBJECTIVE)
    arrays = [*backend.forward(batch.observations), *terms[:4], *gradients.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
