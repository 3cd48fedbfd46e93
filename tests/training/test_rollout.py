"""Minibatches have every valid step once per epoch and nothing else; advantages are those of gae."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from support.networks import SEEDS

import ppocore
from ppocore import RolloutBuffer
from ppocore.backend import Minibatch

shapes = st.tuples(st.integers(1, 12), st.integers(1, 5))


def numbered(shape, valid=None, action_shape=(), action_dtype=np.int64):
    """A buffer in which step k of the flattened rollout holds k, 1000 + k, 2000 + k, ...; invalid rows hold NaN."""
    buffer = RolloutBuffer(*shape, 3, action_shape, action_dtype)
    k = np.arange(shape[0] * shape[1]).reshape(shape)
    buffer.observations[:] = k[..., None] + [0, 1000, 2000]
    buffer.actions[:] = k.reshape(shape + (1,) * len(action_shape)) + 3000
    for i, name in enumerate(("log_probs", "advantages", "returns", "values")):
        getattr(buffer, name)[:] = k + 1000 * (4 + i)
    buffer.rewards[:] = buffer.next_values[:] = 0.0
    if valid is not None:
        buffer.valid[:] = valid
        for array in (buffer.observations, buffer.log_probs, buffer.advantages, buffer.returns, buffer.values):
            array[~buffer.valid] = np.nan
        buffer.actions[~buffer.valid] = -1 if np.issubdtype(action_dtype, np.integer) else np.nan
    return buffer


def collected(buffer, size, seed=0, **settings):
    """Copies of the minibatches: each is a view that the next epoch overwrites."""
    minibatches = buffer.minibatches(size, np.random.default_rng(seed), **settings)
    return [Minibatch(**{name: array.copy() for name, array in batch.arrays().items()}) for batch in minibatches]


def numbers(batch):
    """The steps in a minibatch of a `numbered` buffer, after a check that all its fields agree."""
    k = batch.observations[:, 0]
    np.testing.assert_array_equal(batch.observations, k[:, None] + [0, 1000, 2000])
    np.testing.assert_array_equal(batch.actions, np.broadcast_to(k + 3000, batch.actions.T.shape).T)
    for i, name in enumerate(("log_probs", "advantages", "returns", "values")):
        np.testing.assert_array_equal(getattr(batch, name), k + 1000 * (4 + i))
    return k.astype(int).tolist()


@st.composite
def rollouts(draw):
    shape = draw(shapes)
    valid = draw(st.none() | arrays_of.arrays(np.bool_, shape))
    continuous = draw(st.booleans())
    return numbered(shape, valid, (2,) if continuous else (), np.float32 if continuous else np.int64)


@settings(deadline=None, max_examples=200)
@given(rollouts(), st.integers(1, 70), st.integers(1, 3), SEEDS)
def test_an_epoch_holds_every_valid_step_once_in_minibatches_of_nearly_equal_size(buffer, size, epochs, seed):
    steps = np.flatnonzero(buffer.valid).tolist()
    per_epoch = -(-len(steps) // size)
    batches = collected(buffer, size, seed, epochs=epochs, normalize_advantages=False)
    assert len(batches) == epochs * per_epoch
    for epoch in range(epochs):
        held = [numbers(batch) for batch in batches[epoch * per_epoch : (epoch + 1) * per_epoch]]
        assert sorted(k for batch in held for k in batch) == steps
        sizes = [len(batch) for batch in held]
        assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1)


@given(rollouts(), st.integers(1, 70))
def test_a_rollout_without_a_valid_step_has_no_minibatches(buffer, size):
    buffer.valid[:] = False
    assert collected(buffer, size, epochs=2) == []


def test_the_generator_alone_decides_the_order_and_draws_one_permutation_an_epoch():
    buffer = numbered((8, 4), np.arange(32).reshape(8, 4) % 5 != 0)
    orders = [
        [numbers(batch) for batch in collected(buffer, 7, seed, epochs=2, normalize_advantages=False, dtype=dtype)]
        for seed, dtype in ((1, np.float64), (1, np.float32), (2, np.float64))
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:4] != orders[0][4:]
    rng, twin = np.random.default_rng(1), np.random.default_rng(1)
    list(buffer.minibatches(7, rng, epochs=3))
    for _ in range(3):
        twin.permutation(25)
    assert rng.random() == twin.random()


def test_every_order_of_an_epoch_is_as_likely_as_any_other():
    buffer, rng = numbered((3, 1)), np.random.default_rng(0)
    batches = buffer.minibatches(3, rng, epochs=6000, normalize_advantages=False)
    orders, counts = np.unique([numbers(batch) for batch in batches], axis=0, return_counts=True)
    assert len(orders) == 6
    assert np.all(np.abs(counts - 1000) < 5.0 * np.sqrt(6000 * (1 / 6) * (5 / 6)))


@settings(deadline=None)
@given(shapes, st.integers(1, 40), SEEDS, st.sampled_from([np.float32, np.float64]))
def test_advantages_are_normalized_within_each_minibatch(shape, size, seed, dtype):
    buffer, rng = RolloutBuffer(*shape, 1), np.random.default_rng(seed)
    buffer.advantages[:] = rng.normal(5.0, 3.0, shape)
    raw = collected(buffer, size, seed, epochs=2, normalize_advantages=False, dtype=dtype)
    for before, after in zip(raw, collected(buffer, size, seed, epochs=2, dtype=dtype), strict=True):
        x = before.advantages.astype(np.float64).tolist()
        mean = sum(x) / len(x)
        std = (sum((a - mean) ** 2 for a in x) / len(x)) ** 0.5  # ddof 0
        expected = [(a - mean) / (std + 1e-8) for a in x] if len(x) > 1 else [0.0]
        np.testing.assert_allclose(after.advantages, expected, rtol=1e-5, atol=1e-6)
        assert after.advantages.dtype == dtype
        assert np.array_equal(after.advantages, after.advantages.astype(np.float32))


@pytest.mark.parametrize("advantage", [0.0, 0.1, -7e5])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_equal_advantages_and_minibatches_of_one_sample_become_0(advantage, size):
    buffer = RolloutBuffer(4, 2, 1)
    buffer.advantages[:] = advantage
    for batch in collected(buffer, size):
        assert batch.advantages.tolist() == [0.0] * len(batch.advantages)


def test_advantages_are_not_normalized_over_invalid_rows():
    valid = np.array([[True, False], [True, True], [False, True]])
    buffer = numbered((3, 2), valid)
    buffer.advantages[valid] = [1.0, 2.0, 3.0, 6.0]
    (batch,) = collected(buffer, 6)
    assert sorted(batch.advantages.tolist()) == pytest.approx(
        [(a - 3.0) / 3.5**0.5 for a in (1.0, 2.0, 3.0, 6.0)], rel=1e-6
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "action_shape"), [(np.int64, ()), (np.float32, (2,))])
def test_numbers_come_in_the_dtype_asked_for_and_choices_as_integers(dtype, kind, action_shape):
    buffer = numbered((4, 2), None, action_shape, kind)
    for batch in collected(buffer, 3, dtype=dtype):
        for name, array in batch.arrays().items():
            expected = np.int64 if name == "actions" and kind is np.int64 else dtype
            assert array.dtype == expected, name
        assert batch.actions.shape == (len(batch.returns), *action_shape)


def test_minibatches_never_write_to_the_buffer():
    buffer = numbered((4, 3))
    buffer.masks = np.ones((4, 3, 2), np.bool_)
    before = {name: array.copy() for name, array in vars(buffer).items()}
    for batch in buffer.minibatches(5, np.random.default_rng(0), epochs=2, with_parameters=True):
        assert set(batch.arrays()) == set(Minibatch._fields)
        for array in batch:
            array[...] = -1 if array.dtype != np.bool_ else False
    for name, array in before.items():
        assert np.array_equal(getattr(buffer, name), array), name


def test_a_new_buffer_is_float32_of_the_stated_shapes_and_all_valid():
    buffer = RolloutBuffer(5, 3, 7, (2,), np.float32, 4)
    assert buffer.masks is None
    del buffer.masks
    assert (buffer.num_steps, buffer.num_envs) == (5, 3)
    shapes = {name: array.shape for name, array in vars(buffer).items()}
    assert shapes.pop("observations") == (5, 3, 7)
    assert shapes.pop("actions") == (5, 3, 2)
    assert shapes.pop("parameters") == (5, 3, 4)
    assert shapes.pop("last_observations") == (3, 7)
    assert shapes.pop("final_observations") == (0, 7)
    assert shapes.pop("final_index") == (0, 2)
    assert set(shapes.values()) == {(5, 3)}
    flags = {"terminated", "truncated", "valid"}
    dtypes = {name: array.dtype for name, array in vars(buffer).items()}
    assert dtypes.pop("final_index") == np.intp
    assert {name for name, dtype in dtypes.items() if dtype == np.bool_} == flags
    assert {dtype for name, dtype in dtypes.items() if name not in flags} == {np.dtype(np.float32)}
    assert buffer.valid.all()


def advantages_of_a_column(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Generalized advantage estimation by its definition, a sum over what follows in the episode."""
    advantages = []
    for start in range(len(rewards)):
        total, weight = 0.0, 1.0
        for t in range(start, len(rewards)):
            bootstrap = 0.0 if terminated[t] else gamma * next_values[t]
            total += weight * (rewards[t] + bootstrap - values[t])
            weight *= gamma * lam
            if terminated[t] or truncated[t]:
                break
        advantages.append(total)
    return np.array(advantages)


