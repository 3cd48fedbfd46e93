"""The checks of token-level GAE, KL rewards and masked whitening pass right functions and name every known mistake."""

import os

import numpy as np
import pytest

from ppocore.errors import UsageError
from ppocore.testing import UndeclaredChoice, check_kl_rewards, check_masked_whitening, check_token_gae
from ppocore.testing.language.advantages import MISTAKES as GAE_MISTAKES
from ppocore.testing.language.advantages import advantages_by_sums, advantages_with, rewards_to_go
from ppocore.testing.language.kl import KLRewards
from ppocore.testing.language.kl_mistakes import MISTAKES as KL_MISTAKES
from ppocore.testing.language.kl_mistakes import rewards_with
from ppocore.testing.language.whitening import MISTAKES as WHITENING_MISTAKES
from ppocore.testing.language.whitening import Whitening, whiten, whiten_with
from ppocore.testing.report import text_of

SEEDS = pytest.mark.parametrize("seed", range(int(os.environ.get("PPOCORE_TEST_SEEDS", "1"))))
PER_TOKEN = {"lambda of the next token", "lambda of the first token"}


def names_of(report):
    return [name for name, _ in report.diagnosis.mistakes]


# Right functions, in their own words after those of public programs.


def masked_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def whiten_in_torch(values, mask, shift_mean=True):
    """The sample's variance, with 1e-8 added, as in TRL."""
    import torch

    mean, count = masked_mean(values, mask), mask.sum()
    if count < 2:
        raise ValueError("too few")
    variance = masked_mean((values - mean) ** 2, mask) * count / (count - 1)
    found = (values - mean) * torch.rsqrt(variance + 1e-8)
    return found if shift_mean else found + mean


def whiten_at_least(x, action_mask):
    """The population's variance, at least 1e-8, as in OpenRLHF."""
    mean = masked_mean(x, action_mask)
    return (x - mean) * masked_mean((x - mean) ** 2, action_mask).clamp(min=1e-8).rsqrt()


def whiten_in_one_pass(x, mask):
    mean = masked_mean(x, mask)
    variance = masked_mean(x * x, mask) - mean**2
    return (x - mean) / np.sqrt(np.maximum(variance, 0.0) + 1e-8)


def whiten_in_jax(x, mask):
    import jax.numpy as jnp

    mean = jnp.where(mask, x, 0.0).sum() / mask.sum()
    return (x - mean) / (jnp.sqrt(jnp.where(mask, (x - mean) ** 2, 0.0).sum() / mask.sum()) + 1e-8)


def whiten_in_paddle(x, mask):
    import paddle

    mask = mask.astype(x.dtype)
    mean = masked_mean(x, mask)
    return (x - mean) * paddle.rsqrt(masked_mean((x - mean) ** 2, mask) + 1e-8)


def whiten_in_numpy(x, mask):
    kept = x[mask.astype(bool)]
    return (x - kept.mean()) / (kept.std() + 1e-8)


def whiten_rows(x, mask):
    return np.stack([whiten_in_numpy(row, flags) if flags.any() else row for row, flags in zip(x, mask, strict=True)])


def gae_in_torch(token_level_rewards, values, response_mask, gamma, lam):
    """Tokens between turns are skipped, as in verl."""
    import torch

    following = running = torch.zeros(len(values), dtype=values.dtype)
    mask, found = response_mask, []
    for t in reversed(range(values.shape[1])):
        delta = token_level_rewards[:, t] + gamma * following - values[:, t]
        running = mask[:, t] * (delta + gamma * lam * running) + (1 - mask[:, t]) * running
        following = mask[:, t] * values[:, t] + (1 - mask[:, t]) * following
        found.append(running)
    advantages = torch.stack(found[::-1], 1)
    return advantages, advantages + values


def gae_whitened(token_level_rewards, values, response_mask, gamma, lam):
    advantages, returns = gae_in_torch(token_level_rewards, values, response_mask, gamma, lam)
    return whiten_in_torch(advantages, response_mask), returns


def gae_of_one_turn(values, rewards, mask, gamma, lam):
    """Values and rewards are multiplied by the mask, as in TRL: right without tokens masked out between."""
    values, rewards = values * mask, rewards * mask
    running, following, found = 0.0, 0.0, []
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * following - values[:, t] + gamma * lam * running
        following = values[:, t]
        found.append(running)
    advantages = np.stack(found[::-1], 1)
    return advantages, advantages + values


