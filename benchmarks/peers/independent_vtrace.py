"""Judge a V-trace function on rollouts made by hand, against the definition in exact fractions.

A candidate takes (rewards, values, next_values, terminated, truncated, rhos, gamma), NumPy arrays (T, N), and returns
the targets and the policy-gradient advantages. Both clipping thresholds are 1.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .independent import TOLERANCE, Rollout, Verdict, pieces, rollouts


def definition(rollout: Rollout, rhos: Any) -> tuple[Any, Any]:
    """Return targets and advantages by the sums in the paper, with lambda 1."""
    length, columns = rollout.rewards.shape
    gamma = Fraction(rollout.gamma)
    targets, advantages = np.zeros((2, length, columns))
    for i in range(columns):
        for first, last in pieces(rollout, i):
            rows = range(first, last + 1)
            weights = [min(Fraction(1), Fraction(rhos[t, i].item())) for t in rows]
            rewards = [Fraction(rollout.rewards[t, i].item()) for t in rows]
            values = [Fraction(rollout.values[t, i].item()) for t in rows]
            bootstrap = Fraction(rollout.next_values[last, i].item()) * (not rollout.terminated[last, i])
            after = [*values[1:], bootstrap]
            exact = []
            for k in range(len(rewards)):
                total, product = values[k], Fraction(1)
                for j in range(k, len(rewards)):
                    total += gamma ** (j - k) * product * weights[j] * (rewards[j] + gamma * after[j] - values[j])
                    product *= weights[j]
                exact.append(total)
            for k, t in enumerate(rows):
                following = exact[k + 1] if k + 1 < len(exact) else bootstrap
                targets[t, i] = float(exact[k])
                advantages[t, i] = float(weights[k] * (rewards[k] + gamma * following - values[k]))
    return targets, advantages


def judge_vtrace(candidate: Callable[..., tuple[Any, Any]], *, on_policy: bool = False) -> Verdict:
    """Compare a candidate with the definition on the rollouts of `independent.rollouts`.

    Args:
        candidate: as described in this module.
        on_policy: whether all importance weights are 1.
    """
    verdict = Verdict()
    for rollout in rollouts():
        if len(rollout.rewards) > 20 or rollout.lam != 0.5:
            continue
        verdict.cases += 1
        index = np.arange(rollout.rewards.size).reshape(rollout.rewards.shape)
        rhos = np.ones(index.shape) if on_policy else np.array([1.0, 0.5, 2.0])[index % 3]
        wanted = definition(rollout, rhos)
        found = candidate(*rollout[:5], rhos, rollout.gamma)
        labels = set()
        for name, right, actual in zip(("targets", "advantages"), wanted, found, strict=True):
            for i in range(index.shape[1]):
                for first, last in pieces(rollout, i):
                    wrong = np.abs(np.asarray(actual) - right)[first : last + 1, i] > TOLERANCE * 10
                    if wrong[-1]:
                        labels.add(f"{name} of the last step of an episode")
                    elif wrong.any():
                        labels.add(f"{name} inside an episode")
        if labels and not verdict.smallest:
            names = ("rewards", "values", "next_values", "terminated", "truncated")
            lines = [f"{name} = np.array({getattr(rollout, name).tolist()})" for name in names]
            lines += [f"rhos = np.array({rhos.tolist()})", f"gamma = {rollout.gamma}"]
            for name, right, actual in zip(("targets", "advantages"), wanted, found, strict=True):
                lines.append(f"# {name}: expected {right.tolist()}, actual {np.asarray(actual).tolist()}")
            verdict.smallest = "\n".join(lines)
        verdict.where |= labels
    return verdict
