"""The functions of a rollout, compared with sums written out one sample at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.networks import plain_forward, random_masks, random_weights, spec_of
from support.oracle import by_column, column_gae

from ppocore.advantages import AdvantageEstimate
from ppocore.advantages.estimators import estimate
from ppocore.errors import RunError
from ppocore.networks import ActingNetwork
from ppocore.training import Rollout
from ppocore.training.rollout import check_rollout, divergence, evaluate, log_probs, log_ratios, minibatches


def network(spec, rng):
    """A network for acting, and its weights."""
    weights = random_weights(spec, rng)
    acting = ActingNetwork(spec)
    acting.load(weights)
    return acting, weights


def rollout_of(spec, seed, steps=6, envs=3, masked=False, finals=((1, 2), (4, 0), (4, 1))):
    """A rollout by a random network of ``spec``, with random observations."""
    rng = np.random.default_rng(seed)
    acting, weights = network(spec, rng)
    distribution = spec.distribution()

    def observations(*shape):
        return rng.normal(0.0, 1.0, (*shape, spec.observation_size)).astype(np.float32)

    rows = observations(steps, envs)
    parameters = acting.policy(rows.reshape(steps * envs, -1)).copy()
    masks = random_masks(spec, rng, steps * envs) if masked else None
    applied = parameters if masks is None else distribution.apply_masks(parameters, masks)
    actions = np.zeros((steps * envs, *distribution.action_shape), distribution.action_dtype)
    distribution.sample(applied, distribution.noise(rng, (steps * envs,)), actions)
    numbers = rng.normal(0.0, 1.0, (4, steps, envs)).astype(np.float32)
    flags = rng.random((3, steps, envs))
    rollout = Rollout(
        observations=rows,
        actions=actions.reshape(steps, envs, *distribution.action_shape),
        rewards=numbers[0],
        terminated=flags[0] < 0.2,
        truncated=flags[1] < 0.2,
        valid=flags[2] < 0.7,
        parameters=parameters.reshape(steps, envs, -1).astype(np.float32),
        log_probs=numbers[1],
        values=numbers[2],
        next_values=numbers[3],
        last_observations=observations(envs),
        final_observations=observations(len(finals)),
        final_index=np.array(finals, np.int64).reshape(-1, 2),
        masks=None if masks is None else masks.reshape(steps, envs, -1),
    )
    return rollout, (spec, weights, distribution)


def log_softmax(logits, mask):
    """Of the choices that the mask allows, in plain sums; None for the others."""
    allowed = [x for x, flag in zip(logits, mask, strict=True) if flag]
    total = math.log(math.fsum(math.exp(x - max(allowed)) for x in allowed)) + max(allowed)
    return [x - total if flag else None for x, flag in zip(logits, mask, strict=True)]


@pytest.mark.parametrize("finals", [(), ((0, 0),), ((5, 2), (1, 1), (1, 0))])
def test_values_are_those_of_each_observation_and_of_its_true_successor(finals):
    spec = spec_of("categorical", 3, (5,))
    rollout, _ = rollout_of(spec, 1, finals=finals)
    acting, weights = network(spec, np.random.default_rng(2))  # not the network that acted
    values, next_values = evaluate(rollout, acting)
    assert values.dtype == next_values.dtype == np.float32
    final = {place: rollout.final_observations[k] for k, place in enumerate(finals)}
    for t in range(6):
        for i in range(3):
            following = rollout.observations[t + 1, i] if t < 5 else rollout.last_observations[i]
            pair = np.stack([rollout.observations[t, i], final.get((t, i), following)])
            expected = plain_forward(spec, weights, pair)[1]
            np.testing.assert_allclose([values[t, i], next_values[t, i]], expected, rtol=1e-6, atol=1e-7)


def test_values_and_next_values_share_no_memory():
    rollout, (spec, *_) = rollout_of(spec_of("categorical", 3, (5,)), 1)
    values, next_values = evaluate(rollout, network(spec, np.random.default_rng(0))[0])
    before = values.copy()
    next_values[...] = 9.0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("masked", [False, True])
def test_log_ratios_and_divergence_of_choices_are_the_plain_sums(masked):
    spec = spec_of("categorical", 4, (5,))
    rollout, (_, _, distribution) = rollout_of(spec, 3, masked=masked)
    acting, weights = network(spec, np.random.default_rng(4))
    ratios, moved = log_ratios(rollout, acting, distribution), divergence(rollout, acting, distribution)
    assert ratios.dtype == np.float32
    divergences = []
    for t in range(6):
        for i in range(3):
            mask = np.ones(4, bool) if rollout.masks is None else rollout.masks[t, i]
            new = log_softmax(plain_forward(spec, weights, rollout.observations[t, i][None])[0][0].tolist(), mask)
            old = log_softmax(rollout.parameters[t, i].tolist(), mask)
            expected = new[rollout.actions[t, i]] - float(rollout.log_probs[t, i])
            assert ratios[t, i] == pytest.approx(expected, abs=1e-6)
            if rollout.valid[t, i]:
                divergences.append(math.fsum(math.exp(o) * (o - n) for o, n in zip(old, new) if o is not None))  # noqa: B905
    assert 0 < len(divergences) < 18
    assert moved == pytest.approx(math.fsum(divergences) / len(divergences), rel=1e-6)
    assert moved == np.float32(moved)
    assert moved > 1e-3


def test_log_ratios_and_divergence_of_numbers_are_the_plain_sums():
    spec = spec_of("gaussian", 2, (5,))
    rollout, (_, _, distribution) = rollout_of(spec, 5)
    acting, weights = network(spec, np.random.default_rng(6))
    ratios, moved = log_ratios(rollout, acting, distribution), divergence(rollout, acting, distribution)
    divergences = []
    for t in range(6):
        for i in range(3):
            new = plain_forward(spec, weights, rollout.observations[t, i][None])[0][0]
            old = rollout.parameters[t, i].astype(np.float64)
            action = rollout.actions[t, i].astype(np.float64)
            log_prob = sum(
                -0.5 * ((action[j] - new[j]) / math.exp(new[2 + j])) ** 2 - new[2 + j] - 0.5 * math.log(2 * math.pi)
                for j in range(2)
            )
            assert ratios[t, i] == pytest.approx(log_prob - float(rollout.log_probs[t, i]), rel=1e-5, abs=1e-5)
            if rollout.valid[t, i]:
                divergences.append(
                    sum(
                        new[2 + j]
                        - old[2 + j]
                        + (math.exp(2 * old[2 + j]) + (old[j] - new[j]) ** 2) / (2 * math.exp(2 * new[2 + j]))
                        - 0.5
                        for j in range(2)
                    )
                )
    assert moved == pytest.approx(sum(divergences) / len(divergences), rel=1e-6)


def test_a_policy_that_has_not_moved_has_ratios_of_one_and_no_divergence():
    spec = spec_of("multi_categorical", 2, (5,))
    rollout, (_, weights, distribution) = rollout_of(spec, 7, masked=True)
    acting = ActingNetwork(spec)
    acting.load(weights)
    parameters = rollout.parameters.reshape(18, -1)
    rollout = rollout._replace(log_probs=log_probs(rollout, parameters, distribution).astype(np.float32))
    np.testing.assert_allclose(log_ratios(rollout, acting, distribution), 0.0, atol=1e-5)
    assert divergence(rollout, acting, distribution) == pytest.approx(0.0, abs=1e-9)


def test_the_rows_of_a_large_rollout_are_each_evaluated_once():
    spec = spec_of("categorical", 3, (4,))
    rollout, (_, _, distribution) = rollout_of(spec, 8, steps=1400, envs=3, finals=((1399, 1),))
    acting, _ = network(spec, np.random.default_rng(9))
    values, next_values = evaluate(rollout, acting)
    ratios = log_ratios(rollout, acting, distribution)
    for t in (0, 1364, 1365, 1366, 1399):  # the first chunk ends with the first column of row 1365
        part = rollout._replace(
            **{name: getattr(rollout, name)[t : t + 1] for name in ("observations", "actions", "rewards", "log_probs")},
            last_observations=rollout.observations[t + 1] if t < 1399 else rollout.last_observations,
            final_index=np.array([[0, 1]])[: int(t == 1399)],
            final_observations=rollout.final_observations[: int(t == 1399)],
        )
        for whole, alone in zip((values, next_values), evaluate(part, acting), strict=True):
            np.testing.assert_allclose(whole[t], alone[0], rtol=1e-6)
        np.testing.assert_allclose(ratios[t], log_ratios(part, acting, distribution)[0], rtol=1e-5, atol=1e-6)


def test_a_rollout_is_estimated_as_the_oracle_does():
    rollout, _ = rollout_of(spec_of("categorical", 3, (5,)), 10, steps=12)
    found = estimate(rollout, gamma=0.9, lam=0.8)
    columns = rollout.rewards, rollout.values, rollout.next_values, rollout.terminated, rollout.truncated, rollout.valid
    expected = by_column(column_gae, *columns, gamma=0.9, lam=0.8)
    np.testing.assert_allclose(np.where(rollout.valid, found.advantages, 0.0), expected, atol=1e-5)
    np.testing.assert_allclose(
        np.where(rollout.valid, found.returns, 0.0), np.where(rollout.valid, expected + rollout.values, 0.0), atol=1e-5
    )


def test_the_number_of_valid_steps_is_counted():
    rollout, _ = rollout_of(spec_of("categorical", 3), 11)
    assert rollout.num_valid == sum(rollout.valid.ravel().tolist()) < 18
    assert isinstance(rollout.num_valid, int)


def test_minibatches_keep_the_shape_of_observations_and_the_dtype_of_integers():
    rollout, _ = rollout_of(spec_of("categorical", 3), 12)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5, 2)).astype(np.uint8)
    rollout = rollout._replace(observations=pixels, actions=np.arange(18).reshape(6, 3))
    estimates = AdvantageEstimate(rollout.rewards, rollout.values)
    seen = 0
    for batch in minibatches(rollout, estimates, 5, np.random.default_rng(1), dtype=np.float32):
        assert (batch.observations.dtype, batch.observations.shape[1:]) == (np.uint8, (4, 5, 2))
        assert batch.actions.dtype == np.int64
        assert batch.returns.dtype == np.float32
        np.testing.assert_array_equal(batch.observations, pixels.reshape(18, 4, 5, 2)[batch.actions])
        np.testing.assert_array_equal(batch.returns, rollout.values.ravel()[batch.actions])
        seen += len(batch.actions)
    assert seen == rollout.num_valid


def test_minibatches_take_the_estimates_of_each_epoch_and_the_values_of_the_rollout():
    rollout, _ = rollout_of(spec_of("categorical", 3), 13)
    rollout = rollout._replace(actions=np.arange(18).reshape(6, 3), valid=np.ones((6, 3), bool))
    k, made = np.arange(18.0).reshape(6, 3), []

    def reestimate():
        made.append(len(batches))
        return AdvantageEstimate(k + 100 * len(made), -k - 100 * len(made))

    batches = []
    for batch in minibatches(
        rollout,
        AdvantageEstimate(k, -k),
        7,
        np.random.default_rng(0),
        epochs=3,
        normalize_advantages=False,
        reestimate=reestimate,
    ):
        epoch = len(batches) // 3
        np.testing.assert_array_equal(batch.advantages, batch.actions + 100 * epoch)
        np.testing.assert_array_equal(batch.returns, -batch.actions - 100 * epoch)
        np.testing.assert_array_equal(batch.values, rollout.values.ravel()[batch.actions])
        batches.append(batch.actions.copy())
    assert made == [3, 6]


@pytest.mark.parametrize("name", Rollout._fields)
def test_an_array_that_does_not_fit_is_named_with_its_shape(name):
    rollout, _ = rollout_of(spec_of("categorical", 3), 14, masked=True)
    check_rollout(rollout, 6, 3)
    check_rollout(rollout._replace(masks=None), 6, 3)
    array = getattr(rollout, name)
    bad = np.concatenate([array, array[:1]])
    if name in ("final_observations", "last_observations"):
        bad = np.concatenate([array, array], axis=1)
    with pytest.raises(RunError) as error:
        check_rollout(rollout._replace(**{name: bad}), 6, 3)
    assert str(error.value).startswith(f"the collector returned {name} of shape {bad.shape}, expected (")


def test_a_rollout_of_another_size_or_without_a_valid_step_is_refused():
    rollout, _ = rollout_of(spec_of("categorical", 3), 15)
    for size in ((5, 3), (6, 2)):
        with pytest.raises(RunError, match=r"of shape \(6, 3.*, expected \("):
            check_rollout(rollout, *size)
    with pytest.raises(RunError, match="without a valid step"):
        check_rollout(rollout._replace(valid=np.zeros((6, 3), bool)), 6, 3)
