"""Functions of one episode in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter

from ..independent import Expected, pieces
from .entry import read

TO_GO = Expected(returns="to_go")


def _discounted(numbers: Any, discount: float) -> Any:
    """Return the discounted sums from each number on, by a filter over the reversed sequence."""
    return lfilter([1.0], [1.0, -float(discount)], numbers[::-1])[::-1]


@read(
    "Spinning Up, PPO",
    "openai/spinningup, spinup/algos/pytorch/ppo/ppo.py, commit 2092113",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    expected=TO_GO,
    contract="pieces",
    caller="bootstraps_at_a_cut",
    note="the loop bootstraps after the last step of an epoch, and at its own time limit, also if the environment "
    "says done there",
)
def spinning_up(rew: Any, val: Any, last_val: float, gamma: float, lam: float) -> tuple[Any, Any]:
    """Finish a path: float32 buffers; the last value is appended to rewards and values."""
    rewards, values = np.append(rew, last_val), np.append(val, last_val)
    residuals = rewards[:-1] + gamma * values[1:] - values[:-1]
    advantages = _discounted(residuals, gamma * lam).astype(np.float32)
    return advantages, _discounted(rewards, gamma)[:-1].astype(np.float32)


@read(
    "Keras, PPO example",
    "keras-team/keras-io, examples/rl/ppo_cartpole.py, commit 3b492af",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    expected=TO_GO,
    contract="pieces",
    caller="done",
    note="the last value is 0 where gym says done, which includes the time limit of CartPole-v0",
)
def keras(rewards: Any, values: Any, last_value: float, gamma: float, lam: float) -> tuple[Any, Any]:
    """Finish a trajectory, as Spinning Up does."""
    rewards, values = np.append(rewards, last_value), np.append(values, last_value)
    residuals = rewards[:-1] + gamma * values[1:] - values[:-1]
    return _discounted(residuals, gamma * lam).astype(np.float32), _discounted(rewards, gamma)[:-1].astype(np.float32)


@read(
    "Lightning Bolts, PPO",
    "lightning-bolts 0.7.0, pl_bolts/models/rl/ppo_model.py",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r.tolist(), v.tolist(), float(last), s.gamma, s.lam)),
    expected=TO_GO,
    contract="pieces",
    caller="done",
    dtype="float64",
    note="lists of numbers; bootstraps at the end of an epoch and at its own limit, unless gym says done",
)
def lightning_bolts(rewards: list[float], values: list[float], last_value: float, gamma: float, lam: float) -> Any:
    """Compute lists of advantages and of rewards to go."""

    def sums(numbers: list[float], discount: float) -> list[float]:
        found, total = [], 0.0
        for number in reversed(numbers):
            total = total * discount + number
            found.append(total)
        return found[::-1]

    longer = [*values, last_value]
    residuals = [r + gamma * longer[k + 1] - longer[k] for k, r in enumerate(rewards)]
    return sums(residuals, gamma * lam), sums([*rewards, last_value], gamma)[:-1]


@read(
    "PARL, calc_gae",
    "parl 2.2.1, parl/utils/rl_utils.py",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    gives=("advantages",),
    contract="pieces",
    note="one episode; its callers are examples",
)
def parl(rewards: Any, values: Any, next_value: float, gamma: float, lam: float) -> Any:
    """Filter the temporal differences."""
    return _discounted(rewards + gamma * np.append(values[1:], next_value) - values, gamma * lam)


@read(
    "ML-Agents, PPO",
    "mlagents 0.28.0, mlagents/trainers/ppo/trainer.py (get_gae)",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    gives=("advantages",),
    contract="pieces",
    caller="pieces",
    note="one trajectory; the last value is 0 only if the agent is done and was not interrupted",
    own=lambda testing, f: testing.adapt(f, "rewards values last_values gamma lam", layout="episode"),
)
def ml_agents(rewards: Any, value_estimates: Any, value_next: float, gamma: float, lambd: float) -> Any:
    """Sum the temporal differences into an array of their dtype."""
    longer = np.append(value_estimates, value_next)
    residuals = rewards + gamma * longer[1:] - longer[:-1]
    result = np.zeros_like(residuals)
    total = 0.0
    for t in range(residuals.size - 1, -1, -1):
        total = total * gamma * lambd + residuals[t]
        result[t] = total
    return result


@read(
    "modular_rl",
    "joschu/modular_rl, modular_rl/core.py, commit 034d639",
    call=lambda f, s: s.columns(lambda c: _modular(f, c)),
    gives=("advantages",),
    contract="pieces",
    caller="",
    note="a path that did not terminate is bootstrapped from the value of its own last state; the advantages are "
    "standardized over all paths afterwards, which is left out here",
    own=None,
)
def modular_rl(reward: Any, baseline: Any, terminated: bool, gamma: float, lam: float) -> Any:
    """Compute one path, before the advantages are standardized."""
    longer = np.append(baseline, 0 if terminated else baseline[-1])
    return _discounted(reward + gamma * longer[1:] - longer[:-1], gamma * lam)


def _modular(f: Any, c: Any) -> Any:
    """Call it for each episode of a column with whether it terminated."""
    parts = [
        f(c.rewards[a : b + 1, 0], c.values[a : b + 1, 0], bool(c.rollout.terminated[b, 0]), c.gamma, c.lam)
        for a, b in pieces(c.rollout, 0)
    ]
    return np.concatenate(parts)


@read(
    "Machin, A2C and PPO",
    "machin 0.4.2, machin/frame/algorithms/a2c.py (store_episode)",
    call=lambda f, s: s.columns(lambda c: _machin(f, c)),
    expected=TO_GO,
    contract="flags",
    dtype="float64",
    note="whole episodes; an episode that did not terminate is not bootstrapped, except with lambda 0",
    own=None,
)
def machin(rewards: Any, values: Any, next_values: Any, terminal: Any, discount: float, gae_lambda: float) -> Any:
    """Compute one episode; the value target is the sum of its rewards."""
    steps = len(rewards)
    targets, result = np.zeros((2, steps))
    total = 0.0
    for t in range(steps - 1, -1, -1):
        total = total * discount + rewards[t]
        targets[t] = total
    if gae_lambda == 1.0:
        return targets - values, targets
    if gae_lambda == 0.0:
        return rewards + discount * (1 - terminal) * next_values - values, targets
    successor = carried = 0.0
    for t in range(steps - 1, -1, -1):
        alive = 1 - float(terminal[t])
        residual = rewards[t] + discount * successor * alive - values[t]
        carried = carried * discount * alive * gae_lambda + residual
        result[t], successor = carried, values[t]
    return result, targets


def _machin(f: Any, c: Any) -> Any:
    """Call it for each episode of a column."""
    found = [
        f(*(array[a : b + 1, 0] for array in (c.rewards, c.values, c.next_values, c.terminated)), c.gamma, c.lam)
        for a, b in pieces(c.rollout, 0)
    ]
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


@read(
    "PPO-for-Beginners",
    "ericyangyu/PPO-for-Beginners, ppo.py, commit 0381c9d",
    call=lambda f, s: s.episodes(lambda r, v, _: f(r, v, s.gamma)),
    expected=Expected(lam=1.0),
    contract="in_every_reward",
    dtype="float64",
    note="Monte Carlo over whole episodes; one that is cut by the limit of steps counts as over",
    caller="done",
)
def ppo_for_beginners(rewards: Any, values: Any, gamma: float) -> tuple[Any, Any]:
    """Return the rewards to go minus the values, before they are standardized, and the rewards to go."""
    total, found = 0, []
    for reward in reversed(rewards):
        total = reward + total * gamma
        found.insert(0, total)
    to_go = np.array(found, np.float32)
    return to_go - values, to_go


@read(
    "XuanCe, DummyOnPolicyBuffer",
    "xuance 1.4.4, xuance/common/memory_tools.py (finish_path) and xuance/torch/agents/core/on_policy.py",
    call=lambda f, s: s.columns(lambda c: _xuance(f, c)),
    contract="flags",
    note="called for each episode, with 0 after a termination and the value of the final observation otherwise",
    own=lambda testing, f: testing.adapt(f, "rewards values terminated last_values gamma lam", layout="episode"),
)
def xuance(rewards: Any, values: Any, terminals: Any, val: float, gamma: float, gae_lam: float) -> tuple[Any, Any]:
    """Finish a path, whose flags are terminations."""
    longer = np.append(values, [val])
    result = np.zeros_like(rewards)
    carried = 0
    for t in range(len(rewards) - 1, -1, -1):
        alive = 1 - terminals[t]
        residual = rewards[t] + alive * gamma * longer[t + 1] - longer[t]
        carried = residual + alive * gamma * gae_lam * carried
        result[t] = carried
    return result, result + longer[:-1]


def _xuance(f: Any, c: Any) -> Any:
    """Call it for each episode of a column."""
    found = []
    for a, b in pieces(c.rollout, 0):
        last = 0.0 if c.rollout.terminated[b, 0] else c.next_values[b, 0]
        found.append(f(*(x[a : b + 1, 0] for x in (c.rewards, c.values, c.terminated)), last, c.gamma, c.lam))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
