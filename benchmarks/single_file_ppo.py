"""Train PPO as single-file PyTorch implementations do, for comparison in benchmarks/train.py.

The algorithm and the settings are those of CleanRL's ppo.py (Huang et al. 2022): vectorized environments, one tensor
per step, generalized advantage estimation in a loop, autograd and Adam. The code was written for this benchmark. As in
CleanRL, both kinds of episode end stop the bootstrap.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


def _network(n_in: int, n_out: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(n_in, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, n_out)]
    for layer, g in ((layers[0], 2**0.5), (layers[2], 2**0.5), (layers[4], gain)):
        nn.init.orthogonal_(layer.weight, g)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def train_single_file(env_id: str, total_steps: int, seed: int, settings: dict[str, Any]) -> int:
    """Train, and return the number of environment steps taken."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, t_max = settings["num_envs"], settings["num_steps"]
    envs = gym.vector.SyncVectorEnv([lambda: gym.make(env_id)] * n)
    size, actions = envs.single_observation_space.shape[0], envs.single_action_space.n
    actor, critic = _network(size, actions, 0.01), _network(size, 1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings["learning_rate"], eps=1e-5)
    obs_t = torch.zeros(t_max, n, size)
    act_t, logp_t, rew_t, done_t, val_t = (torch.zeros(t_max, n) for _ in range(5))
    next_obs, next_done = torch.as_tensor(envs.reset(seed=seed)[0]), torch.zeros(n)
    iterations = total_steps // (n * t_max)
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = settings["learning_rate"] * (1 - iteration / iterations)
        for t in range(t_max):
            obs_t[t], done_t[t] = next_obs, next_done
            with torch.no_grad():
                policy = Categorical(logits=actor(next_obs))
                action = policy.sample()
                logp_t[t], val_t[t] = policy.log_prob(action), critic(next_obs)[:, 0]
            act_t[t] = action
            obs, reward, terminated, truncated, _ = envs.step(action.numpy())
            rew_t[t] = torch.as_tensor(reward)
            next_obs, next_done = torch.as_tensor(obs), torch.as_tensor(terminated | truncated).float()
        with torch.no_grad():
            advantages, last = torch.zeros_like(rew_t), torch.zeros(n)
            value_after, alive = critic(next_obs)[:, 0], 1 - next_done
            for t in reversed(range(t_max)):
                delta = rew_t[t] + 0.99 * value_after * alive - val_t[t]
                advantages[t] = last = delta + 0.99 * 0.95 * alive * last
                value_after, alive = val_t[t], 1 - done_t[t]
            returns = advantages + val_t
        flat = [x.reshape(n * t_max, *x.shape[2:]) for x in (obs_t, act_t, logp_t, advantages, returns)]
        for _ in range(settings["update_epochs"]):
            order = torch.as_tensor(rng.permutation(n * t_max))
            for rows in order.split(settings["minibatch_size"]):
                obs, act, logp, adv, ret = (x[rows] for x in flat)
                policy = Categorical(logits=actor(obs))
                ratio = (policy.log_prob(act) - logp).exp()
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                policy_loss = -torch.min(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
                value_loss = 0.5 * (critic(obs)[:, 0] - ret).square().mean()
                loss = policy_loss - settings["entropy_coef"] * policy.entropy().mean() + 0.5 * value_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
    envs.close()
    return iterations * n * t_max
