"""V-trace: targets and policy-gradient advantages from importance weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..independent import Expected, Rollout, pieces
from .entry import read

VTRACES: list[VTrace] = []


@dataclass(frozen=True)
class VTrace:
    """Describe a V-trace function.

    Attributes:
        project: name of the project.
        source: repository or package, file, and the commit or version that was read.
        framework: framework of its arrays.
        function: the function, in its own signature.
        candidate: the same, in the signature of `independent_vtrace.judge_vtrace`.
        note: what was concluded by reading.
    """

    project: str
    source: str
    framework: str
    function: Callable[..., Any]
    candidate: Callable[..., tuple[Any, Any]]
    note: str = ""


def _enter(project: str, source: str, framework: str, call: Callable[..., Any], note: str = "") -> Any:
    def add(function: Any) -> Any:
        VTRACES.append(VTrace(project, source, framework, function, lambda *a: call(function, *a), note))
        return function

    return add


def _bootstrapped(rewards: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float) -> Any:
    """Return rewards with the bootstrap of truncated steps, and the discounts, 0 at every end."""
    with_bootstrap = rewards + np.where(truncated & ~terminated, gamma * next_values, 0)
    return with_bootstrap, gamma * ~(terminated | truncated)


def _call_discounts(f: Any, r: Any, v: Any, nv: Any, te: Any, tr: Any, rhos: Any, gamma: float) -> Any:
    rewards, discounts = _bootstrapped(r, nv, te, tr, gamma)
    # A truncated step's importance weight multiplies its bootstrap, as it does the reward.
    return f(np.zeros_like(rhos), np.log(rhos), discounts, rewards, v, nv[-1])


@_enter(
    "SEED RL, vtrace",
    "google-research/seed_rl, common/vtrace.py, commit 0f290ea",
    "numpy",
    _call_discounts,
    "discounts in place of flags; TensorFlow in the original",
)
def seed_vtrace(
    behaviour: Any, target: Any, discounts: Any, rewards: Any, values: Any, bootstrap_value: Any, lambda_: float = 1.0
) -> tuple[Any, Any]:
    """Compute it in float32 from log probabilities."""
    logs = (target - behaviour).astype(np.float32)
    discounts, rewards, values, bootstrap_value = (
        array.astype(np.float32) for array in (discounts, rewards, values, bootstrap_value)
    )
    rhos = np.exp(logs)
    clipped = np.minimum(np.float32(1.0), rhos)
    weights = clipped * np.float32(lambda_)
    successors = np.concatenate([values[1:], bootstrap_value[None]])
    residuals = clipped * (rewards + discounts * successors - values)
    carried, found = np.zeros_like(bootstrap_value), []
    for t in range(len(rewards) - 1, -1, -1):
        carried = residuals[t] + discounts[t] * weights[t] * carried
        found.append(carried)
    targets = np.stack(found[::-1]) + values
    following = np.concatenate([targets[1:], bootstrap_value[None]])
    return targets, clipped * (rewards + discounts * following - values)


def _call_paddle(f: Any, r: Any, v: Any, nv: Any, te: Any, tr: Any, rhos: Any, gamma: float) -> Any:
    import paddle

    rewards, discounts = _bootstrapped(r, nv, te, tr, gamma)
    arrays = (np.zeros_like(rhos), np.log(rhos), discounts, rewards, v, nv[-1])
    found = f(*(paddle.to_tensor(array.astype(np.float32)) for array in arrays))
    return tuple(part.numpy() for part in found)


@_enter(
    "PARL, IMPALA",
    "parl 2.2.1, parl/algorithms/paddle/impala/vtrace.py",
    "paddle",
    _call_paddle,
    "discounts in place of flags",
)
def parl_vtrace(
    behaviour: Any, target: Any, discounts: Any, rewards: Any, values: Any, bootstrap_value: Any
) -> tuple[Any, Any]:
    """Compute it from log probabilities, in Paddle."""
    import paddle

    rhos = paddle.exp(target - behaviour)
    clipped = paddle.clip(rhos, max=1.0)
    successors = paddle.concat([values[1:], bootstrap_value.unsqueeze(0)], axis=0)
    residuals = clipped * (rewards + discounts * successors - values)
    carried, found = paddle.zeros_like(bootstrap_value), []
    for t in range(rewards.shape[0] - 1, -1, -1):
        carried = residuals[t] + discounts[t] * clipped[t] * carried
        found.append(carried)
    targets = paddle.stack(found[::-1]) + values
    following = paddle.concat([targets[1:], bootstrap_value.unsqueeze(0)], axis=0)
    return targets, clipped * (rewards + discounts * following - values)


def _call_pieces(f: Any, r: Any, v: Any, nv: Any, te: Any, tr: Any, rhos: Any, gamma: float) -> Any:
    """Call it for each episode, with the value of what follows, 0 after a termination."""
    targets, advantages = np.zeros((2, *r.shape))
    rollout = Rollout(r, v, nv, te, tr, gamma, 1.0)
    for i in range(r.shape[1]):
        for a, b in pieces(rollout, i):
            rows = slice(a, b + 1)
            last = nv[b, i] * (not te[b, i])
            arrays = [torch.tensor(x[rows, i], dtype=torch.float32) for x in (r, v, rhos)]
            found = f(*arrays, torch.tensor(last, dtype=torch.float32), gamma)
            targets[rows, i], advantages[rows, i] = (part.numpy() for part in found)
    return targets, advantages


@_enter(
    "DI-engine, vtrace",
    "DI-engine 0.5.3, ding/rl_utils/vtrace.py",
    "torch",
    _call_pieces,
    "no flags: the caller sets the value after an end to 0, and an episode is not followed by another",
)
def di_engine_vtrace(reward: Any, values: Any, rhos: Any, last_value: Any, gamma: float) -> tuple[Any, Any]:
    """Compute one piece, with lambda 1."""
    longer = torch.cat([values, last_value.reshape(1)])
    clipped = torch.clamp(rhos, max=1.0)
    residuals = clipped * (reward + gamma * longer[1:] - longer[:-1])
    targets = longer[:-1].clone()
    carried: Any = 0.0
    for t in range(len(reward) - 1, -1, -1):
        carried = residuals[t] + gamma * clipped[t] * carried
        targets[t] += carried
    following = torch.cat([targets[1:], longer[-1:]])
    return targets, clipped * (reward + gamma * following - values)


@_enter(
    "Machin, IMPALA",
    "machin 0.4.2, machin/frame/algorithms/impala.py (update)",
    "torch",
    _call_pieces,
    "the target of the last step of every episode stays 0, and so does what follows it; the step before it is computed "
    "from that 0",
)
def machin_vtrace(reward: Any, value: Any, rhos: Any, last_value: Any, discount: float) -> tuple[Any, Any]:
    """Compute one episode from the values of both states of each step."""
    weights = torch.min(torch.ones_like(rhos), rhos)
    successors = torch.cat([value[1:], last_value.reshape(1)])
    residuals = weights * (reward + discount * successors - value)
    targets, following = torch.zeros_like(value), torch.zeros_like(value)
    for t in range(len(reward) - 2, -1, -1):
        targets[t] = value[t] + residuals[t] + discount * weights[t] * (targets[t + 1] - value[t + 1])
    following[:-1] = targets[1:]
    return targets, weights * (reward + discount * following - value)


@read(
    "OmniSafe, vtrace",
    "omnisafe 0.5.0, omnisafe/common/buffer/onpolicy_buffer.py (_calculate_v_trace)",
    framework="torch",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma)),
    gives=("returns", "advantages"),
    expected=Expected(lam=1.0),
    contract="pieces",
    caller="pieces",
    note="both probabilities are the same tensor, so that all importance weights are 1; lambda is not read",
)
def omnisafe_vtrace(rewards: Any, values: Any, last_value: Any, gamma: float) -> tuple[Any, Any]:
    """Compute one path on-policy."""
    longer = torch.cat([values, last_value.reshape(1)])
    targets = values.clone()
    following = longer[-1]
    for t in range(len(rewards) - 1, -1, -1):
        targets[t] += rewards[t] + gamma * longer[t + 1] - longer[t] + gamma * (following - longer[t + 1])
        following = targets[t]
    return targets, rewards + gamma * torch.cat([targets[1:], longer[-1:]]) - values
