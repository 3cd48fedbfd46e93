"""Scans in JAX, and a loop over tensors that TensorFlow has in the original."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .entry import read


@read(
    "PureJaxRL",
    "luchris429/purejaxrl, purejaxrl/ppo.py, commit 146b485",
    framework="jax",
    call=lambda f, s: f(s.rewards, s.values, s.dones_bool, s.last_values, s.gamma, s.lam),
    caller="done",
    note="gymnax's done, which is set for both kinds of end",
)
@jax.jit
def purejaxrl(reward: Any, value: Any, done: Any, last_val: Any, gamma: float, gae_lambda: float) -> tuple[Any, Any]:
    """Scan backwards, carrying the advantage and the next value."""

    def step(carry: Any, row: Any) -> Any:
        following, successor = carry
        r, v, over = row
        residual = r + gamma * successor * (1 - over) - v
        following = residual + gamma * gae_lambda * (1 - over) * following
        return (following, v), following

    start = (jnp.zeros_like(last_val), last_val)
    _, advantages = jax.lax.scan(step, start, (reward, value, done), reverse=True, unroll=16)
    return advantages, advantages + value


@read(
    "Flax, PPO example",
    "google/flax, examples/ppo/ppo_lib.py, commit 0740ef6",
    framework="jax",
    call=lambda f, s: f(s.rewards, 1 - s.dones, s.values_and_last, s.gamma, s.lam),
    gives=("advantages",),
    caller="done",
    limits={"rows": 20},
    note="mapped over columns and unrolled over rows; one value more than steps; gym's done",
)
@jax.jit
def flax_example(rewards: Any, terminal_masks: Any, values: Any, discount: float, gae_param: float) -> Any:
    """Unroll the loop in one column, and map it over columns."""

    def column(r: Any, m: Any, v: Any) -> Any:
        found, carried = [], 0.0
        for t in range(len(r) - 1, -1, -1):
            carried = r[t] + (discount * v[t + 1] * m[t] - v[t]) + discount * gae_param * m[t] * carried
            found.append(carried)
        return jnp.array(found[::-1])

    return jax.vmap(column, in_axes=1, out_axes=1)(rewards, terminal_masks, values)


@read(
    "Brax, PPO",
    "brax 0.14.2, brax/training/agents/ppo/losses.py (compute_gae)",
    framework="jax",
    call=lambda f, s: f(
        s.truncated * (1 - s.terminated), s.terminated, s.rewards, s.values, s.last_values, s.lam, s.gamma
    ),
    gives=("returns", "advantages"),
    contract="flags",
    note="a truncated step gets the advantage 0; the advantages of the other steps are r + gamma * vs[t + 1] - V, as "
    "in V-trace, in which the first step has no lambda",
    own=None,
)
@jax.jit
def brax(
    truncation: Any, termination: Any, rewards: Any, values: Any, bootstrap_value: Any, lambda_: float, discount: float
) -> tuple[Any, Any]:
    """Scan for the targets, and compute the advantages from the next row's target."""
    kept = 1 - truncation
    successors = jnp.concatenate([values[1:], bootstrap_value[None]])
    residuals = (rewards + discount * (1 - termination) * successors - values) * kept

    def step(carried: Any, row: Any) -> Any:
        keep, residual, over = row
        carried = residual + discount * (1 - over) * keep * lambda_ * carried
        return carried, carried

    _, differences = jax.lax.scan(step, jnp.zeros_like(bootstrap_value), (kept, residuals, termination), reverse=True)
    targets = differences + values
    following = jnp.concatenate([targets[1:], bootstrap_value[None]])
    return targets, (rewards + discount * (1 - termination) * following - values) * kept


@read(
    "Stoix",
    "EdanToledo/Stoix, stoix/utils/multistep.py (batch_truncated_generalized_advantage_estimation), commit 1043f37",
    framework="jax",
    call=lambda f, s: (lambda pair: (pair[0].T, pair[1].T))(
        f(s.rewards.T, (s.gamma * (1 - s.terminated)).T, s.lam, s.values.T, s.next_values.T, s.truncated.T)
    ),
    contract="flags",
    note="batch-major; discounts, the values of both states of each step, and the truncations",
    own=None,
)
@jax.jit
def stoix(r_t: Any, discount_t: Any, lambda_: float, v_tm1: Any, v_t: Any, truncation_t: Any) -> tuple[Any, Any]:
    """Transpose to time-major, scan, and transpose back."""
    r, discounts, before, after, cut = (array.T for array in (r_t, discount_t, v_tm1, v_t, truncation_t))
    lambdas = jnp.ones_like(discounts) * lambda_

    def step(carried: Any, row: Any) -> Any:
        residual, discount, mix, stop = row
        carried = residual + discount * mix * carried * (1.0 - stop)
        return carried, carried

    rows = (r + discounts * after - before, discounts, lambdas, cut.astype(float))
    _, advantages = jax.lax.scan(step, jnp.zeros(r.shape[1]), rows, reverse=True)
    return advantages.T, (before + advantages).T


