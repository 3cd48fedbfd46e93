"""The NumPy backend's state, arguments and results."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import SEEDS, assert_states_equal, loaded_backend, random_batch, random_weights, specs

from ppocore.backend import Objective, OptimizerStep
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
    return backend.update(batch, OBJECTIVE, OptimizerStep(learning_rate, max_grad_norm))


def test_evaluate_and_gradients_do_not_step():
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
    for array in batch.arrays().values():
        array.setflags(write=False)
    before = [array.copy() for array in batch.arrays().values()]
    results = [*backend.forward(batch.observations), *backend.evaluate(batch, OBJECTIVE)[:4]]
    results += [*backend.gradients(batch, OBJECTIVE).values(), *backend.state().values(), *backend.weights().values()]
    copies = [array.copy() for array in results]
    step(backend, batch)
    backend.forward(other.observations)
    backend.gradients(other, OBJECTIVE)
    for actual, expected in zip([*results, *batch.arrays().values()], [*copies, *before], strict=True):
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
@given(specs(), SEEDS, st.sampled_from(["exact", "float32"]), st.sampled_from([(), (0, 1), (2, 3, 5)]))
def test_a_restored_backend_continues_as_if_never_stopped(spec, seed, precision, held):
    dtype = np.float64 if precision == "exact" else np.float32
    weights, steps = batches(spec, seed, count=6, size=5, dtype=dtype)
    straight = loaded_backend(spec, weights, precision)
    how = [OptimizerStep(3e-3, 0.5, freeze_actor=k in held and not spec.shared_trunk) for k in range(6)]
    for k, batch in enumerate(steps):
        straight.update(batch, OBJECTIVE, how[k])
    stopped = loaded_backend(spec, weights, precision)
    for k, batch in enumerate(steps):
        stopped.update(batch, OBJECTIVE, how[k])
        if k in (0, 3):
            state = stopped.state()
            stopped = NumpyBackend(spec, precision=precision)
            stopped.load_state(dict(reversed(state.items())))
            assert_states_equal(stopped.state(), state)
    assert_states_equal(stopped.state(), straight.state())


def test_a_state_of_weights_only_resets_adam():
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
