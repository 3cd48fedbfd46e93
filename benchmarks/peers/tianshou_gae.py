"""Adapt Tianshou.

Read: ``ActorCriticOnPolicyAlgorithm._add_returns_and_advantages`` (algorithm/modelfree/a2c.py), which PPO calls and
which is called here, on a ``VectorReplayBuffer`` filled row by row as the collector does, with a critic whose value of
an observation is the observation; it calls ``Algorithm.compute_episodic_return`` (algorithm/algorithm_base.py).

- Every transition has its own next observation, so a truncated step gets the value of its true successor.
- ``value_mask`` zeroes the next value where the step was terminated; the sum stops at every end, and at the last
  transition of an environment whose episode continues.
- The recursion is in float64; the result has the dtype of the critic's values: float32 in its training, that of
  ``values`` here. The buffer holds rewards in float64.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.algorithm.modelfree.a2c import ActorCriticOnPolicyAlgorithm
from tianshou.data import Batch, VectorReplayBuffer

NAME = "Tianshou"
PACKAGE = "tianshou"
CONVENTIONS = {
    "truncation": "the next observation of each transition is kept, and its value taken",
    "end of the rollout": "the value of the last transition's next observation",
    "advantages": "before PPO standardizes each minibatch",
    "dtype": "that of the values",
}


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Return the advantages and returns that the algorithm adds to its training batch."""
    length, columns = rewards.shape
    buffer = VectorReplayBuffer(length * columns, columns)
    for t in range(length):
        buffer.add(
            Batch(
                obs=values[t],
                obs_next=next_values[t],
                act=np.zeros(columns),
                rew=rewards[t],
                terminated=terminated[t],
                truncated=truncated[t],
            )
        )
    batch, indices = buffer.sample(0)
    algorithm = SimpleNamespace(
        critic=torch.as_tensor,
        max_batchsize=256,
        return_scaling=False,
        gamma=gamma,
        gae_lambda=lam,
        compute_episodic_return=Algorithm.compute_episodic_return,
    )
    batch = ActorCriticOnPolicyAlgorithm._add_returns_and_advantages(algorithm, batch, buffer, indices)
    # The buffer holds one environment after the other.
    return batch.adv.numpy().reshape(columns, length).T, batch.returns.numpy().reshape(columns, length).T


VARIANTS = {"as trained": gae}


def _compile() -> None:
    """Compile with Numba for each dtype, which takes longer than a check allows."""
    flags = np.zeros((2, 1), np.bool_)
    for dtype in (np.float64, np.float32):
        numbers = np.zeros((2, 1), dtype)
        gae(numbers, numbers, numbers, flags, flags, 0.9, 0.9)


_compile()