def _truncated_gae(rewards: Any, discounts: Any, lambda_: float, values: Any) -> Any:
    """Compute one column as ``rlax.truncated_generalized_advantage_estimation`` does."""
    residuals = rewards + discounts * values[1:] - values[:-1]

    def step(carried: Any, row: Any) -> Any:
        residual, weight = row
        carried = residual + weight * carried
        return carried, carried

    return jax.lax.scan(step, 0.0, (residuals, discounts * lambda_), reverse=True)[1]


@read(
    "Navix, PPO",
    "navix 4.0.0, navix/agents/ppo.py (evaluate_experience)",
    framework="jax",
    call=lambda f, s: f(s.rewards, s.dones, s.values, s.last_values, s.wrap(_steps_before(s.rollout)), s.gamma, s.lam),
    caller="done",
    note="the discount of a step is gamma to the power of the number of steps that the episode has had; it takes both "
    "kinds of end as one",
    own=None,
)
@jax.jit
def navix(
    reward: Any, done: Any, values: Any, last_val: Any, t: Any, gamma: float, gae_lambda: float
) -> tuple[Any, Any]:
    """Map the column over (T, N), with discounts that are powers of gamma."""
    discounts = (1 - done) * gamma**t
    longer = jnp.concatenate([values, last_val[None]], axis=0)
    advantages = jax.vmap(_truncated_gae, in_axes=(1, 1, None, 1), out_axes=1)(reward, discounts, gae_lambda, longer)
    return advantages, advantages + values


def _steps_before(rollout: Any) -> Any:
    """Return for each step how many steps of its episode came before it, (T, N); the first row begins an episode."""
    ended = rollout.terminated | rollout.truncated
    count = np.zeros(ended.shape, np.int32)
    for row in range(1, len(ended)):
        count[row] = np.where(ended[row - 1], 0, count[row - 1] + 1)
    return count


@read(
    "Acme, PPO",
    "dm-acme 0.4.0, acme/agents/jax/ppo/learning.py (gae_advantages)",
    framework="jax",
    call=lambda f, s: (
        f(
            jnp.concatenate([s.rewards, s.rewards[:1] * 0]).T,
            jnp.concatenate([1 - s.dones, 1 - s.dones[:1] * 0]).T,
            s.values_and_last.T,
            s.gamma,
            s.lam,
        ).T
    ),
    gives=("advantages",),
    note="sequences (B, T + 1), whose last step serves the bootstrap alone; how sequences end was not read",
    own=None,
)
@jax.jit
def acme(rewards: Any, discounts: Any, values: Any, discount: float, gae_lambda: float) -> Any:
    """Map the column over sequences, without their last reward and discount."""
    mapped = jax.vmap(_truncated_gae, in_axes=(0, 0, None, 0))
    return mapped(rewards[:, :-1], (discounts * discount)[:, :-1], gae_lambda, values)


@read(
    "SEED RL, gae",
    "google-research/seed_rl, agents/policy_gradient/modules/advantages.py, commit 0a4729d",
    call=lambda f, s: f(
        s.values_and_last,
        s.rewards,
        s.rollout.terminated,
        s.rollout.truncated & ~s.rollout.terminated,
        s.gamma,
        s.lam,
    ),
    gives=("returns", "advantages"),
    contract="flags",
    note="an abandoned step gets the advantage 0 and its own value as target, as its documentation says; TensorFlow in "
    "the original",
    own=None,
)
def seed_rl(
    values: Any, rewards: Any, done_terminated: Any, done_abandoned: Any, discount_factor: float, lambda_: float
) -> tuple[Any, Any]:
    """Compute targets and advantages from values of T + 1 rows, with importance weights of 1."""
    alive = (~done_terminated).astype(np.float32)
    kept = (~done_abandoned).astype(np.float32)
    residuals = (rewards + discount_factor * alive * values[1:] - values[:-1]) * kept
    carried = np.zeros_like(values[0])
    result = np.zeros_like(rewards)
    for t in range(len(rewards) - 1, -1, -1):
        carried = residuals[t] + alive[t] * kept[t] * discount_factor * lambda_ * carried
        result[t] = carried
    return result + values[:-1], result