def gae_without_mask(rewards, values, gamma, lam):
    return gae_of_one_turn(values, rewards, 1.0, gamma, lam)[0]


def gae_in_jax(rewards, values, mask, lambdas, gamma):
    """A lambda for each token."""
    import jax
    import jax.numpy as jnp

    def step(carried, row):
        following, running = carried
        reward, value, token, lam = row
        now = reward + gamma * following - value + gamma * lam * running
        carried = jnp.where(token, value, following), jnp.where(token, now, running)
        return carried, jnp.where(token, now, 0.0)

    nothing = jnp.zeros(len(rewards))
    rows = (rewards.T, values.T, mask.T, lambdas.T)
    return jax.lax.scan(step, (nothing, nothing), rows, reverse=True)[1].T


def gae_in_paddle(rewards, values, mask, gamma, lam):
    import paddle

    mask, following, found = mask.astype(values.dtype), paddle.zeros([values.shape[0]]), []
    running = following
    for t in reversed(range(values.shape[1])):
        now = rewards[:, t] + gamma * following - values[:, t] + gamma * lam * running
        running = now * mask[:, t] + (1 - mask[:, t]) * running
        following = values[:, t] * mask[:, t] + (1 - mask[:, t]) * following
        found.append(running)
    advantages = paddle.stack(found[::-1], 1)
    return advantages, advantages + values


def length_adaptive(count):
    return 1.0 - 1.0 / (0.5 * count + 1.0)


def gae_of_a_sequence(rewards, values, mask, gamma):
    """Lambda from the number of tokens, a sequence at a time."""
    kept = np.flatnonzero(mask)
    lam, running, following, found = length_adaptive(len(kept)), 0.0, 0.0, np.zeros(len(mask))
    for t in kept[::-1]:
        running = rewards[t] + gamma * following - values[t] + gamma * lam * running
        following = values[t]
        found[t] = running
    return found, found + values


def kl_in_torch(scores, logprobs, ref_logprobs, mask, kl_coef):
    kl = logprobs - ref_logprobs
    last = mask.shape[1] - 1 - mask.long().flip(1).argmax(1)
    return (-kl_coef * kl * mask).scatter_add(1, last[:, None], scores[:, None]), kl


def kl_k3_in_torch(scores, logprobs, ref_logprobs, mask, kl_coef):
    """Masked-out tokens pay, too."""
    import torch

    ratio = ref_logprobs - logprobs
    rewards = -kl_coef * (torch.exp(ratio) - 1 - ratio)
    rewards[torch.arange(len(rewards)), mask.shape[1] - 1 - mask.long().flip(1).argmax(1)] += scores
    return rewards


def kl_in_jax(scores, kl, mask, beta):
    import jax.numpy as jnp

    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], 1)
    return (-beta * jnp.where(mask, kl, 0.0)).at[jnp.arange(len(kl)), last].add(scores)


def kl_of_scores(token_level_scores, old_log_probs, ref_log_prob, response_mask, beta):
    return token_level_scores - beta * (old_log_probs - ref_log_prob) * response_mask


def kl_by_lengths(scores, logprobs, ref_logprobs, lengths, beta):
    rewards = -beta * (logprobs - ref_logprobs)
    rewards[np.arange(len(rewards)), lengths - 1] += scores
    return np.where(np.arange(rewards.shape[1]) < lengths[:, None], rewards, 0.0)


