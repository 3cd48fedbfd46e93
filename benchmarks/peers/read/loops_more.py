"""Further loops in torch: rarer shapes, and rows that are treated in their own way."""

from __future__ import annotations

from typing import Any

import torch

from ..independent import Expected
from .entry import read


@read(
    "Gymnasium, A2C tutorial",
    "Farama-Foundation/Gymnasium, docs/tutorials/training_agents/vector_a2c.py, commit 3173a85",
    framework="torch",
    call=lambda f, s: f(s.rewards, s.values, 1 - s.dones, s.gamma, s.lam),
    gives=("advantages",),
    caller="terminated",
    note="the last row keeps 0; the masks hold terminations alone, and a truncated environment resets itself",
)
def gymnasium_a2c(rewards: Any, value_preds: Any, masks: Any, gamma: float, lam: float) -> Any:
    """Compute the advantages of all rows but the last."""
    steps = len(rewards)
    result = torch.zeros(steps, rewards.shape[1])
    carried: Any = 0.0
    for t in range(steps - 2, -1, -1):
        residual = rewards[t] + gamma * masks[t] * value_preds[t + 1] - value_preds[t]
        carried = residual + gamma * lam * masks[t] * carried
        result[t] = carried
    return result


@read(
    "ElegantRL, PPO",
    "elegantrl 0.3.6, elegantrl/agents/AgentPPO.py (get_advantages_origin, the default)",
    framework="torch",
    call=lambda f, s: (lambda a: (a, a + s.values))(f(s.rewards, 1 - s.dones, s.values, s.last_values, s.gamma, s.lam)),
    caller="done",
    note="undones in place of dones",
    own=lambda testing, f: testing.adapt(f, "rewards masks values last_values gamma lam"),
)
def elegantrl_origin(
    rewards: Any, undones: Any, values: Any, next_value: Any, gamma: float, lambda_gae_adv: float
) -> Any:
    """Compute it with the discount in the mask."""
    result = torch.empty_like(values)
    masks = undones * gamma
    carried = torch.zeros_like(next_value)
    for t in range(len(rewards) - 1, -1, -1):
        target = rewards[t] + masks[t] * next_value
        carried = target - values[t] + masks[t] * lambda_gae_adv * carried
        result[t], next_value = carried, values[t]
    return result


@read(
    "ElegantRL, PPO with if_use_v_trace",
    "elegantrl 0.3.6, elegantrl/agents/AgentPPO.py (get_advantages_vtrace)",
    framework="torch",
    call=lambda f, s: (lambda a: (a, a + s.values))(f(s.rewards, 1 - s.dones, s.values, s.gamma, s.lam)),
    caller="done",
    note="what follows the last row counts as 0, also while the episode goes on",
    own=None,
    contract="in_every_reward",
)
def elegantrl_vtrace(rewards: Any, undones: Any, values: Any, gamma: float, lambda_gae_adv: float) -> Any:
    """Compute it with the value of the next row inside the carried number, which starts at 0."""
    result = torch.empty_like(values)
    masks = undones * gamma
    carried = torch.zeros_like(values[0])
    for t in range(len(rewards) - 1, -1, -1):
        result[t] = rewards[t] - values[t] + masks[t] * carried
        carried = values[t] + lambda_gae_adv * result[t]
    return result


@read(
    "WarpDrive, A2C",
    "rl-warp-drive 2.7.1, warp_drive/training/algorithms/policygradient/a2c.py",
    framework="torch",
    call=lambda f, s: (lambda g: (g[..., 0] - s.values, g[..., 0]))(
        f(s.rewards[..., None], s.values[..., None], s.dones.int(), s.gamma)
    ),
    expected=Expected(lam=1.0),
    caller="done",
    note="rewards to go, (T, N, agents); the last row of an episode that goes on gets the value of its own state, "
    "without its reward",
    own=None,
)
def warp_drive(rewards: Any, values: Any, done_flags: Any, discount: float) -> Any:
    """Compute the returns of all agents."""
    returns = torch.zeros_like(rewards)
    over = done_flags[:, :, None]
    returns[-1] = over[-1] * rewards[-1] + (1 - over[-1]) * values[-1]
    for t in range(len(rewards) - 2, -1, -1):
        returns[t] = rewards[t] + (1 - over[t]) * discount * returns[t + 1]
    return returns


@read(
    "DI-engine, gae",
    "DI-engine 0.5.3, ding/rl_utils/gae.py and ding/framework/middleware/functional/advantage_estimator.py",
    framework="torch",
    call=lambda f, s: f(s.values, s.next_values, s.rewards, s.terminated, s.dones, s.gamma, s.lam),
    own=lambda testing, f: testing.adapt(f, "values next_values rewards terminated dones gamma lam"),
    gives=("advantages",),
    contract="flags",
    note="each step with the value of its next state; it multiplies its argument next_value in place",
)
def di_engine(value: Any, next_value: Any, reward: Any, done: Any, traj_flag: Any, gamma: float, lambda_: float) -> Any:
    """Compute the advantages from one flag for the bootstrap and one for the sum."""
    next_value *= 1 - done.float()
    residuals = reward + gamma * next_value - value
    decay = gamma * lambda_ * (1 - traj_flag.float())
    result = torch.zeros_like(value)
    carried = torch.zeros_like(value[0])
    for t in range(len(reward) - 1, -1, -1):
        carried = residuals[t] + decay[t] * carried
        result[t] = carried
    return result


