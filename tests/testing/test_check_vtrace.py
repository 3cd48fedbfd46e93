"""`check_vtrace` passes right implementations in every framework, and catches and names every known mistake."""

import collections
import os

import numpy as np
import pytest

import ppocore
from ppocore.errors import UsageError
from ppocore.testing import UndeclaredChoice, check_vtrace
from ppocore.testing.report import text_of
from ppocore.testing.vtrace.mistakes import MISTAKES, vtrace_with
from ppocore.testing.vtrace.oracle import vtrace_by_sums

SEEDS = pytest.mark.parametrize("seed", range(int(os.environ.get("PPOCORE_TEST_SEEDS", "1"))))
Returns = collections.namedtuple("Returns", "vs pg_advantages")
Errors = collections.namedtuple("Errors", "errors pg_advantage q_estimate")


def canonical(changes):
    """Return a function that makes mistakes."""

    def candidate(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
        case = {name: x for name, x in locals().items() if name not in ("changes", "candidate")}
        found = vtrace_with({**case, "pg_rho_clip": rho_clip}, **changes)
        return found["vs"], found["advantages"]

    return candidate


def from_importance_weights(
    log_rhos, discounts, rewards, values, bootstrap_value, clip_rho_threshold=1.0, clip_pg_rho_threshold=1.0
):
    """The signature of IMPALA's own program, in torch."""
    import torch

    rhos = torch.exp(log_rhos)
    following = torch.cat([values[1:], bootstrap_value[None]])
    deltas = rhos.clamp(max=clip_rho_threshold) * (rewards + discounts * following - values)
    running, found = torch.zeros_like(bootstrap_value), []
    for t in reversed(range(len(rewards))):
        running = deltas[t] + discounts[t] * rhos[t].clamp(max=1.0) * running
        found.append(running)
    vs = torch.stack(found[::-1]) + values
    following = torch.cat([vs[1:], bootstrap_value[None]])
    return Returns(vs, rhos.clamp(max=clip_pg_rho_threshold) * (rewards + discounts * following - values))


def errors_of_one_column(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_=1.0, clip_rho_threshold=1.0):
    """The signature of a function of RLax, in JAX: (T,), and the targets minus the values."""
    import jax
    import jax.numpy as jnp

    c = jnp.minimum(1.0, rho_tm1) * lambda_
    deltas = jnp.minimum(clip_rho_threshold, rho_tm1) * (r_t + discount_t * v_t - v_tm1)

    def step(running, row):
        discount, weight, delta = row
        running = delta + discount * weight * running
        return running, running

    return jax.lax.scan(step, 0.0, (discount_t, c, deltas), reverse=True)[1]


def with_lambda_in_the_advantages(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_=1.0, clip_rho_threshold=1.0):
    """As RLax's advantages, which bootstrap from lambda * vs + (1 - lambda) * V."""
    import jax.numpy as jnp

    errors = errors_of_one_column(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_, clip_rho_threshold)
    mixed = lambda_ * (errors + v_tm1)[1:] + (1 - lambda_) * v_tm1[1:]
    q = r_t + discount_t * jnp.concatenate([mixed, v_t[-1:]])
    return Errors(errors, jnp.minimum(clip_rho_threshold, rho_tm1) * (q - v_tm1), q)


def swapped(rewards, values, dones, last_values, ratios, gamma, *, lambda_=1.0):
    """Advantages first, in NumPy, with dones and ratios."""
    alive, running = 1.0 - dones, 0.0
    vs, advantages = np.zeros_like(values), np.zeros_like(values)
    target = value = last_values
    for t in reversed(range(len(rewards))):
        rho = np.minimum(1.0, ratios[t])
        running = rho * (rewards[t] + gamma * alive[t] * (value + lambda_ * running) - values[t])
        advantages[t] = rho * (rewards[t] + gamma * alive[t] * target - values[t])
        vs[t] = target = values[t] + running
        value = values[t]
    return advantages, vs


def in_paddle(log_ratios, rewards, values, masks, gamma):
    """Values (T + 1, N) and targets alone."""
    import paddle

    rho = paddle.exp(log_ratios).clip(max=1.0)
    masks, running, found = masks.astype(values.dtype), paddle.zeros([rewards.shape[1]]), []
    for t in reversed(range(rewards.shape[0])):
        delta = rho[t] * (rewards[t] + gamma * masks[t] * values[t + 1] - values[t])
        running = delta + gamma * masks[t] * rho[t] * running
        found.append(running + values[t])
    return paddle.stack(found[::-1])


def inside_float32(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
    arrays = [x.astype(np.float32) for x in (rewards, values, next_values)]
    ratios = log_ratios.astype(np.float32)
    numbers = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
    found = ppocore.vtrace(*arrays, terminated, truncated, ratios, **numbers)
    return found.vs.astype(np.float64), found.advantages.astype(np.float64)


RIGHT = {
    "ppocore": (ppocore.vtrace, {}),
    "ppocore in float32": (ppocore.vtrace, {"dtype": "float32"}),
    "ppocore, batch major": (lambda *a, **k: ppocore.vtrace(*a, **k, time_axis=1), {"layout": "batch"}),
    "ppocore in torch": (ppocore.vtrace, {"arrays": "torch"}),
    "ppocore in bfloat16": (ppocore.vtrace, {"arrays": "torch", "dtype": "bfloat16"}),
    "ppocore in paddle": (ppocore.vtrace, {"arrays": "paddle"}),
    "ppocore in jax": (ppocore.vtrace, {"arrays": "jax"}),
    "float32 inside": (inside_float32, {}),
    "importance weights": (from_importance_weights, {"arrays": "torch"}),
    "importance weights in float64": (from_importance_weights, {"arrays": "torch", "dtype": "float64"}),
    "errors": (errors_of_one_column, {"arrays": "jax", "layout": "column", "results": "errors"}),
    "lambda": (with_lambda_in_the_advantages, {"arrays": "jax", "layout": "column", "bootstrap": "lambda"}),
    "swapped": (swapped, {"results": "advantages, vs"}),
    "paddle": (in_paddle, {"arrays": "paddle"}),
}


@pytest.mark.parametrize("name", RIGHT)
@SEEDS
def test_right_implementations_pass(name, seed):
    function, settings = RIGHT[name]
    pytest.importorskip(settings.get("arrays", "numpy"))
    report = check_vtrace(function, seed=seed, max_examples=20, **settings)
    assert report.passed
    checked = {result.name for result in report.results if result.passed}
    assert {"by_definition", "n_step_return_on_policy", "nothing_leaks_back", "columns_apart"} <= checked


@pytest.mark.parametrize("name", MISTAKES)
@SEEDS
def test_every_mistake_is_caught_and_named(name, seed):
    report = check_vtrace(canonical(MISTAKES[name].changes), seed=seed, max_examples=25, raise_on_failure=False)
    assert report.verdict == "failed"
    assert [found for found, _ in report.diagnosis.mistakes] == [name]
    assert MISTAKES[name].says in str(report)
    rows, columns = report.failures[0].failure.case["rewards"].shape
    assert rows <= 2
    assert columns == 1


OF_PPOCORE = {
    "rho not clipped": lambda x: {**x, "rho_clip": np.inf},
    "c not clipped": lambda x: {**x, "c_clip": np.inf},
    "c clipped with the bound of rho": lambda x: {**x, "c_clip": x["rho_clip"]},
    "lambda missing": lambda x: {**x, "lam": 1.0},
    "ratios inverted": lambda x: {**x, "log_ratios": -x["log_ratios"]},
    "no bootstrap after the last row": lambda x: {**x, "next_values": without_the_last(x["next_values"])},
    "truncation treated as termination": lambda x: {**x, "terminated": x["terminated"] | x["truncated"]},
}


def without_the_last(next_values):
    found = next_values.copy()
    found[-1] = 0.0
    return found


@pytest.mark.parametrize("name", OF_PPOCORE)
def test_mistakes_in_calling_ppocore_are_named(name):
    def candidate(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
        case = {name: x for name, x in locals().items() if name not in ("name", "candidate")}
        return ppocore.vtrace(**OF_PPOCORE[name](case))

    report = check_vtrace(candidate, max_examples=20, raise_on_failure=False)
    assert [found for found, _ in report.diagnosis.mistakes] == [name]


def test_two_mistakes_are_named_together():
    changes = {**MISTAKES["c missing"].changes, **MISTAKES["no baseline in the advantage"].changes}
    report = check_vtrace(canonical(changes), max_examples=25, raise_on_failure=False)
    assert {name for name, _ in report.diagnosis.mistakes} == {"c missing", "no baseline in the advantage"}


def test_the_definition_agrees_with_ppocore_and_with_the_recursion():
    rng = np.random.default_rng(5)
    for shape in ((6, 1), (4, 2), (9, 3)):
        rewards, values, next_values, log_ratios = rng.normal(size=(4, *shape))
        terminated, truncated = rng.random((2, *shape)) < 0.25
        arrays = (rewards, values, next_values, terminated, truncated, log_ratios)
        names = ("rewards", "values", "next_values", "terminated", "truncated", "log_ratios")
        numbers = {"gamma": 0.9, "lam": 0.8, "rho_clip": 1.2, "c_clip": 0.7}
        case = {**dict(zip(names, arrays, strict=True)), **numbers, "pg_rho_clip": 1.2}
        case["next_values"] = ppocore_successors(case)
        right = ppocore.vtrace(*[case[name] for name in names], **numbers)
        for found in (vtrace_by_sums(case), vtrace_with(case)):
            np.testing.assert_allclose(found["vs"], right.vs, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found["advantages"], right.advantages, rtol=1e-12, atol=1e-12)


def ppocore_successors(case):
    found = case["next_values"].copy()
    ended = case["terminated"] | case["truncated"]
    found[:-1] = np.where(ended[:-1], found[:-1], case["values"][1:])
    return found


def test_by_hand():
    """Ratios 2 and 1/2, bounds 1: vs[1] = 1 + 0.5 (2 + 0.5 * 4 - 1) = 2.5, vs[0] = (1 + 0.5) + 0.5 * 1.5 = 2.25."""
    case = {
        "rewards": np.array([[1.0], [2.0]]),
        "values": np.array([[0.0], [1.0]]),
        "next_values": np.array([[1.0], [4.0]]),
        "terminated": np.zeros((2, 1), bool),
        "truncated": np.zeros((2, 1), bool),
        "log_ratios": np.log([[2.0], [0.5]]),
        "gamma": 0.5,
        "lam": 1.0,
        "rho_clip": 1.0,
        "c_clip": 1.0,
        "pg_rho_clip": 1.0,
    }
    found = vtrace_by_sums(case)
    np.testing.assert_allclose(found["vs"], [[2.25], [2.5]])
    np.testing.assert_allclose(found["advantages"], [[2.25], [1.5]])


@pytest.mark.parametrize(
    ("function", "settings", "declare"),
    [
        (swapped, {}, "results='advantages, vs'"),
        (errors_of_one_column, {"arrays": "jax", "layout": "column"}, "results='errors'"),
        (with_lambda_in_the_advantages, {"arrays": "jax", "layout": "column"}, "bootstrap='lambda'"),
    ],
)
def test_choices_are_recognised(function, settings, declare):
    pytest.importorskip(settings.get("arrays", "numpy"))
    with pytest.raises(UndeclaredChoice) as caught:
        check_vtrace(function, max_examples=15, **settings)
    assert f"Pass {declare} if it is meant" in str(caught.value)


def test_a_mistake_in_another_order_is_named_too():
    def wrong(rewards, values, dones, last_values, ratios, gamma, *, lambda_=1.0):
        return swapped(rewards, values, dones, np.zeros_like(last_values), ratios, gamma, lambda_=lambda_)

    report = check_vtrace(wrong, max_examples=20, raise_on_failure=False)
    assert report.verdict == "failed"
    assert [name for name, _ in report.diagnosis.mistakes] == ["no bootstrap after the last row"]
    assert report.choice[1] == "results='advantages, vs'"


def writes(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
    numbers = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
    found = ppocore.vtrace(rewards, values, next_values, terminated, truncated, log_ratios, **numbers)
    next_values[terminated] = 0.0
    return found


def cuts(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
    numbers = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
    found = ppocore.vtrace(rewards, values, next_values, terminated, truncated, log_ratios, **numbers)
    return tuple(x.astype(rewards.dtype).astype(np.float64) for x in found)


def wrong_when_long(*arguments, **numbers):
    vs, advantages = ppocore.vtrace(*arguments, **numbers)
    vs[128:] = 0.0
    return vs, advantages


@pytest.mark.parametrize(
    ("function", "failed", "named"),
    [
        (writes, "inputs_untouched", "an argument is written to"),
        (cuts, "integer_rewards", "results of the dtype of the rewards"),
        (wrong_when_long, "large_arrays", None),
    ],
)
def test_what_the_numbers_of_small_rollouts_do_not_show(function, failed, named):
    def candidate(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
        numbers = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
        return function(rewards, values, next_values, terminated, truncated, log_ratios, **numbers)

    report = check_vtrace(candidate, max_examples=20, raise_on_failure=False)
    assert [result.name for result in report.failures] == [failed]
    if failed == "large_arrays":
        assert report.failures[0].failure.case["rewards"].shape == (129, 1)
    assert [name for name, _ in report.diagnosis.mistakes] == ([] if named is None else [named])


def raises(x, y):
    raise ValueError("no")


@pytest.mark.parametrize("arrays", ["numpy", "torch", "paddle", "jax"])
def test_the_code_of_a_counterexample_runs(arrays):
    pytest.importorskip(arrays)

    def doubled(rewards, values, next_values, terminated, truncated, log_ratios, gamma, lam, rho_clip, c_clip):
        numbers = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
        found = ppocore.vtrace(rewards, values, next_values, terminated, truncated, log_ratios, **numbers)
        return 2.0 * found.vs, found.advantages

    report = check_vtrace(doubled, arrays=arrays, max_examples=10, raise_on_failure=False)
    failure = report.failures[0].failure
    assert failure.case["rewards"].shape == (1, 1)
    seen = []
    exec(failure.code, {"doubled": lambda *a: seen.append(doubled(*a))})
    assert failure.actual in (text_of(seen[0][0]), text_of(seen[0][1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_vtrace(3), "the candidate is 3, expected a function"),
        (lambda: check_vtrace(raises), "no telling what the parameter 'x' of raises is: pass arguments="),
        (lambda: check_vtrace(ppocore.vtrace, arguments="rewards, wards"), "has 'wards', which is unknown"),
        (lambda: check_vtrace(ppocore.vtrace, arguments="rewards, rewards"), "names an argument twice"),
        (lambda: check_vtrace(ppocore.vtrace, results="vs, q"), "results='vs, q' cannot be read"),
        (lambda: check_vtrace(ppocore.vtrace, layout="x"), "layout='x' is unknown"),
        (lambda: check_vtrace(ppocore.vtrace, bootstrap="x"), "bootstrap='x' is unknown"),
        (lambda: check_vtrace(ppocore.vtrace, gamma=2.0), "gamma=2.0 is out of range"),
        (lambda: check_vtrace(ppocore.vtrace, rho_clip=0.0), "rho_clip=0.0 is out of range"),
        (lambda: check_vtrace(ppocore.vtrace, properties=["x"]), "there is no property 'x'"),
        (lambda: check_vtrace(lambda rewards, values, log_rhos: 0), "takes neither gamma nor discounts"),
        (lambda: check_vtrace(ppocore.vtrace, arrays="x"), "arrays='x' is unknown"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(UsageError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("nothing", "it returned 1 parts|of kind"),
        (np.zeros(3), "have shape (3,), expected"),
        ({"a": np.zeros((2, 1))}, "it returned a dictionary of 'a', expected vs or vs, advantages: pass results="),
    ],
)
def test_other_results_get_one_sentence(result, message):
    report = check_vtrace(
        lambda rewards, values, last_values, dones, log_ratios, gamma: result, max_examples=5, raise_on_failure=False
    )
    assert any(part in report.failures[0].failure.message for part in message.split("|"))
    assert "there are no results to compare" in str(report)


def test_the_report_is_json():
    import json

    report = check_vtrace(canonical(MISTAKES["rho missing"].changes), max_examples=5, raise_on_failure=False)
    found = json.loads(json.dumps(report.to_dict()))
    assert found["verdict"] == "failed"
    assert found["diagnosis"] == ["rho missing"]
    assert report.to_dict()["check"] == "check_vtrace"