NO_HOLES = {"holes": False}
RIGHT = {
    "whitening": (check_masked_whitening, whiten_in_torch, {"arrays": "torch"}),
    "whitening in float64": (check_masked_whitening, whiten_in_torch, {"arrays": "torch", "dtype": "float64"}),
    "whitening, the mean as an argument": (
        check_masked_whitening,
        whiten_in_torch,
        {"arrays": "torch", "arguments": "x, mask, shift_mean"},
    ),
    "whitening, the mean kept": (
        check_masked_whitening,
        lambda x, mask: whiten_in_torch(x, mask, False),
        {"arrays": "torch", "shift_mean": False, "ddof": 1, "epsilon": 1e-8, "place": "variance"},
    ),
    "whitening, a least variance": (check_masked_whitening, whiten_at_least, {"arrays": "torch", "place": "least"}),
    "whitening in one pass": (check_masked_whitening, whiten_in_one_pass, {"dtype": "float32"}),
    "whitening in numpy": (check_masked_whitening, whiten_in_numpy, {}),
    "whitening of rows": (check_masked_whitening, whiten_rows, {"over": "sequence"}),
    "whitening in jax": (check_masked_whitening, whiten_in_jax, {"arrays": "jax"}),
    "whitening in paddle": (check_masked_whitening, whiten_in_paddle, {"arrays": "paddle"}),
    "gae": (check_token_gae, gae_in_torch, {"arrays": "torch"}),
    "gae in float64": (check_token_gae, gae_in_torch, {"arrays": "torch", "dtype": "float64"}),
    "gae whitened": (check_token_gae, gae_whitened, {"arrays": "torch", "whitened": True}),
    "gae of one turn": (check_token_gae, gae_of_one_turn, NO_HOLES),
    "gae in float32": (check_token_gae, gae_of_one_turn, {**NO_HOLES, "dtype": "float32", "padding": "right"}),
    "gae without mask": (check_token_gae, gae_without_mask, {}),
    "gae in jax": (check_token_gae, gae_in_jax, {"arrays": "jax"}),
    "gae in paddle": (check_token_gae, gae_in_paddle, {"arrays": "paddle"}),
    "gae with lambda from the length": (
        check_token_gae,
        gae_of_a_sequence,
        {"layout": "single", "lam": length_adaptive},
    ),
    "kl": (check_kl_rewards, kl_in_torch, {"arrays": "torch"}),
    "kl in float64": (check_kl_rewards, kl_in_torch, {"arrays": "torch", "dtype": "float64"}),
    "k3": (check_kl_rewards, kl_k3_in_torch, {"arrays": "torch", "estimator": "k3", "outside": "any"}),
    "kl in jax": (check_kl_rewards, kl_in_jax, {"arrays": "jax"}),
    "kl in paddle": (check_kl_rewards, kl_of_scores, {"arrays": "paddle"}),
    "kl in numpy": (check_kl_rewards, kl_of_scores, {}),
    "kl by lengths": (check_kl_rewards, kl_by_lengths, {}),
}


@SEEDS
@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name, seed):
    check, function, settings = RIGHT[name]
    pytest.importorskip(settings.get("arrays", "numpy"))
    report = check(function, seed=seed, max_examples=20, **settings)
    assert report.passed
    checked = {result.name for result in report.results if result.passed}
    assert {"well_formed", "inputs_untouched", "by_definition", "large_arrays"} <= checked


def gae_with(changes, lam_name="lam"):
    """Return a function that makes mistakes."""
    changes = dict(changes)
    returns = changes.pop("returns", "lambda")

    def compute(rewards, values, mask, lambdas, gamma, lam):
        case = {"rewards": rewards, "values": values, "mask": mask, "lambdas": lambdas, "gamma": gamma, "lam": lam}
        advantages = advantages_with(case, **changes)
        if returns == "whitened":
            advantages = whiten(advantages, mask, Whitening(1, 1e-8, "variance"))
        return advantages, rewards_to_go(case) if returns == "to_go" else advantages + values

    def per_token(rewards, values, mask, lambdas, gamma):
        return compute(rewards, values, mask, lambdas, gamma, 0.0)

    def scalar(rewards, values, mask, gamma, lam):
        return compute(rewards, values, mask, np.full(rewards.shape, lam), gamma, lam)

    return per_token if lam_name == "lambdas" else scalar


@SEEDS
@pytest.mark.parametrize("name", GAE_MISTAKES)
def test_every_mistake_in_token_gae_is_named(name, seed):
    function = gae_with(GAE_MISTAKES[name].changes, "lambdas" if name in PER_TOKEN else "lam")
    whitened = name == "returns of whitened advantages"
    report = check_token_gae(function, whitened=whitened, seed=seed, max_examples=25, raise_on_failure=False)
    assert report.verdict == "failed"
    assert names_of(report) == [name]
    assert GAE_MISTAKES[name].says in str(report)
    rows, tokens = report.failures[0].failure.case["rewards"].shape
    assert rows * tokens <= 3


