"""Loops in torch over (T, N) and (T, N, 1) tensors."""

from __future__ import annotations

from typing import Any

import torch

from ..independent import Expected, pieces
from .entry import read

ONE = slice(None), slice(None), None


@read(
    "CleanRL, ppo.py",
    "vwxyzjn/cleanrl, cleanrl/ppo.py, commit 020cf0e",
    framework="torch",
    call=lambda f, s: f(
        s.rewards, s.values, s.dones_around[:-1], s.last_values.reshape(1, -1), s.dones[-1], s.gamma, s.lam
    ),
    caller="done",
    note="flags belong to the observation; gym's done, which is set for both kinds of end",
)
def cleanrl(
    rewards: Any, values: Any, dones: Any, next_value: Any, next_done: Any, gamma: float, gae_lambda: float
) -> tuple[Any, Any]:
    """Compute it in the manner of Baselines, with a last value of shape (1, N)."""
    result = torch.zeros_like(rewards)
    carried: Any = 0
    steps = len(rewards)
    for t in range(steps - 1, -1, -1):
        final = t == steps - 1
        alive = 1.0 - (next_done if final else dones[t + 1])
        successor = next_value if final else values[t + 1]
        residual = rewards[t] + gamma * successor * alive - values[t]
        carried = residual + gamma * gae_lambda * alive * carried
        result[t] = carried
    return result, result + values


@read(
    "RL-Games",
    "rl-games 1.6.5, rl_games/common/a2c_common.py (discount_values and play_steps)",
    framework="torch",
    call=lambda f, s: f(
        s.dones[-1], s.last_values[:, None], s.dones_around[:-1], s.values[ONE], s.rewards[ONE], s.gamma, s.lam
    )[..., 0],
    gives=("advantages",),
    caller="own",
    note="with value_bootstrap=True, the default, gamma times the value of the step itself is added at a time-out",
    own=None,
)
def rl_games(
    fdones: Any, last_values: Any, mb_fdones: Any, mb_values: Any, mb_rewards: Any, gamma: float, tau: float
) -> Any:
    """Compute (T, N, 1) advantages from flags (T, N) that belong to the observation."""
    result = torch.zeros_like(mb_rewards)
    carried: Any = 0
    steps = len(mb_rewards)
    for t in range(steps - 1, -1, -1):
        final = t == steps - 1
        alive = (1.0 - (fdones if final else mb_fdones[t + 1])).unsqueeze(1)
        successor = last_values if final else mb_values[t + 1]
        residual = mb_rewards[t] + gamma * successor * alive - mb_values[t]
        carried = residual + gamma * tau * alive * carried
        result[t] = carried
    return result


