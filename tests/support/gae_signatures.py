"""Right advantage functions of the signatures that are out there, around one recursion."""

import numpy as np


def recursion(residuals, continues, decay):
    """Return the sums of the residuals, (T, ...)."""
    found, following = np.zeros(residuals.shape), np.zeros(residuals.shape[1:])
    for t in reversed(range(len(residuals))):
        following = residuals[t] + decay * continues[t] * following
        found[t] = following
    return found


def buffer(rewards, values, dones, last_values, gamma, gae_lambda):
    following = np.concatenate([values[1:], np.asarray(last_values)[None]])
    return recursion(rewards + gamma * following * (1 - dones) - values, 1 - dones, gamma * gae_lambda)


def starts(rewards, values, episode_starts, last_values, last_dones, gamma, gae_lambda):
    ends = np.concatenate([episode_starts[1:], last_dones[None]])
    return buffer(rewards, values, ends, last_values, gamma, gae_lambda)


def with_last_row(rews, vals, dones, gamma=0.99, lam=0.95):
    return buffer(rews, vals[:-1], dones, vals[-1], gamma, lam)


def with_masks(rewards, values, masks, last_value, gamma, tau):
    return buffer(rewards, values, 1 - masks, last_value, gamma, tau)


def masks_before(rewards, value_preds, masks, gamma, tau):
    return buffer(rewards, value_preds[:-1], 1 - masks[1:], value_preds[-1], gamma, tau)


def by_environment(rewards, values, dones, last_value, gamma, lam):
    return buffer(rewards.T, values.T, dones.T, last_value, gamma, lam).T


def one_environment(rewards, values, dones, last_value, gamma, lam):
    found, following = [], 0.0
    for t in reversed(range(len(rewards))):
        after = last_value if t == len(rewards) - 1 else values[t + 1]
        following = rewards[t] + gamma * after * (1 - dones[t]) - values[t] + gamma * lam * (1 - dones[t]) * following
        found.insert(0, float(following))
    return found


def trailing(rewards, values, dones, last_values, gamma, lam):
    if rewards.ndim != 3:
        raise ValueError("expected (T, N, 1)")
    return buffer(rewards, values, dones, last_values, gamma, lam)


def one_episode(rews, vals, gamma, lam):
    residuals = rews + gamma * vals[1:] - vals[:-1]
    return np.array([sum((gamma * lam) ** k * d for k, d in enumerate(residuals[t:])) for t in range(len(residuals))])


def tokens(token_rewards, values, response_mask, gamma, lam):
    found, following, after = [], 0.0, 0.0
    for t in reversed(range(values.shape[1])):
        here = response_mask[:, t]
        new = token_rewards[:, t] + gamma * after - values[:, t] + gamma * lam * following
        after, following = np.where(here, values[:, t], after), np.where(here, new, following)
        found.append(following)
    advantages = np.stack(found[::-1], 1)
    return advantages, advantages + values


def with_discounts(r_t, discount_t, lambda_, values):
    residuals = r_t + discount_t * values[1:] - values[:-1]
    found, following = np.zeros(residuals.shape), 0.0
    for t in reversed(range(len(residuals))):
        following = residuals[t] + discount_t[t] * lambda_ * following
        found[t] = following
    return found


def with_next_values(r, v, nv, done, gamma, lam):
    return recursion(r + gamma * nv * (1 - done) - v, 1 - done, gamma * lam)


def both_ends(next_state_value, state_value, reward, done, terminated, gamma, lmbda):
    return recursion(reward + gamma * next_state_value * (1 - terminated) - state_value, 1 - done, gamma * lmbda)


def unnamed(a, b, c, d, e, f, g):
    return recursion(a + f * c * (1 - d) - b, 1 - (d | e), f * g)


GUESSED = {
    buffer: "(rewards, values, dones, last_values, gamma, lam) of arrays (T, N)",
    starts: "(rewards, values, dones, last_values, last_dones, gamma, lam) of arrays (T, N), dones before the step",
    with_last_row: "(rewards, values (T + 1 rows), dones, gamma, lam) of arrays (T, N)",
    with_masks: "(rewards, values, masks, last_values, gamma, lam) of arrays (T, N)",
    masks_before: "(rewards, values (T + 1 rows), masks (T + 1 rows), gamma, lam) of arrays (T, N), dones before the "
    "step",
    by_environment: "(rewards, values, dones, last_values, gamma, lam) of arrays (N, T)",
    one_environment: "(rewards, values, dones, last_values, gamma, lam) of arrays (T,) of one environment",
    trailing: "(rewards, values, dones, last_values, gamma, lam) of arrays (T, N, 1)",
    one_episode: "(rewards, values (T + 1 rows), gamma, lam) of arrays (T,) of one episode",
    tokens: "(rewards, values, mask, gamma, lam) of padded arrays (B, T)",
    with_discounts: "(rewards, discounts, lam, values (T + 1 rows)) of arrays (T, N)",
    with_next_values: "(rewards, values, next_values, dones, gamma, lam) of arrays (T, N)",
    both_ends: "(next_values, values, rewards, dones, terminated, gamma, lam) of arrays (T, N)",
}
"""Each function and what its signature is to be taken for."""
