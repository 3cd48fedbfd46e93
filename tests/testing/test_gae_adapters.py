"""Through an adapter right implementations of other signatures pass, and mistakes are caught and named."""

import numpy as np
import pytest
import torch

from ppocore.errors import UsageError
from ppocore.testing import batch_major, check_gae, episode_lists, from_dones, token_level


def dones_after(rewards, values, dones, last_values, gamma, lam, *, cut=True, last=True):
    advantages, running = np.zeros(rewards.shape), np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = values[t + 1] if t + 1 < len(rewards) else last_values * last
        delta = rewards[t] + gamma * following * ~dones[t] - values[t]
        running = delta + gamma * lam * running * (~dones[t] if cut else True)
        advantages[t] = running
    return advantages, advantages + values


def dones_before(rewards, values, dones, last_values, last_dones, gamma, lam, *, late=False):
    ends = dones if late else np.concatenate([dones[1:], last_dones[None]])
    return dones_after(rewards, values, ends, last_values, gamma, lam)


def transposed(rewards, values, next_values, terminated, truncated, gamma, lam, *, bootstrap=True):
    advantages, running = np.zeros(rewards.shape), np.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        stop = terminated[:, t] if bootstrap else terminated[:, t] | truncated[:, t]
        delta = rewards[:, t] + gamma * next_values[:, t] * ~stop - values[:, t]
        running = delta + gamma * lam * running * ~(terminated | truncated)[:, t]
        advantages[:, t] = running
    return advantages


def one_episode(rewards, values, gamma, lam, *, lam_in_delta=False):
    scale = lam if lam_in_delta else 1.0
    deltas = rewards + gamma * scale * values[1:] - values[:-1]
    weights = [(gamma * lam) ** k for k in range(len(deltas))]
    return np.array([np.dot(weights[: len(deltas) - t], deltas[t:]) for t in range(len(deltas))])


def padded(rewards, values, mask, gamma, lam, *, masked=True):
    """Padding on either side."""
    advantages, running, following = np.zeros(rewards.shape), np.zeros(len(rewards)), np.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        token = mask[:, t] if masked else np.ones(len(rewards), bool)
        delta = rewards[:, t] + gamma * following - values[:, t]
        running = np.where(token, delta + gamma * lam * running, 0.0)
        following = np.where(token, values[:, t], 0.0)
        advantages[:, t] = running
    return advantages, advantages + values


ADAPTED = {
    "dones after": (from_dones, dones_after, {"cut": False}, "recursion never cut"),
    "no last value": (from_dones, dones_after, {"last": False}, "no bootstrap of an unfinished episode"),
    "batch major": (batch_major, transposed, {"bootstrap": False}, "truncation treated as termination"),
    "episodes": (episode_lists, one_episode, {"lam_in_delta": True}, None),
    "dones before": (lambda f: from_dones(f, dones="before"), dones_before, {"late": True}, None),
    "tokens": (token_level, padded, {"masked": False}, None),
    "tokens, padded left": (lambda f: token_level(f, padding="left"), padded, None, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTED)
def test_a_right_function_passes_and_a_mistake_does_not(name):
    adapter, function, mistake, named = ADAPTED[name]
    check_gae(adapter(function), max_examples=20)
    if mistake is None:
        return

    def wrong(*arguments):
        return function(*arguments, **mistake)

    def wrong_by_name(*arguments, gamma, lam):
        return function(*arguments, gamma=gamma, lam=lam, **mistake)

    report = check_gae(
        adapter(wrong_by_name if name == "batch major" else wrong), max_examples=20, raise_on_failure=False
    )
    assert not report.passed
    if named is not None:
        assert [found for found, _ in report.diagnosis.mistakes] == [named]


def test_adapters_take_tensors():
    def function(rewards, values, dones, last_values, gamma, lam):
        arrays = [x.numpy() for x in (rewards, values, dones, last_values)]
        return torch.from_numpy(dones_after(*arrays, gamma, lam)[0])

    def tokens(rewards, values, mask, gamma, lam):
        return tuple(torch.from_numpy(x) for x in padded(rewards.numpy(), values.numpy(), mask.numpy(), gamma, lam))

    def episodes(rewards, values, gamma, lam):
        return torch.from_numpy(one_episode(rewards.numpy(), values.numpy(), gamma, lam))

    for adapted in (from_dones(function), token_level(tokens), episode_lists(episodes)):
        check_gae(adapted, arrays="torch", max_examples=8)


def test_unknown_choices_are_rejected():
    with pytest.raises(UsageError, match="dones='x' is unknown"):
        from_dones(dones_after, dones="x")
    with pytest.raises(UsageError, match="padding='x' is unknown"):
        token_level(padded, padding="x")
