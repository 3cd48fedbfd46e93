"""Adapt skrl.

Read: ``compute_gae``, ``PPO.record_transition`` and ``PPO.update`` (skrl/agents/torch/ppo/ppo.py), ``PPO_CFG``
(ppo_cfg.py). ``compute_gae`` is called here as ``update`` calls it, on float32 tensors (T, N, 1).

- Inside a rollout, the next value is that of the next row; after the last row, that of its next observation.
- ``time_limit_bootstrap`` is False by default: ``truncated`` is then not read, and the sum and the bootstrap continue
  from a truncated step into the next row, as if no episode had ended.
- With True, ``record_transition`` adds ``gamma * V(next observation) * truncated`` to the reward, and a truncated step
  counts as an end. That line is repeated here, because it is in a method of a whole agent.
- ``compute_gae`` returns the returns, and advantages that are standardized over the rollout; the adapter returns the
  advantages before that, which are the returns minus the values.
"""

from __future__ import annotations

from typing import Any

import torch
from skrl.agents.torch.ppo.ppo import compute_gae

NAME = "skrl"
PACKAGE = "skrl"
CONVENTIONS = {
    "truncation": "not read by default; with time_limit_bootstrap=True, bootstrapped by adding to the reward",
    "end of the rollout": "the value of the last transition's next observation",
    "advantages": "standardized over the rollout by the library: taken as returns minus values",
    "dtype": "float32, the dtype of its memory",
}


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute with ``time_limit_bootstrap=False``, the default."""
    return _computed(rewards, values, next_values, terminated, truncated, gamma, lam, bootstrap=False)


def bootstrapped(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute with ``time_limit_bootstrap=True``."""
    return _computed(rewards, values, next_values, terminated, truncated, gamma, lam, bootstrap=True)


VARIANTS = {"the default": gae, "time_limit_bootstrap=True": bootstrapped}


def _computed(
    rewards: Any,
    values: Any,
    next_values: Any,
    terminated: Any,
    truncated: Any,
    gamma: float,
    lam: float,
    *,
    bootstrap: bool,
) -> tuple[Any, Any]:
    reward, value, following = (
        torch.tensor(array, dtype=torch.float32)[..., None] for array in (rewards, values, next_values)
    )
    cut = torch.tensor(truncated)[..., None]
    if bootstrap:
        reward += gamma * following * cut
    returns, _ = compute_gae(
        rewards=reward,
        terminated=torch.tensor(terminated)[..., None],
        truncated=cut,
        values=value,
        last_values=following[-1],
        discount_factor=gamma,
        lambda_coefficient=lam,
        time_limit_bootstrap=bootstrap,
    )
    return (returns - value)[..., 0].numpy(), returns[..., 0].numpy()
