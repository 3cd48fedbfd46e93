"""Compute generalized advantage estimation by its definition (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    A[t] = sum over k of (gamma lam)^k delta[t+k],  up to the end of the episode
    delta[t] = rewards[t] + gamma next_values[t] - values[t],  without next_values[t] where the episode terminated

It shares no code with `ppocore.advantages`, and is written for clarity, not speed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array


def episodes(ended: list[bool], valid: list[bool]) -> list[list[int]]:
    """Return the valid rows of each episode of one column, in order."""
    found: list[list[int]] = []
    current: list[int] = []
    for t in range(len(ended)):
        if valid[t]:
            current.append(t)
            if ended[t]:
                found.append(current)
                current = []
    return [*found, current] if current else found


def explicit_sum(trajectory: Trajectory, number: Any = float, *, estimator: str = "gae") -> list[list[Any]]:
    """Compute the advantages by definition, as explicit sums.

    Args:
        trajectory: the arguments of the estimator.
        number: type of the numbers: ``float``, or ``fractions.Fraction`` for exact arithmetic.
        estimator: ``gae``, or ``vtrace`` for the policy-gradient advantage of V-trace on policy, ``rewards[t] + gamma
            (next_values[t] + A[t+1]) - values[t]`` (Espeholt et al. 2018, arXiv:1802.01561, section 4.2).

    Returns:
        The advantages (T, N) as nested lists; 0 in invalid rows.
    """
    length, columns = trajectory.rewards.shape
    gamma, decay = number(trajectory.gamma), number(trajectory.gamma) * number(trajectory.lam)
    advantages = [[number(0) for _ in range(columns)] for _ in range(length)]
    for i in range(columns):
        for rows in episodes(trajectory.ended[:, i].tolist(), trajectory.valid[:, i].tolist()):
            deltas = []
            for t in rows:
                delta = number(trajectory.rewards[t, i].item()) - number(trajectory.values[t, i].item())
                if not trajectory.terminated[t, i]:
                    delta += gamma * number(trajectory.next_values[t, i].item())
                deltas.append(delta)
            for first, t in enumerate(rows):
                later = deltas[first + 1 :]
                carried = sum((decay**k * delta for k, delta in enumerate(later)), number(0))
                advantages[t][i] = deltas[first] + (gamma if estimator == "vtrace" else decay) * carried
    return advantages


def expected_advantages(trajectory: Trajectory, estimator: str = "gae") -> Array:
    """Compute the advantages (T, N) in float64: exactly for short trajectories, otherwise in floats."""
    exact = trajectory.rewards.size <= 40
    found = explicit_sum(trajectory, Fraction if exact else float, estimator=estimator)
    return np.array(found, np.float64)


ADDED = (1e-8, 0.0, 1e-5, 1e-6, 1e-7, 1e-10)
"""What programs add to a standard deviation or a variance."""


def normalized_back(normalized: Array, expected: Array) -> Array:
    """Return the advantages that are normalized, with the mean and the standard deviation of the expected ones.

    What is added to the standard deviation or the variance, and the degrees of freedom, differ between programs: those
    that come closest are taken. Where there is no deviation, as for a single step, there is nothing to tell.
    """
    mean = expected.mean()
    if np.ptp(expected) <= 1e-10 * np.abs(expected).max():
        return expected.copy()
    variances = [expected.var(ddof=freedom) for freedom in (0, 1)]
    scales = [np.sqrt(variance) + added for variance in variances for added in ADDED]
    scales += [np.sqrt(variance + added) for variance in variances for added in ADDED]

    found = [mean + scale * normalized for scale in scales]
    return min(found, key=lambda each: float(np.abs(each - expected).max()))


def magnitude(trajectory: Trajectory) -> Array:
    """Return the sum of the magnitudes of all terms of each advantage, (T, N), to which rounding is proportional."""
    positive = {
        name: np.where(trajectory.valid, np.abs(getattr(trajectory, name)), 0.0)
        for name in ("rewards", "values", "next_values")
    }
    positive["values"] = -positive["values"]
    positive["next_values"] = np.where(trajectory.terminated, 0.0, positive["next_values"])
    deltas = positive["rewards"] - positive["values"] + trajectory.gamma * positive["next_values"]
    total = np.zeros((len(deltas) + 1, deltas.shape[1]))
    for t in reversed(range(len(deltas))):
        total[t] = deltas[t] + trajectory.gamma * trajectory.lam * np.where(trajectory.ended[t], 0.0, total[t + 1])
    return total[:-1]