@SEEDS
@pytest.mark.parametrize("name", KL_MISTAKES)
def test_every_mistake_in_kl_rewards_is_named(name, seed):
    estimator = {"half missing in k2": "k2", "1 missing in k3": "k3", "reference before the policy": "k3"}.get(
        name, "k1"
    )

    def wrong(scores, log_probs, ref_log_probs, mask, beta):
        case = {"scores": scores, "log_probs": log_probs, "ref_log_probs": ref_log_probs, "mask": mask, "beta": beta}
        return rewards_with(case, estimator, **KL_MISTAKES[name].changes)

    report = check_kl_rewards(wrong, estimator=estimator, seed=seed, max_examples=25, raise_on_failure=False)
    assert report.verdict == "failed"
    assert names_of(report) == [name]
    rows, tokens = report.failures[0].failure.case["mask"].shape
    assert rows * tokens <= 3


@SEEDS
@pytest.mark.parametrize("name", WHITENING_MISTAKES)
def test_every_mistake_in_whitening_is_named(name, seed):
    def wrong(x, mask, shift_mean):
        changes = dict(WHITENING_MISTAKES[name].changes)
        shift = changes.pop("shift", shift_mean)
        how = Whitening(0, 1e-8, "deviation")
        return whiten_with(x, mask, np.ones_like(mask), how, shift=shift, **changes)

    report = check_masked_whitening(wrong, seed=seed, max_examples=25, raise_on_failure=False)
    assert report.verdict == "failed"
    assert names_of(report) == [name]
    rows, tokens = report.failures[0].failure.case["mask"].shape
    assert rows * tokens <= 3


def test_mistakes_written_in_torch_are_named():
    import torch

    def padding_whitened(values, mask):
        return (values - values.mean()) / (values.std() + 1e-8)

    def bootstraps_from_the_tool(rewards, values, mask, gamma, lam):
        running, found = torch.zeros(len(values)), []
        for t in reversed(range(values.shape[1])):
            after = torch.zeros(len(values)) if t + 1 == values.shape[1] else values[:, t + 1]
            more = mask[:, t + 1 :].any(1)
            now = rewards[:, t] + gamma * torch.where(more, after, 0.0) - values[:, t] + gamma * lam * running
            running = torch.where(mask[:, t], now, running)
            found.append(running)
        return torch.stack(found[::-1], 1)

    def last_column(scores, logprobs, ref_logprobs, mask, beta):
        rewards = -beta * (logprobs - ref_logprobs) * mask
        rewards[:, -1] += scores
        return rewards

    for check, function, name in (
        (check_masked_whitening, padding_whitened, "mask ignored"),
        (check_token_gae, bootstraps_from_the_tool, "bootstraps from the tool token"),
        (check_kl_rewards, last_column, "score in the last column"),
    ):
        report = check(function, arrays="torch", max_examples=20, raise_on_failure=False)
        assert report.verdict == "failed"
        assert names_of(report) == [name]


def scored(rewards, scores, mask, *, replace=False):
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    rewards = rewards * mask
    rewards[np.arange(len(mask)), last] = scores if replace else rewards[np.arange(len(mask)), last] + scores
    return rewards


