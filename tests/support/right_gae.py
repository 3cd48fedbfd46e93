"""Five right implementations of generalized advantage estimation that share no code."""

import numpy as np
import torch
from scipy.signal import lfilter


def loop(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Loop from the last row, with multiplication by masks as in most code."""
    advantages = np.zeros_like(values)
    last = np.zeros(rewards.shape[1], values.dtype)
    for t in reversed(range(rewards.shape[0])):
        not_terminal = 1.0 - terminated[t]
        not_ended = 1.0 - np.logical_or(terminated[t], truncated[t])
        delta = rewards[t] + gamma * next_values[t] * not_terminal - values[t]
        last = delta + gamma * lam * not_ended * last
        advantages[t] = last
    return advantages, advantages + values


def vectorized(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Multiply by a matrix of weights (gamma lam)^(s - t), 0 if an end lies between t and s."""
    deltas = rewards + gamma * np.where(terminated, 0, next_values) - values
    ended = (terminated | truncated).astype(int)
    before = np.cumsum(ended, axis=0) - ended  # number of ends before each row, which numbers its episode
    t = np.arange(len(rewards))
    power = np.maximum(t[None, :] - t[:, None], 0)
    weights = np.where(t[None, :] >= t[:, None], (gamma * lam) ** power, 0.0)
    same = before[:, None, :] == before[None, :, :]
    return np.einsum("ts,tsn,sn->tn", weights, same, deltas)


def scan(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Double windows: each row holds the sum of a window of 1, 2, 4, ... rows."""
    window = (rewards + gamma * np.where(terminated, 0, next_values) - values).astype(np.float64)
    decay = np.where(terminated | truncated, 0.0, gamma * lam)
    width = 1
    while width < len(window):
        shifted, later = np.zeros_like(window), np.zeros_like(decay)
        shifted[:-width], later[:-width] = window[width:], decay[width:]
        window, decay = window + decay * shifted, decay * later
        width *= 2
    return window, window + values


def filtered(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Apply an infinite impulse response filter to each episode, backwards."""
    advantages = np.zeros(rewards.shape)
    for i in range(rewards.shape[1]):
        ends = [*(np.flatnonzero(terminated[:, i] | truncated[:, i]) + 1).tolist(), len(rewards)]
        first = 0
        for stop in ends:
            rows = slice(first, stop)
            if first < stop:
                following = np.where(terminated[rows, i], 0.0, next_values[rows, i])
                delta = rewards[rows, i] + gamma * following - values[rows, i]
                advantages[rows, i] = lfilter([1.0], [1.0, -gamma * lam], delta[::-1].astype(np.float64))[::-1]
            first = stop
    return advantages


def in_torch(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Loop over float64 tensors from the last row."""
    rewards, values, next_values = (x.to(torch.float64) for x in (rewards, values, next_values))
    delta = rewards + gamma * next_values.masked_fill(terminated, 0.0) - values
    rows, last = [], torch.zeros(rewards.shape[1], dtype=torch.float64)
    for d, end in zip(delta.flip(0), (terminated | truncated).flip(0), strict=True):
        last = d + gamma * lam * last.masked_fill(end, 0.0)
        rows.append(last)
    advantages = torch.stack(rows).flip(0)
    return advantages, advantages + values


RIGHT = [(loop, "numpy"), (vectorized, "numpy"), (scan, "numpy"), (filtered, "numpy"), (in_torch, "torch")]
