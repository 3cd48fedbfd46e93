"""Adapt RLax.

Read: ``truncated_generalized_advantage_estimation`` (rlax/_src/multistep.py). RLax is a set of functions without a
training loop, so the caller's part is chosen here and is not a practice of the library. The function takes k rewards
and discounts and k + 1 values of one sequence, the last being the value of what follows; it is mapped over columns.

- One discount serves both the bootstrap and the sum, and the next value is that of the next row. So the discount alone
  cannot express a truncated step in the middle of a sequence.
- ``gae``: the discount is 0 at every end, and the caller has added ``gamma * next_values`` to the reward of a step that
  is truncated and not terminated.
- ``discounts_only``: the discounts that a dm_env time step carries: 0 where terminated, and gamma where truncated.
- float32, JAX's default.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rlax

NAME = "RLax"
PACKAGE = "rlax"
CONVENTIONS = {
    "truncation": "left to the caller; here, bootstrapped by adding to the reward",
    "end of the rollout": "the last value of the sequence",
    "advantages": "as the function returns them; the returns are advantages plus values",
    "dtype": "float32, the default of JAX",
}

_estimate = jax.jit(jax.vmap(rlax.truncated_generalized_advantage_estimation, in_axes=(1, 1, None, 1), out_axes=1))


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Add the bootstrap of a truncated step to its reward, with discount 0 at every end."""
    bootstrap = np.where(truncated & ~terminated, gamma * next_values, 0.0)
    return _sequence(rewards + bootstrap, values, next_values, gamma * ~(terminated | truncated), lam)


def discounts_only(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Use discount 0 where terminated, and ignore truncation."""
    return _sequence(rewards, values, next_values, gamma * ~terminated, lam)


VARIANTS = {"bootstrap in the reward": gae, "discounts only": discounts_only}


def _sequence(rewards: Any, values: Any, next_values: Any, discounts: Any, lam: float) -> tuple[Any, Any]:
    whole = np.concatenate([values, next_values[-1:]])
    arrays = [jnp.asarray(array, jnp.float32) for array in (rewards, discounts, whole)]
    advantages = np.array(_estimate(arrays[0], arrays[1], jnp.float32(lam), arrays[2]))
    return advantages, advantages + values.astype(np.float32)