@read(
    "OmniSafe, gae",
    "omnisafe 0.5.0, omnisafe/common/buffer/onpolicy_buffer.py and omnisafe/adapter/onpolicy_adapter.py",
    framework="torch",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    contract="pieces",
    caller="pieces",
    note="one path, with the value of the final observation at a time-out",
)
def omnisafe_gae(rewards: Any, values: Any, last_value: Any, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute one path in float64, from rewards and values with the last value appended."""
    longer = torch.cat([values, last_value.reshape(1)])
    result = _omnisafe_sum(rewards + gamma * longer[1:] - longer[:-1], gamma * lam)
    return result, result + longer[:-1]


@read(
    "OmniSafe, gae-rtg",
    "omnisafe 0.5.0, omnisafe/common/buffer/onpolicy_buffer.py and omnisafe/adapter/onpolicy_adapter.py",
    framework="torch",
    call=lambda f, s: s.episodes(lambda r, v, last: f(r, v, last, s.gamma, s.lam)),
    expected=Expected(returns="to_go"),
    contract="pieces",
    caller="pieces",
    note="as gae, with the rewards to go as value targets",
)
def omnisafe_rtg(rewards: Any, values: Any, last_value: Any, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute one path with rewards to go."""
    advantages, _ = omnisafe_gae(rewards, values, last_value, gamma, lam)
    return advantages, _omnisafe_sum(torch.cat([rewards, last_value.reshape(1)]), gamma)[:-1]


def _omnisafe_sum(numbers: Any, discount: float) -> Any:
    """Return discounted sums in float64."""
    result = numbers.type(torch.float64).clone()
    for t in range(len(result) - 2, -1, -1):
        result[t] = result[t] + discount * result[t + 1]
    return result


@read(
    "AgileRL, RolloutBuffer (Monte Carlo)",
    "agilerl 2.58.0, agilerl/rollouts/on_policy.py and agilerl/components/rollout_buffer.py (use_gae=False)",
    framework="torch",
    call=lambda f, s: f(s.values, s.rewards, s.dones, s.last_values, s.wrap(s.rollout.terminated[-1]).float(), s.gamma),
    expected=Expected(lam=1.0),
    contract="bootstrapped",
    note="this branch reads the flag of the same row, which the collector stores; the GAE branch reads the next row's",
    own=None,
    caller="done",
)
def agilerl_monte_carlo(values: Any, rewards: Any, dones: Any, last_value: Any, last_done: Any, gamma: float) -> Any:
    """Compute returns and returns minus values."""
    returns = torch.zeros_like(rewards)
    total = last_value * (1.0 - last_done)
    for t in range(len(rewards) - 1, -1, -1):
        total = rewards[t] + gamma * total * (1.0 - dones[t])
        returns[t] = total
    return returns - values, returns


@read(
    "TF-Agents, generalized_advantage_estimation",
    "tf-agents 0.19.0, tf_agents/utils/value_ops.py",
    framework="torch",
    call=lambda f, s: f(s.values, s.last_values, s.gamma * (1 - s.dones), s.rewards, s.lam),
    gives=("advantages",),
    note="discounts in place of flags; the function alone; TensorFlow in the original",
)
def tf_agents_gae(values: Any, final_value: Any, discounts: Any, rewards: Any, td_lambda: float) -> Any:
    """Compute the advantages from discounts that are 0 at every end."""
    successors = torch.cat([values[1:], final_value.unsqueeze(0)])
    residuals = rewards + discounts * successors - values
    weights = discounts * td_lambda
    result = torch.zeros_like(residuals)
    carried = torch.zeros_like(final_value)
    for t in range(len(residuals) - 1, -1, -1):
        carried = residuals[t] + weights[t] * carried
        result[t] = carried
    return result


@read(
    "TF-Agents, PPOAgent.compute_advantages",
    "tf-agents 0.19.0, tf_agents/agents/ppo/ppo_agent.py (use_gae=True)",
    framework="torch",
    call=lambda f, s: f(s.rewards.T, (s.gamma * (1 - s.dones)).T, s.values_and_last.T, s.lam).T,
    gives=("advantages",),
    caller="done",
    note="batch-major, with one value prediction more than steps: it strips that one first, and then takes the last of "
    "what is left for the value of what follows; TensorFlow in the original",
)
def tf_agents_ppo(rewards: Any, discounts: Any, value_preds: Any, td_lambda: float) -> Any:
    """Compute (B, T) advantages from (B, T + 1) values."""
    stripped = value_preds[:, :-1]
    return tf_agents_gae(stripped.T, stripped[:, -1], discounts.T, rewards.T, td_lambda).T
