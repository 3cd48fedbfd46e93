"""Right advantage functions as people write them in torch, paddle and JAX, for flags of any kind."""

import functools

import jax
import jax.numpy as jnp
import paddle
import torch


def torch_loop(rewards, values, next_values, terminated, truncated, gamma, lam):
    terminated, truncated = terminated.float(), truncated.float()
    alive, found, following = 1.0 - torch.maximum(terminated, truncated), [], torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        residual = rewards[t] + gamma * next_values[t] * (1.0 - terminated[t]) - values[t]
        following = residual + gamma * lam * alive[t] * following
        found.append(following)
    return torch.stack(found[::-1])


def torch_dones(rewards, values, dones, last_values, gamma, lam):
    alive, found, following = 1.0 - dones.to(values.dtype), torch.zeros_like(values), 0.0
    after = torch.cat([values[1:], last_values[None]])
    residuals = rewards + gamma * after * alive - values
    for t in reversed(range(len(rewards))):
        following = residuals[t] + gamma * lam * alive[t] * following
        found[t] = following
    return found, found + values


def torch_bool(rewards, values, next_values, terminated, truncated, gamma, lam):
    terminated, ended = terminated.bool(), terminated.bool() | truncated.bool()
    found, following = [], 0.0
    for t in reversed(range(len(rewards))):
        residual = rewards[t] + gamma * next_values[t] * ~terminated[t] - values[t]
        following = residual + gamma * lam * ~ended[t] * following
        found.append(following)
    return torch.stack(found[::-1])


def paddle_loop(rewards, values, next_values, terminated, truncated, gamma, lam):
    terminated = terminated.astype(values.dtype)
    alive, found = 1.0 - paddle.maximum(terminated, truncated.astype(values.dtype)), []
    following = paddle.zeros_like(values[0])
    for t in reversed(range(len(rewards))):
        residual = rewards[t] + gamma * next_values[t] * (1.0 - terminated[t]) - values[t]
        following = residual + gamma * lam * alive[t] * following
        found.append(following)
    return paddle.stack(found[::-1])


def paddle_dones(rewards, values, dones, last_values, gamma, lam):
    alive, found, following, after = 1.0 - dones.astype(values.dtype), [], paddle.zeros_like(last_values), last_values
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * after * alive[t] - values[t] + gamma * lam * alive[t] * following
        after = values[t]
        found.append(following)
    return paddle.stack(found[::-1])


def jax_loop(rewards, values, next_values, terminated, truncated, gamma, lam):
    terminated, ended = terminated.astype(bool), terminated.astype(bool) | truncated.astype(bool)
    found, following = [], 0.0
    for t in reversed(range(len(rewards))):
        residual = rewards[t] + gamma * jnp.where(terminated[t], 0.0, next_values[t]) - values[t]
        following = residual + gamma * lam * jnp.where(ended[t], 0.0, following)
        found.append(following)
    return jnp.stack(found[::-1])


def jax_scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    terminated, ended = terminated.astype(bool), terminated.astype(bool) | truncated.astype(bool)

    def step(following, row):
        residual, alive = row
        following = residual + gamma * lam * alive * following
        return following, following

    residuals = rewards + gamma * next_values * (1 - terminated) - values
    found = jax.lax.scan(step, jnp.zeros_like(values[0]), (residuals, 1.0 - ended), reverse=True)[1]
    return found, found + values


@functools.wraps(jax_scan)
def jax_jit_scan(*arguments, gamma, lam):
    return _compiled(*arguments, gamma, lam)


_compiled = jax.jit(jax_scan)


def jax_vmap(rewards, values, dones, last_values, gamma, lam):
    def one(r, v, d, last):
        def step(carry, row):
            following, after = carry
            reward, value, alive = row
            following = reward + gamma * after * alive - value + gamma * lam * alive * following
            return (following, value), following

        return jax.lax.scan(step, (jnp.zeros_like(last), last), (r, v, 1.0 - d), reverse=True)[1]

    return jax.vmap(one, in_axes=(1, 1, 1, 0), out_axes=1)(rewards, values, dones, last_values)


FUNCTIONS = {
    "torch": [torch_loop, torch_dones, torch_bool],
    "paddle": [paddle_loop, paddle_dones],
    "jax": [jax_loop, jax_scan, jax_jit_scan, jax_vmap],
}
