"""Rollout buffers in NumPy: (T, N) arrays with one flag for both kinds of end."""

from __future__ import annotations

from typing import Any

import numpy as np

from .entry import read

DONE = "gym's done, which is set for both kinds of end"


@read(
    "OpenAI Baselines, PPO2",
    "openai/baselines, baselines/ppo2/runner.py, commit 299d7d2",
    call=lambda f, s: f(s.values, s.rewards, s.dones_around[:-1], s.last_values, s.dones[-1], s.gamma, s.lam),
    caller="done",
    note="the flag of row t + 1 says that step t ended; " + DONE,
)
def baselines_ppo2(
    values: Any, rewards: Any, dones: Any, last_values: Any, last_dones: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute it as a buffer does whose flags belong to the observation."""
    result = np.zeros_like(rewards)
    carried = 0
    steps = len(rewards)
    for t in range(steps - 1, -1, -1):
        final = t == steps - 1
        goes_on = 1.0 - (last_dones if final else dones[t + 1])
        successor = last_values if final else values[t + 1]
        residual = rewards[t] + gamma * successor * goes_on - values[t]
        carried = residual + gamma * lam * goes_on * carried
        result[t] = carried
    return result, result + values


@read(
    "OpenAI Baselines, PPO1",
    "openai/baselines, baselines/ppo1/pposgd_simple.py, commit 08e4a46",
    call=lambda f, s: s.columns(
        lambda c: f(
            c.rewards[:, 0],
            c.values[:, 0],
            c.dones_around[:-1, 0].astype(np.int32),
            c.last_values[0] * (1 - c.dones[-1, 0]),
            c.gamma,
            c.lam,
        )
    ),
    caller="done",
    note="one environment; the caller multiplies the last value by 1 - done; " + DONE,
)
def baselines_ppo1(rew: Any, vpred: Any, new: Any, nextvpred: float, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute one column with a last value that is 0 after an end."""
    starts = np.append(new, 0)
    extended = np.append(vpred, nextvpred)
    steps = len(rew)
    result = np.empty(steps, np.float32)
    carried = 0
    for t in range(steps - 1, -1, -1):
        goes_on = 1 - starts[t + 1]
        residual = rew[t] + gamma * extended[t + 1] * goes_on - extended[t]
        carried = residual + gamma * lam * goes_on * carried
        result[t] = carried
    return result, result + vpred


def _agilerl(values: Any, rewards: Any, dones: Any, last_value: Any, last_done: Any, gamma: float, lam: float) -> Any:
    """Compute what ``RolloutBuffer.compute_returns_and_advantages`` of AgileRL does, for flags of either meaning."""
    result = np.zeros(rewards.shape, np.float32)
    carried = np.zeros(rewards.shape[1], np.float32)
    for t in range(len(rewards) - 1, -1, -1):
        if t == len(rewards) - 1:
            goes_on, successor = 1.0 - last_done.astype(float), last_value.astype(float)
        else:
            goes_on, successor = 1.0 - dones[t + 1].astype(float), values[t + 1]
        residual = rewards[t] + gamma * successor * goes_on - values[t]
        carried = residual + gamma * lam * goes_on * carried
        result[t] = carried
    return result, result + values


@read(
    "AgileRL, RolloutBuffer (GAE)",
    "agilerl 2.58.0, agilerl/components/rollout_buffer.py",
    call=lambda f, s: f(s.values, s.rewards, s.dones_around[:-1], s.last_values, s.dones[-1], s.gamma, s.lam),
    note="the function alone, given flags that belong to the observation",
)
def agilerl_buffer(
    values: Any, rewards: Any, dones: Any, last_value: Any, last_done: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute it from flags that say that the episode ended before the step."""
    return _agilerl(values, rewards, dones, last_value, last_done, gamma, lam)


@read(
    "AgileRL, collect_rollouts (GAE)",
    "agilerl 2.58.0, agilerl/rollouts/on_policy.py and agilerl/components/rollout_buffer.py",
    call=lambda f, s: f(s.values, s.rewards, s.dones, s.last_values, s.rollout.terminated[-1], s.gamma, s.lam),
    contract="done",
    note="the collector stores in row t whether step t ended, and the buffer reads row t + 1 for step t; the last row "
    "gets the termination alone",
    own=None,
)
def agilerl_collected(
    values: Any, rewards: Any, dones: Any, last_value: Any, last_done: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute it from the flags that the collector stores."""
    return _agilerl(values, rewards, dones, last_value, last_done, gamma, lam)


@read(
    "labml.ai, annotated PPO",
    "labml-nn 0.5.1, labml_nn/rl/ppo/gae.py",
    call=lambda f, s: (lambda a: (a, a + s.values))(f(s.dones.T, s.rewards.T, s.values_and_last.T, s.gamma, s.lam).T),
    caller="done",
    note="batch-major, with one value more than steps; the last step of the rollout is masked by its flag; " + DONE,
)
def labml(done: Any, rewards: Any, values: Any, gamma: float, lambda_: float) -> Any:
    """Compute (N, T) advantages, masking value and advantage before they are used."""
    steps = rewards.shape[1]
    result = np.zeros(rewards.shape, np.float32)
    carried = 0
    successor = values[:, -1]
    for t in range(steps - 1, -1, -1):
        goes_on = 1.0 - done[:, t]
        successor, carried = successor * goes_on, carried * goes_on
        carried = rewards[:, t] + gamma * successor - values[:, t] + gamma * lambda_ * carried
        result[:, t] = carried
        successor = values[:, t]
    return result


@read(
    "SheepRL, PPO",
    "sheeprl 0.8.4, sheeprl/utils/utils.py and sheeprl/algos/ppo/ppo.py",
    call=lambda f, s: tuple(
        part[..., 0]
        for part in f(
            s.rewards[..., None],
            s.values[..., None],
            s.dones.astype(np.uint8)[..., None],
            s.last_values[:, None],
            len(s.rewards),
            s.gamma,
            s.lam,
        )
    ),
    gives=("returns", "advantages"),
    caller="bootstrapped",
    note="(T, N, 1), flags as bytes; its loop adds the value of the final observation to the reward",
    own=None,
)
def sheeprl(
    rewards: Any, values: Any, dones: Any, next_value: Any, num_steps: int, gamma: float, gae_lambda: float
) -> tuple[Any, Any]:
    """Compute all residuals first and then the recursion; returns come first."""
    alive = ~dones.astype(bool)
    successors = np.concatenate([values[1:num_steps], next_value[None]])
    residuals = rewards[:num_steps] + successors * alive * gamma - values[:num_steps]
    result = np.zeros_like(rewards)
    carried = np.zeros_like(residuals[0])
    for t in range(num_steps - 1, -1, -1):
        carried = residuals[t] + alive[t] * carried * gamma * gae_lambda
        result[t] = carried
    return result + values, result


@read(
    "nnabla-rl, PPO",
    "nnabla-rl 0.16.0, nnabla_rl/algorithms/common_utils.py (compute_v_target_and_advantage)",
    call=lambda f, s: s.columns(
        lambda c: f(c.rewards[:, 0], c.values[:, 0], c.last_values[0], 1 - c.dones[:, 0], c.gamma, c.lam)
    ),
    gives=("returns", "advantages"),
    caller="done",
    note="one environment; the value of the next row inside, that of the next state after the last row",
    own=lambda testing, f: testing.adapt(f, "rewards values last_values masks gamma lam", layout="column"),
)
def nnabla(rewards: Any, values: Any, last_value: float, non_terminal: Any, gamma: float, lmb: float) -> Any:
    """Compute one column in float32; targets come first."""
    targets, result = np.empty((2, len(rewards)), np.float32)
    carried, successor = np.float32(0.0), last_value
    for t in range(len(rewards) - 1, -1, -1):
        residual = rewards[t] + gamma * non_terminal[t] * successor - values[t]
        carried = np.float32(residual + gamma * lmb * non_terminal[t] * carried)
        targets[t], result[t] = carried + values[t], carried
        successor = values[t]
    return targets, result


@read(
    "MAPPO (on-policy), proper time limits",
    "marlbenchmark/on-policy, onpolicy/utils/shared_buffer.py, commit 41563a6 (use_proper_time_limits=True)",
    call=lambda f, s: f(
        s.rewards[..., None, None],
        s.values_and_last[..., None, None],
        s.masks_around[..., None, None],
        1.0 - np.concatenate([s.truncated[:1] * 0, s.truncated * (1 - s.terminated)])[..., None, None],
        s.gamma,
        s.lam,
    )[..., 0, 0],
    gives=("returns",),
    contract="flags",
    note="(T, N, agents, 1); a truncated step gets the return that its value is, so that its advantage is 0",
    own=None,
)
def mappo_proper(rewards: Any, value_preds: Any, masks: Any, bad_masks: Any, gamma: float, gae_lambda: float) -> Any:
    """Compute returns alone, from masks of T + 1 rows."""
    result = np.zeros_like(value_preds)
    carried = 0
    for step in range(len(rewards) - 1, -1, -1):
        goes_on = masks[step + 1]
        residual = rewards[step] + gamma * value_preds[step + 1] * goes_on - value_preds[step]
        carried = (residual + gamma * gae_lambda * goes_on * carried) * bad_masks[step + 1]
        result[step] = carried + value_preds[step]
    return result[:-1]


@read(
    "HARL, without proper time limits",
    "PKU-MARL/HARL, harl/common/buffers/on_policy_critic_buffer_ep.py, commit 690fb1d (use_proper_time_limits=False)",
    call=lambda f, s: f(s.rewards[..., None], s.values_and_last[..., None], s.masks_around[..., None], s.gamma, s.lam)[
        ..., 0
    ],
    gives=("returns",),
    caller="done",
    note="(T, N, 1); one mask for both kinds of end",
)
def harl(rewards: Any, value_preds: Any, masks: Any, gamma: float, gae_lambda: float) -> Any:
    """Compute returns alone, from one mask of T + 1 rows."""
    result = np.zeros_like(value_preds)
    carried = 0
    for step in range(len(rewards) - 1, -1, -1):
        residual = rewards[step] + gamma * value_preds[step + 1] * masks[step + 1] - value_preds[step]
        carried = residual + gamma * gae_lambda * masks[step + 1] * carried
        result[step] = carried + value_preds[step]
    return result[:-1]


@read(
    "EnvPool, PPO example",
    "sail-sg/envpool, examples/ppo_atari/gae.py, commit 7163e72",
    call=lambda f, s: f(s.gamma, s.lam, s.values, s.rewards, s.rollout.terminated | s.rollout.truncated)[:2],
    gives=("returns", "advantages"),
    caller="done",
    dtype="float64",
    note="rows without a successor in the rollout are not bootstrapped, and a mask returned beside excludes them; the "
    "mask is not read here",
    own=lambda testing, f: testing.adapt(lambda *given: f(*given)[:2], "gamma lam values rewards dones"),
)
def envpool(gamma: float, gae_lambda: float, value: Any, reward: Any, done: Any) -> tuple[Any, Any, Any]:
    """Compute returns, advantages and the mask of the rows that have a successor; every column is an environment."""
    steps, count = value.shape
    seen = np.zeros(count, bool)
    successor, carried = np.zeros(count), np.zeros(count)
    result, valid = np.zeros((2, steps, count))
    for t in range(steps - 1, -1, -1):
        alive = 1.0 - done[t]
        result[t] = reward[t] - value[t] + gamma * successor * alive + gamma * gae_lambda * alive * carried
        valid[t] = done[t] | seen
        carried, successor, seen = result[t].copy(), value[t], np.ones(count, bool)
    return result + value, result, valid
