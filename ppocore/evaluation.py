"""Evaluate a policy on complete episodes, with frozen normalizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ppocore.envs import VectorEnvironments, made_with, make_environments
from ppocore.envs.lookup import find_spec
from ppocore.errors import UsageError
from ppocore.policy import Policy

MOST_EPISODES = 1_000_000
"""More would take days, and are a slip of the keyboard."""


class EvaluationResult(NamedTuple):
    """Hold the returns of the episodes, in an order that depends on the seed alone."""

    env: str
    episode_returns: list[float]
    episode_lengths: list[int]
    cut_off: int = 0
    """Number of episodes that the limit of the evaluation ended, and not the environment."""
    limit: int | None = None
    """That limit, in steps; None if the environment has its own."""

    def summary(self) -> dict[str, Any]:
        """Summarize the result in one JSON object, as ``ppocore evaluate --json`` prints it."""
        returns = np.array(self.episode_returns)
        return {
            "env": self.env,
            "episodes": len(returns),
            "mean_return": float(returns.mean()),
            "std_return": float(returns.std()),
            "min_return": float(returns.min()),
            "max_return": float(returns.max()),
            "cut_off": self.cut_off,
        }


def evaluate(
    policy: Policy,
    env: str | Callable[[], Any],
    *,
    episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Iterable[Any] = (),
    max_episode_steps: int | None = None,
) -> EvaluationResult:
    """Run a policy for a number of complete episodes.

    Each of several environments runs a fixed share of the episodes, because taking the first to finish would favor
    short ones. Episodes have other seeds than in training.

    Args:
        policy: the policy; its normalizer's statistics do not change.
        env: an environment's id, or a callable that makes one.
        episodes: number of episodes.
        seed: seed of the environments, and of the actions if they are sampled.
        deterministic: whether to take the mode of the distribution instead of samples.
        env_kwargs: arguments of the environment's constructor.
        wrappers: wrappers of each environment, as in `ppocore.train`.
        max_episode_steps: the steps after which an episode is cut off; by default the environment's own limit, or
            10,000 if it is not known to have one.

    Raises:
        UsageError: no such environment, no episodes, or spaces other than the policy's.
        EnvironmentFault: the environment failed.
    """
    if not 1 <= episodes <= MOST_EPISODES:
        raise UsageError(f"episodes={episodes} must be between 1 and {MOST_EPISODES}")
    if seed < 0:
        raise UsageError(f"seed={seed} is negative: choose 0 or more")
    limit = max_episode_steps
    if limit is None and not _has_limit(env, env_kwargs):
        limit = _DEFAULT_LIMIT
    env_kwargs, around = made_with(env, env_kwargs, wrappers, max_episode_steps=limit)
    num_envs = min(episodes, 10)
    quota = np.array([episodes // num_envs + (i < episodes % num_envs) for i in range(num_envs)])
    rng = np.random.default_rng([seed, 1])
    returns: list[list[float]] = [[] for _ in range(num_envs)]
    lengths: list[list[int]] = [[] for _ in range(num_envs)]
    total, length = np.zeros(num_envs), np.zeros(num_envs, np.int64)
    with make_environments(
        env, num_envs, seed=_EVALUATION_SEEDS + seed, env_kwargs=env_kwargs, wrappers=around
    ) as environments:
        _check_same_spaces(policy, environments)
        observations = environments.reset()
        while (quota > 0).any():
            flat = observations.reshape(num_envs, policy.mapping.size)
            masks = environments.action_masks
            step = environments.step(policy.act_on_vectors(flat, deterministic, masks=masks, rng=rng))
            total += step.rewards
            length += step.valid
            for i in np.flatnonzero(step.terminated | step.truncated).tolist():
                if quota[i] > 0:
                    returns[i].append(float(total[i]))
                    lengths[i].append(int(length[i]))
                    quota[i] -= 1
                total[i], length[i] = 0.0, 0
            observations = step.observations
        taken = [*chain(*lengths)]
        cut_off = sum(steps >= limit for steps in taken) if limit is not None else 0
        return EvaluationResult(environments.name, [*chain(*returns)], taken, cut_off, limit)


def _has_limit(env: Any, env_kwargs: dict[str, Any] | None) -> bool:
    """Return whether an environment is known to end its episodes after a number of steps."""
    if (env_kwargs or {}).get("max_episode_steps") is not None:
        return True
    return isinstance(env, str) and find_spec(env)[1].max_episode_steps is not None


def _check_same_spaces(policy: Policy, environments: VectorEnvironments) -> None:
    if policy.mapping != environments.observation_mapping:
        takes, gives = (
            f"observations of shape {mapping.shape}" if mapping.shape is not None else f"{mapping.to_dict()}"
            for mapping in (policy.mapping, environments.observation_mapping)
        )
        raise UsageError(
            f"the policy takes {takes} but {environments.name} gives {gives}: evaluate it on the environment it was "
            "trained on"
        )
    if environments.action_space != policy.adapter.space:
        raise UsageError(
            f"the policy's actions are not those of {environments.name}, whose action space is "
            f"{environments.action_space}: evaluate it on the environment it was trained on"
        )


_DEFAULT_LIMIT = 10_000
"""Ten times the usual limit, so that an environment without one is evaluated in a time that can be waited for."""

_EVALUATION_SEEDS = 1 << 32
"""Offset of the seed, so that no episode of an evaluation is one of training."""
