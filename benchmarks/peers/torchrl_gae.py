"""Adapt TorchRL.

Read: ``GAE`` (torchrl/objectives/value/advantages.py), the module that its PPO trainer and examples call on a rollout,
and which is called here, on values that are there already; it calls ``generalized_advantage_estimate`` or
``vec_generalized_advantage_estimate`` (objectives/value/functional.py).

- Every transition has its own next observation; ``terminated`` stops the bootstrap, ``done`` (terminated or truncated)
  the sum. The last step needs no end.
- The module keeps gamma and lambda as float32 tensors, and critics and environments return float32; so they are here.
- ``vectorized``: True replaces the loop by a convolution over padded episodes.
- The trainer sets ``average_gae=True``, which standardizes advantages; here the module's default is used, which does
  not.
"""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torchrl.objectives.value import GAE

NAME = "TorchRL"
PACKAGE = "torchrl"
CONVENTIONS = {
    "truncation": "the next observation of each transition is kept, and its value taken",
    "end of the rollout": "the value of the last transition's next observation",
    "advantages": "not standardized (average_gae=False, the default of the module)",
    "dtype": "float32, the dtype of its critics and of the discounts that the module keeps",
}


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Return what the module adds to a rollout, with its defaults."""
    return _added(rewards, values, next_values, terminated, truncated, gamma, lam)


def vectorized(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Return what the module adds to a rollout, by convolution."""
    return _added(rewards, values, next_values, terminated, truncated, gamma, lam, vectorized=True)


VARIANTS = {"the default": gae, "vectorized=True": vectorized}


def _added(
    rewards: Any,
    values: Any,
    next_values: Any,
    terminated: Any,
    truncated: Any,
    gamma: float,
    lam: float,
    **settings: Any,
) -> tuple[Any, Any]:
    length, columns = rewards.shape
    rollout = TensorDict(
        {
            "state_value": _tensor(values).float(),
            "next": {
                "state_value": _tensor(next_values).float(),
                "reward": _tensor(rewards).float(),
                "terminated": _tensor(terminated),
                "done": _tensor(terminated | truncated),
            },
        },
        [columns, length],
        names=[None, "time"],
    )
    GAE(gamma=gamma, lmbda=lam, value_network=None, **settings)(rollout)
    return rollout["advantage"][..., 0].T.numpy(), rollout["value_target"][..., 0].T.numpy()


def _tensor(array: Any) -> torch.Tensor:
    """Copy (T, N) to the layout of a rollout, (N, T, 1)."""
    return torch.tensor(array).T[..., None].contiguous()
