"""The NumPy backend's loss and gradients against finite differences, torch's autograd and sums done by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from support.networks import (
    KINDS,
    MOVES,
    SEEDS,
    Problem,
    assert_states_equal,
    plain_forward,
    problems,
    random_batch,
    random_weights,
    spec_of,
    specs,
)
from support.torch_reference import torch_loss

from ppocore.backend import Backend, Minibatch, Objective, OptimizerStep, UpdateStats
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import NonFiniteError
from ppocore.networks import NetworkSpec

STEP = 2.0**-18  # of the finite differences; the weights are such that it changes them exactly, in float32 too


def test_it_is_a_backend():
    assert isinstance(NumpyBackend(NetworkSpec(1, "categorical", 2)), Backend)


@settings(deadline=None, max_examples=50)
@given(specs(), SEEDS)
def test_the_forward_pass_is_that_of_one_observation_at_a_time(spec, seed):
    rng = np.random.default_rng(seed)
    weights, observations = random_weights(spec, rng), rng.normal(0.0, 1.0, (6, spec.observation_size))
    parameters, values = Problem(spec, weights, None, None).backend().forward(observations)
    expected_parameters, expected_values = plain_forward(spec, weights, observations)
    np.testing.assert_allclose(parameters, expected_parameters, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(values, expected_values, rtol=1e-11, atol=1e-12)


EVERYTHING = {"kl_coef": 0.6, "critic_l2_coef": 0.01}
LOSSES = {
    "clipped": {"clip_range": 0.2, "value_clip_range": 0.4},
    "not clipped": {"clip_range": 0.2, "clip": False, **EVERYTHING},
    "clipped twice": {"clip_range": 0.2, "dual_clip": 1.2, **EVERYTHING},
}


@pytest.mark.parametrize(("shared", "activation", "hidden_sizes"), [(False, "tanh", (5, 4)), (True, "relu", (5,))])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_loss(kind, masked, loss, shared, activation, hidden_sizes):
    spec = spec_of(kind, 2 if kind == "multi_categorical" else 3, hidden_sizes, activation=activation)
    spec = replace(spec, shared_trunk=shared)
    rng = np.random.default_rng(11)
    weights = random_weights(spec, rng)
    moves = [move for move in MOVES if abs(move) < 5.0]
    batch = random_batch(spec, weights, rng, 9, moves, masked=masked, old=True)
    problem = Problem(spec, weights, batch, Objective(entropy_coef=0.05, value_coef=0.7, **LOSSES[loss]))
    backend = problem.backend()
    gradients = backend.gradients(batch, problem.objective)
    assert list(gradients) == list(spec.shapes())
    for name, weight in weights.items():
        slopes = np.empty(weight.shape)
        for index in np.ndindex(weight.shape):
            losses = []
            for sign in (1.0, -1.0):
                moved = weight.copy()
                moved[index] += sign * STEP
                backend.load_state({**weights, name: moved})
                losses.append(backend.evaluate(batch, problem.objective).loss)
            slopes[index] = (losses[0] - losses[1]) / (2.0 * STEP)
        np.testing.assert_allclose(gradients[name], slopes, rtol=2e-7, atol=2e-9, err_msg=name)


@settings(deadline=None, max_examples=200)
@given(problems())
def test_every_term_and_every_gradient_is_torchs(problem):
    backend, expected = problem.backend(), torch_loss(problem)
    terms = backend.evaluate(problem.batch, problem.objective)
    for name in ("log_prob", "ratio", "entropy", "value"):
        actual = getattr(terms, name)
        np.testing.assert_allclose(actual, getattr(expected, name), rtol=1e-9, atol=1e-11, err_msg=name)
    largest = max(1.0, *(abs(expected.ratio * problem.batch.advantages)))
    for name in ("policy_loss", "value_loss", "loss", "kl"):
        assert getattr(terms, name) == pytest.approx(getattr(expected, name), rel=1e-10, abs=1e-11 * largest)
    gradients = backend.gradients(problem.batch, problem.objective)
    assert list(gradients) == list(problem.spec.shapes())
    scale = max(1.0, *(np.abs(g).max() for g in expected.gradients.values()))
    for name, gradient in expected.gradients.items():
        # torch's trigamma, of the beta distribution's entropy, is good to 5e-10 of 1.
        rtol, atol = (1e-7, 1e-8) if problem.spec.action_kind == "beta" else (1e-9, 1e-11)
        np.testing.assert_allclose(gradients[name], gradient, rtol=rtol, atol=atol * scale, err_msg=name)


def test_inside_the_value_clip_range_the_gradient_is_that_without_clipping():
    """old + (value - old) need not equal value to the last bit; a sample is not clipped because of that."""
    spec, rng = NetworkSpec(4, "categorical", 2, (8,)), np.random.default_rng(2)
    weights = random_weights(spec, rng)
    batch = random_batch(spec, weights, rng, 2000)
    assert np.any(batch.values != plain_forward(spec, weights, batch.observations)[1])
    clipped, unclipped = (
        Problem(spec, weights, None, None).backend().gradients(batch, Objective(0.2, limit)) for limit in (1000.0, None)
    )
    for name, gradient in unclipped.items():
        np.testing.assert_allclose(clipped[name], gradient, rtol=1e-10, atol=1e-12, err_msg=name)


def naive_stats(weights, batch, terms, objective, gradients):
    """The debug variables as their definitions read, one sample at a time."""
    count = len(batch.log_probs)
    log_ratios = [min(20.0, max(-20.0, new - old)) for new, old in zip(terms.log_prob, batch.log_probs, strict=True)]
    ratios = [math.exp(x) for x in log_ratios]
    low, high = 1.0 - objective.clip_range, 1.0 + objective.clip_range
    policy = []
    for r, a in zip(ratios, batch.advantages, strict=True):
        policy.append(min(r * a, min(high, max(low, r)) * a) if objective.clip else r * a)
        if objective.dual_clip is not None and a < 0.0:
            policy[-1] = max(policy[-1], objective.dual_clip * a)
    value = []
    for new, old, target in zip(terms.value, batch.values, batch.returns, strict=True):
        squares = [(new - target) ** 2]
        if objective.value_clip_range is not None:
            near = min(old + objective.value_clip_range, max(old - objective.value_clip_range, new))
            squares.append((near - target) ** 2)
        value.append(0.5 * max(squares))
    policy_loss, value_loss = -math.fsum(policy) / count, math.fsum(value) / count
    entropy = math.fsum(terms.entropy) / count
    matrices = [w for name, w in weights.items() if name.startswith("critic.") and w.ndim == 2]
    squares = math.fsum(float(x) ** 2 for w in matrices for x in w.ravel())
    return UpdateStats(
        loss=policy_loss
        - objective.entropy_coef * entropy
        + objective.value_coef * value_loss
        + objective.kl_coef * terms.kl
        + objective.critic_l2_coef * squares,
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        old_approx_kl=math.fsum(-x for x in log_ratios) / count,
        approx_kl=math.fsum(r - 1.0 - x for r, x in zip(ratios, log_ratios, strict=True)) / count,
        clip_fraction=sum(not low <= r <= high for r in ratios) / count,
        grad_norm=math.sqrt(math.fsum(float(x) ** 2 for g in gradients.values() for x in g.ravel())),
        kl=terms.kl,
    )


@settings(deadline=None, max_examples=100)
@given(problems())
def test_an_update_reports_the_debug_variables_of_before_the_step(problem):
    backend = problem.backend()
    terms = backend.evaluate(problem.batch, problem.objective)
    gradients = backend.gradients(problem.batch, problem.objective)
    stats = backend.update(problem.batch, problem.objective, OptimizerStep(0.1, 0.5, separate=True))
    expected = naive_stats(problem.weights, problem.batch, terms, problem.objective, gradients)
    largest = max(1.0, *(abs(terms.ratio * problem.batch.advantages)), *terms.ratio)
    for name, value in expected._asdict().items():
        assert isinstance(getattr(stats, name), float), name
        assert getattr(stats, name) == pytest.approx(value, rel=1e-9, abs=1e-11 * largest), name


def one_sample(advantage=3.0, move=0.0, target=1.0, old_value=1.25):
    """Observation 2, action 0; the log-probability was log(1/2) - ``move`` when it was taken."""
    arrays = ([[2.0]], [0], [math.log(0.5) - move], [advantage], [target], [old_value])
    return Minibatch(*map(np.array, arrays))


@pytest.fixture
def tiny():
    """No hidden layer. Logits 0 x + 0: p = (1/2, 1/2). Value 0.5 x + 0.25: 1.25 for x = 2."""
    backend = NumpyBackend(NetworkSpec(1, "categorical", 2, hidden_sizes=()))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in backend.spec.shapes().items()}
    critic = {"critic.output.weight": np.float32([[0.5]]), "critic.output.bias": np.float32([0.25])}
    backend.load_state({**zeros, **critic})
    return backend


def gradient_lists(backend, batch, objective):
    return {name: g.ravel().tolist() for name, g in backend.gradients(batch, objective).items()}


def test_one_sample_by_hand(tiny):
    objective = Objective(clip_range=0.2, entropy_coef=0.01, value_coef=0.5)
    terms = tiny.evaluate(one_sample(), objective)
    # ratio = 1, so policy_loss = -3; value_loss = (1.25 - 1)^2 / 2 = 1/32; entropy = log 2
    assert (terms.policy_loss, terms.value_loss) == (-3.0, 1 / 32)
    assert terms.loss == pytest.approx(-3.0 - 0.01 * math.log(2.0) + 0.5 / 32, rel=1e-14)
    # d policy_loss / d logits = -3 (1 - 1/2, 0 - 1/2) = (-1.5, 1.5); the entropy is flat at its maximum.
    # d loss / d value = 0.5 (1.25 - 1) = 0.125. Each weight's is x = 2 times its bias'.
    assert gradient_lists(tiny, one_sample(), objective) == {
        "actor.output.weight": [-3.0, 3.0],
        "actor.output.bias": [-1.5, 1.5],
        "critic.output.weight": [0.25],
        "critic.output.bias": [0.125],
    }


@pytest.mark.parametrize(
    ("advantage", "ratio", "policy_loss", "d_logit"),
    [
        (3.0, 2.0, -3.6, 0.0),  # min(6, 1.2 * 3): nothing flows back
        (-3.0, 2.0, 6.0, 3.0),  # min(-6, 1.2 * -3): flows, 2 * 3 * (1 - 1/2)
        (3.0, 0.5, -1.5, -0.75),  # min(1.5, 0.8 * 3): flows, -0.5 * 3 * (1 - 1/2)
        (-3.0, 0.5, 2.4, 0.0),  # min(-1.5, 0.8 * -3): nothing flows back
        (0.0, 2.0, 0.0, 0.0),
    ],
)
def test_the_clipped_surrogate_by_hand(tiny, advantage, ratio, policy_loss, d_logit):
    batch, objective = one_sample(advantage, move=math.log(ratio)), Objective(0.2, value_coef=0.0)
    assert tiny.evaluate(batch, objective).policy_loss == pytest.approx(policy_loss, rel=1e-14)
    gradients = gradient_lists(tiny, batch, objective)
    assert gradients["actor.output.bias"] == pytest.approx([d_logit, -d_logit], rel=1e-14)
    assert gradients["actor.output.weight"] == pytest.approx([2.0 * d_logit, -2.0 * d_logit], rel=1e-14)


@pytest.mark.parametrize(
    ("move", "ratio", "flows"),
    [(19.0, math.exp(19.0), True), (21.0, math.exp(20.0), False), (1e4, math.exp(20.0), False)],
)
def test_a_log_ratio_beyond_20_is_clamped_and_has_no_gradient(tiny, move, ratio, flows):
    batch, objective = one_sample(advantage=-1.0, move=move), Objective(0.2, value_coef=0.0)
    terms = tiny.evaluate(batch, objective)
    assert terms.ratio.tolist() == pytest.approx([ratio], rel=1e-12)
    assert terms.policy_loss == pytest.approx(ratio, rel=1e-12)
    d_logit = 0.5 * ratio if flows else 0.0
    expected = pytest.approx([d_logit, -d_logit], rel=1e-12)
    assert gradient_lists(tiny, batch, objective)["actor.output.bias"] == expected


@pytest.mark.parametrize(
    ("target", "value_loss", "d_value"),
    [
        (1.0, 0.125, 0.0),  # (1.25 - 1)^2 = 1/16 < (0.5 - 1)^2 = 1/4: the clipped one, nothing flows back
        (3.0, 3.125, 0.0),  # 1.75^2 < 2.5^2: clipped again
        (-1.0, 2.53125, 2.25),  # 2.25^2 > 1.5^2: not clipped, the error flows back
    ],
)
def test_the_clipped_value_loss_by_hand(tiny, target, value_loss, d_value):
    # The value was 0 and is 1.25, which a range of 0.5 holds at 0.5.
    batch = one_sample(advantage=0.0, target=target, old_value=0.0)
    objective = Objective(0.2, value_clip_range=0.5, value_coef=1.0)
    assert tiny.evaluate(batch, objective).value_loss == value_loss
    gradients = gradient_lists(tiny, batch, objective)
    assert (gradients["critic.output.weight"], gradients["critic.output.bias"]) == ([2 * d_value], [d_value])


def test_the_debug_variables_by_hand(tiny):
    batch = one_sample(advantage=3.0, move=math.log(2.0))
    stats = tiny.update(batch, Objective(0.2, None, 0.01, 0.5), OptimizerStep(0.0))
    value_gradient = math.hypot(0.25, 0.125)  # the policy's is 0: its surrogate is clipped
    expected = (-3.6 - 0.01 * math.log(2.0) + 1 / 64, -3.6, 1 / 32, math.log(2.0), -math.log(2.0))
    expected = (*expected, 1.0 - math.log(2.0), 1.0, value_gradient, 0.0)
    assert stats == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("field", "bad", "named"),
    [
        ("observations", np.nan, "observations"),
        ("observations", np.inf, "observations"),
        ("advantages", np.nan, "advantages"),
        ("advantages", -np.inf, "advantages"),
        ("returns", np.nan, "returns"),
        ("returns", np.inf, "returns"),
        ("log_probs", np.nan, "log_probs"),
        ("values", np.nan, "values"),
        ("values", np.inf, "values"),
        ("old_parameters", np.nan, "old_parameters"),
        ("critic.output.bias", np.nan, "value output"),
        ("critic.output.bias", np.inf, "value output"),
        ("actor.output.bias", np.nan, "policy output"),
        ("log_std", np.nan, "policy output"),
    ],
)
@pytest.mark.parametrize("precision", ["exact", "float32"])
def test_an_update_that_is_not_finite_names_the_first_bad_tensor_and_changes_nothing(field, bad, named, precision):
    spec, rng = NetworkSpec(3, "gaussian", 2, (4,)), np.random.default_rng(4)
    weights = random_weights(spec, rng)
    dtype = np.float64 if precision == "exact" else np.float32
    good = random_batch(spec, weights, rng, 6, moves=[0.0, 0.1], dtype=dtype, old=True)
    backend = Problem(spec, weights, None, None).backend(precision)
    objective = Objective(0.2, value_clip_range=0.5, kl_coef=0.1)
    backend.update(good, objective, OptimizerStep(0.01, 0.5))
    batch = Minibatch(**{name: array.copy() for name, array in good.arrays().items()})
    if field in Minibatch._fields:
        getattr(batch, field)[3] = bad
    else:
        state = backend.state()
        state[field][0] = bad
        backend.load_state(state)
    before = backend.state()
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match=f"^{named} is not finite at update 2"):
        backend.update(batch, objective, OptimizerStep(0.01, 0.5))
    assert_states_equal(backend.state(), before)


def test_a_gradient_that_overflows_is_named_and_not_applied():
    """In float32 the pullback's z / std is infinite long before anything before it is."""
    spec = NetworkSpec(1, "gaussian", 1, hidden_sizes=())
    backend = NumpyBackend(spec, precision="float32")
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}
    backend.load_state({**weights, "log_std": np.float32([-60.0])})
    action = np.float32([[3e-26 * 1e8]])  # z = 3e8 standard deviations of exp(-60): z^2 is finite, z / std is 3e34
    log_prob = backend.evaluate(
        Minibatch(np.float32([[1.0]]), action, *(np.zeros(1, np.float32),) * 4), Objective(0.2)
    ).log_prob
    batch = Minibatch(np.float32([[1.0]]), action, log_prob, np.float32([1e6]), *(np.zeros(1, np.float32),) * 2)
    before = backend.state()
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match=r"^gradient of actor.output.weight is"):
        backend.update(batch, Objective(0.2), OptimizerStep(0.01))
    assert_states_equal(backend.state(), before)
