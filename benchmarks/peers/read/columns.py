"""Functions of one column, which may hold several episodes, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..independent import Expected
from .entry import read


@read(
    "MushroomRL, compute_gae",
    "mushroom-rl 1.4.0, mushroom_rl/utils/value_functions.py",
    call=lambda f, s: s.columns(
        lambda c: f(
            c.values,
            c.next_values,
            c.rewards[:, 0],
            c.rollout.terminated[:, 0],
            (c.rollout.terminated | c.rollout.truncated)[:, 0],
            c.gamma,
            c.lam,
        )
    ),
    gives=("returns", "advantages"),
    contract="flags",
    note="one column of transitions, each with its next state; values are (T, 1)",
    own=lambda testing, f: testing.adapt(f, "values next_values rewards terminated dones gamma lam", layout="column"),
)
def mushroom_rl(v: Any, v_next: Any, r: Any, absorbing: Any, last: Any, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute one column; returns come first."""
    result = np.empty_like(v)
    steps = len(v)
    for t in range(steps - 1, -1, -1):
        if last[t] or t == steps - 1:
            result[t] = r[t] - v[t] + (0.0 if absorbing[t] else gamma * v_next[t])
        else:
            result[t] = r[t] + gamma * v_next[t] - v[t] + gamma * lam * result[t + 1]
    return result + v, result


@read(
    "PFRL, PPO",
    "pfrl 0.1.0, pfrl/agents/ppo.py",
    call=lambda f, s: s.columns(
        lambda c: f(
            c.rewards[:, 0],
            c.values[:, 0],
            c.next_values[:, 0],
            1.0 - c.terminated[:, 0],
            (c.rollout.terminated | c.rollout.truncated)[:, 0],
            c.gamma,
            c.lam,
        )
    ),
    contract="flags",
    note="a list of transitions for each episode, each with the value of its next state; a time limit is a reset "
    "without done",
    own=lambda testing, f: testing.adapt(
        lambda r, v, after, terminated, *given: f(r, v, after, 1.0 - terminated, *given),
        "rewards values next_values terminated dones gamma lam",
        layout="column",
        flags="float",
    ),
)
def pfrl(rewards: Any, values: Any, next_values: Any, nonterminal: Any, cut: Any, gamma: float, lam: float) -> Any:
    """Compute one column episode by episode."""
    result = np.zeros(len(rewards))
    carried = 0.0
    for t in range(len(rewards) - 1, -1, -1):
        if cut[t]:
            carried = 0.0
        residual = rewards[t] + gamma * nonterminal[t] * next_values[t] - values[t]
        carried = residual + gamma * lam * carried
        result[t] = carried
    return result, result + values


@read(
    "philtabor, PPO (also easy-rl)",
    "philtabor/Youtube-Code-Repository, ReinforcementLearning/PolicyGradient/PPO/torch/ppo_torch.py, commit 26fa62e; "
    "datawhalechina/easy-rl, codes/PPO/agent.py, commit 11d9b14",
    call=lambda f, s: s.columns(lambda c: f(c.rewards[:, 0], c.values[:, 0], c.dones[:, 0], c.gamma, c.lam)),
    gives=("advantages",),
    caller="done",
    note="the last row keeps 0; the inner sum goes on through the end of an episode",
)
def philtabor(reward_arr: Any, values: Any, dones_arr: Any, gamma: float, gae_lambda: float) -> Any:
    """Sum over all later rows but the last, for each row but the last."""
    steps = len(reward_arr)
    result = np.zeros(steps, np.float32)
    for t in range(steps - 1):
        weight, total = 1, 0
        for k in range(t, steps - 1):
            alive = 1 - int(dones_arr[k])
            total += weight * (reward_arr[k] + gamma * values[k + 1] * alive - values[k])
            weight *= gamma * gae_lambda
        result[t] = total
    return result


@read(
    "PufferLib, c_gae",
    "PufferAI/PufferLib, c_gae.pyx, commit 2188624",
    call=lambda f, s: s.columns(
        lambda c: f(c.dones_around[:-1, 0], c.values[:, 0], np.append(np.float32(0), c.rewards[:-1, 0]), c.gamma, c.lam)
    ),
    gives=("advantages",),
    note="reward and flag of a step stand in the next row; the last row, whose reward is not known yet, gets 0",
    own=lambda testing, f: testing.adapt(
        f, "dones values rewards gamma lam", layout="column", dones="before", shifted=True
    ),
)
def pufferlib(dones: Any, values: Any, rewards: Any, gamma: float, gae_lambda: float) -> Any:
    """Compute one column, in float32 throughout."""
    gamma, gae_lambda = np.float32(gamma), np.float32(gae_lambda)
    result = np.zeros(len(rewards), np.float32)
    carried = np.float32(0)
    for t in range(len(rewards) - 2, -1, -1):
        alive = np.float32(1.0) - dones[t + 1]
        residual = rewards[t + 1] + gamma * values[t + 1] * alive - values[t]
        carried = residual + gamma * gae_lambda * alive * carried
        result[t] = carried
    return result


@read(
    "PPO-PyTorch",
    "nikhilbarhate99/PPO-PyTorch, PPO.py, commit d5e73e5",
    call=lambda f, s: s.columns(
        lambda c: f(c.rewards[:, 0], c.values[:, 0], c.rollout.terminated | c.rollout.truncated, c.gamma)
    ),
    expected=Expected(lam=1.0),
    caller="done",
    note="Monte Carlo, over a buffer that may end inside an episode; the rewards to go are standardized afterwards, "
    "which is left out here",
    contract="in_every_reward",
    own=None,
)
def ppo_pytorch(rewards: Any, values: Any, is_terminals: Any, gamma: float) -> tuple[Any, Any]:
    """Return the rewards to go minus the values, and the rewards to go, both before standardization."""
    total, found = 0, []
    for reward, over in zip(rewards[::-1], is_terminals[::-1], strict=True):
        if over:
            total = 0
        total = reward + gamma * total
        found.insert(0, total)
    to_go = np.array(found, np.float32)
    return to_go - values, to_go