@read(
    "RSL-RL",
    "rsl-rl-lib 5.5.1, rsl_rl/algorithms/ppo.py (process_env_step and compute_returns)",
    framework="torch",
    call=lambda f, s: tuple(
        part[..., 0]
        for part in f(s.rewards[ONE], s.values[ONE], s.dones_bool[ONE], s.last_values[:, None], s.gamma, s.lam)
    ),
    gives=("returns", "advantages"),
    caller="own",
    note="gamma times the value of the step itself is added wherever extras has time_outs; the advantages are "
    "standardized afterwards by default, which is left out here",
)
def rsl_rl(rewards: Any, values: Any, dones: Any, last_values: Any, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute (T, N, 1) returns, and the advantages as returns minus values."""
    returns = torch.zeros_like(values)
    carried: Any = 0
    steps = len(rewards)
    for t in range(steps - 1, -1, -1):
        successor = last_values if t == steps - 1 else values[t + 1]
        alive = 1.0 - dones[t].float()
        residual = rewards[t] + alive * gamma * successor - values[t]
        carried = residual + alive * gamma * lam * carried
        returns[t] = carried + values[t]
    return returns, returns - values


@read(
    "Sample Factory",
    "sample-factory 2.1.1, sample_factory/algo/utils/rl_utils.py and sample_factory/algo/learning/learner.py",
    framework="torch",
    call=lambda f, s: (
        f(s.rewards.T, s.dones.T, s.values_and_last.T, torch.ones_like(s.values_and_last.T), s.gamma, s.lam).T
    ),
    gives=("advantages",),
    caller="own",
    note="batch-major; with value_bootstrap=True, which is not the default, gamma times the value of the step itself "
    "is added at a time-out, which its comment calls an approximation",
    own=lambda testing, f: testing.adapt(
        lambda r, d, v, *given: f(r, d, v, torch.ones_like(v), *given),
        "rewards dones values gamma lam",
        layout="batch",
        values="T+1",
    ),
)
def sample_factory(rewards: Any, dones: Any, values: Any, valids: Any, gamma: float, lam: float) -> Any:
    """Compute (N, T) advantages, with one value and one validity more than steps."""
    r, d, v, ok = (array.transpose(0, 1).float() for array in (rewards, dones, values, valids))
    residuals = (r - v[:-1]) * ok[:-1] + (1 - d) * (gamma * v[1:] * ok[1:])
    result = torch.zeros_like(residuals)
    carried = torch.zeros_like(residuals[-1])
    for t in range(len(residuals) - 1, -1, -1):
        decay = gamma * lam * ok[t] + (1 - ok[t])
        carried = residuals[t] + decay * carried * (1.0 - d[t])
        result[t] = carried
    return result.transpose(0, 1)


@read(
    "pytorch-a2c-ppo-acktr, proper time limits",
    "ikostrikov/pytorch-a2c-ppo-acktr-gail, a2c_ppo_acktr/storage.py, commit 225eed3 (use_proper_time_limits=True)",
    framework="torch",
    call=lambda f, s: f(
        s.rewards[ONE],
        s.values_and_last[ONE],
        s.masks_around[ONE],
        torch.cat([torch.ones_like(s.values[:1]), 1.0 - s.truncated * (1 - s.terminated)])[ONE],
        s.gamma,
        s.lam,
    )[..., 0],
    gives=("returns",),
    contract="flags",
    note="a truncated step gets the return that its value is, so that its advantage is 0",
    own=None,
)
def ikostrikov_proper(
    rewards: Any, value_preds: Any, masks: Any, bad_masks: Any, gamma: float, gae_lambda: float
) -> Any:
    """Compute (T, N, 1) returns from masks of T + 1 rows, setting the sum to 0 where a mask says time limit."""
    returns = torch.zeros_like(value_preds)
    carried: Any = 0
    for step in range(len(rewards) - 1, -1, -1):
        alive = masks[step + 1]
        residual = rewards[step] + gamma * value_preds[step + 1] * alive - value_preds[step]
        carried = residual + gamma * gae_lambda * alive * carried
        carried = carried * bad_masks[step + 1]
        returns[step] = carried + value_preds[step]
    return returns[:-1]


@read(
    "Habitat Baselines",
    "facebookresearch/habitat-lab, habitat_baselines/common/rollout_storage.py, commit 01e667f",
    framework="torch",
    call=lambda f, s: f(s.rewards[ONE], s.values_and_last[ONE], s.masks_around.bool()[ONE], s.gamma, s.lam)[..., 0],
    gives=("returns",),
    caller="done",
    note="masks of T + 1 rows, as bool",
)
def habitat(rewards: Any, value_preds: Any, masks: Any, gamma: float, tau: float) -> Any:
    """Compute (T, N, 1) returns, multiplying by masks of dtype bool."""
    returns = torch.zeros_like(value_preds)
    carried: Any = 0
    for step in range(len(rewards) - 1, -1, -1):
        residual = rewards[step] + gamma * value_preds[step + 1] * masks[step + 1] - value_preds[step]
        carried = residual + gamma * tau * carried * masks[step + 1]
        returns[step] = carried + value_preds[step]
    return returns[:-1]


@read(
    "SLM Lab",
    "kengz/SLM-Lab, slm_lab/lib/math_util.py, commit 01bae52",
    framework="torch",
    call=lambda f, s: f(s.rewards, s.dones, s.values_and_last, s.gamma, s.lam),
    gives=("advantages",),
    caller="done",
    note="one value more than steps",
)
def slm_lab(rewards: Any, dones: Any, v_preds: Any, gamma: float, lam: float) -> Any:
    """Compute the advantages into a tensor like the rewards."""
    result = torch.zeros_like(rewards)
    carried = torch.tensor(0.0, dtype=rewards.dtype)
    alive = 1 - dones
    for t in range(len(rewards) - 1, -1, -1):
        residual = rewards[t] + gamma * v_preds[t + 1] * alive[t] - v_preds[t]
        carried = residual + gamma * lam * alive[t] * carried
        result[t] = carried
    return result


@read(
    "DeepRL",
    "ShangtongZhang/DeepRL, deep_rl/agent/PPO_agent.py, commit 0fbf8f1",
    framework="torch",
    call=lambda f, s: tuple(
        part[..., 0] for part in f(s.rewards[ONE], s.values_and_last[ONE], (1 - s.dones)[ONE], s.gamma, s.lam)
    ),
    expected=Expected(returns="to_go"),
    caller="done",
    note="rewards to go as value targets; the advantages are standardized afterwards, which is left out here",
)
def deep_rl(r: Any, v: Any, m: Any, discount: float, gae_tau: float) -> tuple[Any, Any]:
    """Compute (T, N, 1) advantages and rewards to go side by side."""
    result, to_go = torch.zeros_like(r), torch.zeros_like(r)
    carried, total = torch.zeros_like(r[0]), v[-1]
    for t in range(len(r) - 1, -1, -1):
        total = r[t] + discount * m[t] * total
        residual = r[t] + discount * m[t] * v[t + 1] - v[t]
        carried = carried * gae_tau * discount * m[t] + residual
        result[t], to_go[t] = carried, total
    return result, to_go


@read(
    "gail-airl-ppo",
    "toshikwa/gail-airl-ppo.pytorch, gail_airl_ppo/algo/ppo.py, commit 89f9b2b",
    framework="torch",
    call=lambda f, s: f(s.values, s.rewards, s.dones, s.next_values, s.gamma, s.lam),
    gives=("returns", "advantages"),
    expected=Expected(normalized=1),
    caller="done",
    limits={"fewest": 3},
    note="one environment; targets first, then advantages that are standardized; a time limit sets the flag",
)
def gail_airl_ppo(values: Any, rewards: Any, dones: Any, next_values: Any, gamma: float, lambd: float) -> Any:
    """Compute (T, 1) targets and standardized advantages from the values of both states."""
    residuals = rewards + gamma * next_values * (1 - dones) - values
    result = torch.empty_like(rewards)
    result[-1] = residuals[-1]
    for t in range(len(rewards) - 2, -1, -1):
        result[t] = residuals[t] + gamma * lambd * (1 - dones[t]) * result[t + 1]
    return result + values, (result - result.mean()) / (result.std() + 1e-8)


@read(
    "PyTorch-RL",
    "Khrylx/PyTorch-RL, core/common.py, commit 2489b80",
    framework="torch",
    call=lambda f, s: s.columns(lambda c: f(c.rewards, 1 - c.dones, c.values, c.gamma, c.lam)),
    expected=Expected(returns="to_go"),
    caller="done",
    note="whole episodes in one column; what follows the last row counts as 0; the advantages are standardized "
    "afterwards, which is left out here",
    contract="in_every_reward",
    own=None,
)
def pytorch_rl(rewards: Any, masks: Any, values: Any, gamma: float, tau: float) -> tuple[Any, Any]:
    """Compute (T, 1) advantages and rewards to go, starting from 0 after the last row."""
    returns, result = torch.zeros_like(rewards), torch.zeros_like(rewards)
    total = successor = carried = torch.zeros(())
    for t in range(len(rewards) - 1, -1, -1):
        returns[t] = rewards[t] + gamma * total * masks[t]
        residual = rewards[t] + gamma * successor * masks[t] - values[t]
        result[t] = residual + gamma * tau * carried * masks[t]
        total, successor, carried = returns[t, 0], values[t, 0], result[t, 0]
    return result, returns


@read(
    "minimalRL",
    "seungeunrho/minimalRL, ppo.py, commit 17a7f67",
    framework="torch",
    call=lambda f, s: s.columns(lambda c: _minimal(f, c)),
    gives=("advantages",),
    contract="flags",
    caller="done",
    note="at most 20 steps of one episode at a time, each with the value of its next state; gym's done",
    own=None,
)
def minimal_rl(r: Any, v: Any, v_next: Any, done_mask: Any, gamma: float, lmbda: float) -> Any:
    """Compute (T, 1) advantages of a piece of one episode."""
    residuals = (r + gamma * v_next * done_mask - v).numpy()
    carried, found = 0.0, []
    for residual in residuals[::-1]:
        carried = gamma * lmbda * carried + residual[0]
        found.append([carried])
    return torch.tensor(found[::-1], dtype=torch.float)


def _minimal(f: Any, c: Any) -> Any:
    """Call it for each episode of a column."""
    masks = 1 - (c.dones if c.caller == "done" else c.terminated)
    parts = [
        f(*(x[a : b + 1] for x in (c.rewards, c.values, c.next_values, masks)), c.gamma, c.lam)
        for a, b in pieces(c.rollout, 0)
    ]
    return torch.cat(parts)