WRITTEN = {
    "mask ignored": (check_masked_whitening, lambda x, m: (x - x.mean()) / (x.std() + 1e-8)),
    "mean over the padding": (
        check_masked_whitening,
        lambda x, m: (x - x.mean()) / np.sqrt(((x[m] - x.mean()) ** 2).mean() + 1e-8),
    ),
    "deviation over the padding": (check_masked_whitening, lambda x, m: (x - x[m].mean()) / (x.std() + 1e-8)),
    "variance divided by the size": (
        check_masked_whitening,
        lambda x, m: (x - x[m].mean()) / np.sqrt(((x - x[m].mean()) ** 2 * m).sum() / x.size + 1e-8),
    ),
    "second moment in place of the variance": (
        check_masked_whitening,
        lambda x, m: (x - x[m].mean()) / np.sqrt((x[m] ** 2).mean() + 1e-8),
    ),
    "variance in place of the deviation": (
        check_masked_whitening,
        lambda x, m: (x - x[m].mean()) / (x[m].var() + 1e-8),
    ),
    "deviation missing": (check_masked_whitening, lambda x, m: x - x[m].mean()),
    "sign of the KL": (check_kl_rewards, lambda s, p, q, m, beta: scored(beta * (p - q), s, m)),
    "beta missing": (check_kl_rewards, lambda s, p, q, m, beta: scored(q - p, s, m)),
    "score missing": (check_kl_rewards, lambda s, p, q, m, beta: beta * (q - p) * m),
    "score replaces the KL of the last token": (
        check_kl_rewards,
        lambda s, p, q, m, beta: scored(beta * (q - p), s, m, replace=True),
    ),
    "score on every token": (check_kl_rewards, lambda s, p, q, m, beta: (beta * (q - p) + s[:, None]) * m),
    "masked-out tokens of value 0": (
        check_token_gae,
        lambda r, v, m, gamma, lam: gae_of_one_turn(v, r, m, gamma, lam),
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_mistakes_written_in_numpy_are_named(name):
    check, function = WRITTEN[name]
    report = check(function, arguments=", ".join(CANONICAL[check]), max_examples=20, raise_on_failure=False)
    assert names_of(report) == [name]


CANONICAL = {
    check_masked_whitening: ("x", "mask"),
    check_kl_rewards: ("scores", "log_probs", "ref_log_probs", "mask", "beta"),
    check_token_gae: ("rewards", "values", "mask", "gamma", "lam"),
}


@pytest.mark.parametrize(
    ("check", "function", "settings", "declare"),
    [
        (check_token_gae, gae_whitened, {"arrays": "torch"}, "whitened=True"),
        (check_token_gae, lambda *a: gae_of_one_turn(a[1], a[0], *a[2:])[::-1], {}, "results='returns, advantages'"),
        (check_masked_whitening, whiten_rows, {}, "over='sequence'"),
        (check_masked_whitening, lambda x, mask: whiten_in_numpy(x, mask) + x[mask].mean(), {}, "shift_mean=False"),
        (check_masked_whitening, whiten_in_numpy, {"ddof": 1}, "ddof=0, epsilon=1e-08, place='deviation'"),
        (check_kl_rewards, kl_k3_in_torch, {"arrays": "torch"}, "estimator='k3', outside='any'"),
        (check_kl_rewards, lambda *a: -a[4] * np.abs(a[1] - a[2]) * a[3] + at_last(a[0], a[3]), {}, "estimator='abs'"),
    ],
)
def test_choices_are_recognised(check, function, settings, declare):
    pytest.importorskip(settings.get("arrays", "numpy"))
    if "returns, adv" in declare:
        settings = NO_HOLES
    with pytest.raises(UndeclaredChoice) as caught:
        check(function, max_examples=15, **settings)
    assert f"Pass {declare} if it is meant" in str(caught.value)


def at_last(scores, mask):
    found = np.zeros(mask.shape)
    found[np.arange(len(mask)), mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)] = scores
    return found


def test_tokens_between_turns_can_be_declared_away():
    report = check_token_gae(gae_of_one_turn, max_examples=15, raise_on_failure=False)
    assert "If that is meant, pass holes=False." in str(report)
    assert "token 0 of sequence 0 of its advantages is" in str(report)
    assert check_token_gae(gae_of_one_turn, holes=False, max_examples=15).passed


def test_lambda_of_the_next_token_can_be_declared():
    function = gae_with({"lam": "next"}, "lambdas")
    assert check_token_gae(function, lam_at="next", max_examples=15).passed
    report = check_token_gae(function, max_examples=15, raise_on_failure=False)
    assert "If that is meant, pass lam_at='next'." in str(report)


def test_definitions_by_hand():
    """Tokens 0 and 2, with a tool token between: delta = 1 + 0.5 * 4 - 2, then 3 - 4; lambda 1/2 of the first."""
    case = {
        "rewards": np.array([[1.0, 9.0, 3.0]]),
        "values": np.array([[2.0, 9.0, 4.0]]),
        "mask": np.array([[True, False, True]]),
        "lambdas": np.array([[0.5, 9.0, 1.0]]),
        "gamma": 0.5,
    }
    np.testing.assert_array_equal(advantages_by_sums(case, "token"), [[0.75, 0.0, -1.0]])
    np.testing.assert_array_equal(advantages_by_sums(case, "next"), [[0.5, 0.0, -1.0]])
    np.testing.assert_array_equal(rewards_to_go(case), [[2.5, 0.0, 3.0]])
    x, mask = np.array([[1.0, 3.0, 100.0]]), np.array([[True, True, False]])
    np.testing.assert_allclose(whiten(x, mask, Whitening(0, 0.0, "variance")), [[-1.0, 1.0, 0.0]])
    np.testing.assert_allclose(whiten(x, mask, Whitening(1, 2.0, "variance")), [[-0.5, 0.5, 0.0]])
    np.testing.assert_allclose(whiten(x, mask, Whitening(0, 4.0, "least"), shift_mean=False), [[1.5, 2.5, 0.0]])
    from ppocore.testing.formulas.interface import Argument, Interface

    takes_a_mask = Interface((Argument("mask"), Argument("beta")))
    case = {
        "scores": np.array([3.0]),
        "log_probs": np.array([[-1.0, -5.0, -0.5]]),
        "ref_log_probs": np.array([[-1.5, -1.0, -0.25]]),
        "mask": np.array([[True, False, True]]),
        "beta": 2.0,
    }
    for estimator, first, last in (
        ("k1", 0.5, -0.25),
        ("k2", 0.125, 0.03125),
        ("abs", 0.5, 0.25),
        ("k3", np.exp(-0.5) - 0.5, np.exp(0.25) - 1.25),
    ):
        found = KLRewards(takes_a_mask, estimator=estimator).expected(case)["rewards"]
        np.testing.assert_allclose(found, [[-2.0 * first, 0.0, 3.0 - 2.0 * last]])


def test_what_is_written_to_and_integers_are_named():
    def writes(rewards, values, mask, gamma, lam):
        found = gae_of_one_turn(values.copy(), rewards, mask, gamma, lam)
        values *= mask
        return found

    def cuts(rewards, values, mask, gamma, lam):
        return tuple(x.astype(rewards.dtype) * 1.0 for x in gae_of_one_turn(values, rewards, mask, gamma, lam))

    for function, name in ((writes, "an argument is written to"), (cuts, "results of the dtype of the rewards")):
        report = check_token_gae(function, holes=False, max_examples=15, raise_on_failure=False)
        assert names_of(report) == [name]


def test_the_code_of_a_counterexample_runs():
    def doubled(rewards, values, mask, gamma, lam):
        return tuple(2.0 * x for x in gae_in_torch(rewards, values, mask, gamma, lam))

    pytest.importorskip("torch")
    report = check_token_gae(doubled, arrays="torch", max_examples=10, raise_on_failure=False)
    failure = report.failures[0].failure
    assert failure.case["rewards"].shape == (1, 1)
    seen = []
    exec(failure.code, {"doubled": lambda *a: seen.append(doubled(*a))})
    assert failure.actual in (text_of(seen[0][0]), text_of(seen[0][1]))


@pytest.mark.parametrize("check", [check_token_gae, check_kl_rewards, check_masked_whitening])
def test_bad_input_gets_one_sentence(check):
    for call, message in (
        (lambda: check(3), "expected a function"),
        (lambda: check(lambda what, mask, more: 0), "no telling what the parameter 'what' of"),
        (lambda: check(whiten_in_numpy, layout="x"), "layout='x' is unknown"),
        (lambda: check(gae_of_one_turn, arguments="x, x"), "arguments='x, x'"),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_token_gae(gae_of_one_turn, padding="x"), "padding='x' is unknown"),
        (lambda: check_token_gae(lambda rewards, values, mask: 0), "pass lam=, the one it has inside"),
        (lambda: check_kl_rewards(kl_of_scores, estimator="k9"), "estimator='k9' is unknown"),
        (lambda: check_kl_rewards(lambda scores, kl, mask: 0), "pass beta=, the one it has inside"),
        (lambda: check_masked_whitening(whiten_in_numpy, over="x"), "over='x' is unknown"),
        (lambda: check_masked_whitening(whiten_in_numpy, ddof=2), "ddof=2 is unknown"),
    ],
)
def test_unknown_options_get_one_sentence(call, message):
    with pytest.raises(UsageError) as caught:
        call()
    assert message in str(caught.value)