@settings(deadline=None)
@given(shapes, SEEDS, st.sampled_from([0.0, 0.9, 1.0]), st.sampled_from([0.0, 0.8, 1.0]))
def test_advantages_and_returns_are_gaes_and_those_of_the_valid_rows_alone(shape, seed, gamma, lam):
    buffer, rng = RolloutBuffer(*shape, 1), np.random.default_rng(seed)
    numeric = [buffer.rewards, buffer.values, buffer.next_values]
    for array in numeric:
        array[:] = rng.normal(0.0, 1.0, shape)
    buffer.terminated[:], buffer.truncated[:] = rng.random((2, *shape)) < 0.2
    buffer.valid[:] = rng.random(shape) < 0.8
    for array in numeric:
        array[~buffer.valid] = np.nan
    buffer.compute_advantages(gamma=gamma, lam=lam)
    flags = [buffer.terminated, buffer.truncated]
    estimate = ppocore.gae(*numeric, *flags, gamma=gamma, lam=lam, valid=buffer.valid)
    assert buffer.advantages.dtype == buffer.returns.dtype == np.float32
    np.testing.assert_array_equal(buffer.advantages, estimate.advantages)
    np.testing.assert_array_equal(buffer.returns, estimate.returns)
    for n in range(shape[1]):
        rows = buffer.valid[:, n]
        columns = [array[rows, n] for array in (*numeric, *flags)]
        expected = advantages_of_a_column(*(c.astype(np.float64) for c in columns), gamma, lam)
        np.testing.assert_allclose(buffer.advantages[rows, n], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(buffer.returns[rows, n], expected + columns[1], rtol=1e-5, atol=1e-5)


def test_masks_and_old_parameters_go_with_their_step():
    buffer = RolloutBuffer(6, 4, 3, parameter_size=2)
    plain = numbered((6, 4), np.arange(24).reshape(6, 4) % 7 != 0)
    for name in ("observations", "actions", "log_probs", "advantages", "returns", "values", "valid"):
        getattr(buffer, name)[:] = getattr(plain, name)
    k = np.arange(24).reshape(6, 4, 1)
    buffer.parameters[:] = k + np.array([100, 200])
    buffer.masks = k % [2, 3, 5] == 0
    batches = collected(buffer, 5, epochs=2, normalize_advantages=False, with_parameters=True)
    for batch in batches:
        held = np.array(numbers(batch))[:, None]
        np.testing.assert_array_equal(batch.old_parameters, held + np.array([100, 200]))
        np.testing.assert_array_equal(batch.masks, held % [2, 3, 5] == 0)
        assert batch.masks.dtype == np.bool_
        assert batch.old_parameters.dtype == np.float64
    without = collected(buffer, 5, epochs=2, normalize_advantages=False)
    assert all(batch.old_parameters is None for batch in without)
    assert [numbers(batch) for batch in without] == [numbers(batch) for batch in batches]


def test_advantages_are_normalized_over_the_rollout_on_request():
    buffer = numbered((8, 4), np.arange(32).reshape(8, 4) % 5 != 0)
    batches = collected(buffer, 6, normalize_advantages=True, advantage_scope="rollout")
    held = np.concatenate([batch.observations[:, 0] for batch in batches])
    advantages = np.concatenate([batch.advantages for batch in batches])
    expected = (held - held.mean()) / held.std()  # advantages are observations and a constant
    np.testing.assert_allclose(advantages, expected, atol=1e-6)
    np.testing.assert_array_equal(advantages, advantages.astype(np.float32))
    each = np.array([abs(batch.advantages.mean()) for batch in batches])
    assert each.max() > 0.01  # not each minibatch's own


def test_changes_before_an_epoch_take_effect_in_it():
    buffer = numbered((5, 3))
    calls = []

    def before_epoch():
        calls.append(len(batches))
        buffer.advantages = buffer.advantages + 1.0
        buffer.returns = buffer.returns * 2.0

    batches = []
    settings = {"epochs": 3, "normalize_advantages": False, "before_epoch": before_epoch}
    for batch in buffer.minibatches(4, np.random.default_rng(0), **settings):
        k, epoch = batch.observations[:, 0], len(batches) // 4
        np.testing.assert_array_equal(batch.advantages, k + 5000 + epoch)
        np.testing.assert_array_equal(batch.returns, (k + 6000) * 2.0**epoch)
        np.testing.assert_array_equal(batch.values, k + 7000)
        batches.append(k.copy())
    assert calls == [4, 8]
