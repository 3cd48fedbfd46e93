"""Compute V-trace by its definition (Espeholt et al. 2018, arXiv:1802.01561, equation 1 and section 4.2).

    vs[s] = V[s] + sum over t of gamma^(t-s) (c[s] ... c[t-1]) delta[t],  up to the end of the episode
    delta[t] = rho[t] (rewards[t] + gamma next_values[t] - V[t]),  without next_values[t] where the episode terminated
    advantages[t] = rho[t] (rewards[t] + gamma after[t] - V[t]),  after[t] = vs[t+1], next_values[t] or 0

with ``rho = min(rho_clip, exp(log_ratios))`` and ``c = lam min(c_clip, exp(log_ratios))``. It shares no code with
`ppocore.advantages`, and is written for clarity, not speed.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from ppocore.testing.formulas.subject import Case, Results
from ppocore.typing import Array

EXACT = 8
"""Number of entries up to which fractions are used; floats are exact to a few units in the last place of the size."""


def vtrace_by_sums(case: Case, *, bootstrap: str = "vs", magnitudes: bool = False) -> Results:
    """Compute targets, advantages and ``errors``, which are targets minus values.

    Args:
        case: the arguments, time-major.
        bootstrap: what follows in an advantage: ``vs``, or ``lambda`` for ``lam * vs + (1 - lam) * V``.
        magnitudes: whether to add up the magnitudes of all terms.
    """
    rows, columns = case["rewards"].shape
    number: Any = Fraction if rows * columns <= EXACT and not magnitudes else float
    found = {name: np.zeros((rows, columns)) for name in ("vs", "advantages", "errors")}
    for i in range(columns):
        column = {name: x[:, i].tolist() if isinstance(x, np.ndarray) else x for name, x in case.items()}
        for name, numbers in _column(column, number, bootstrap, -1 if magnitudes else 1).items():
            found[name][:, i] = [float(x) for x in numbers]
    return found


def magnitude(case: Case, bootstrap: str) -> Array:
    """Return the sum of the magnitudes of the terms of the targets or the advantages, whichever is larger."""
    positive = {name: np.abs(case[name]) for name in ("rewards", "next_values", "values")}
    found = vtrace_by_sums({**case, **positive, "values": -positive["values"]}, bootstrap=bootstrap, magnitudes=True)
    size: Array = np.maximum(found["vs"], found["advantages"])
    return size


def _column(x: dict[str, Any], number: Any, bootstrap: str, sign: int) -> dict[str, list[Any]]:
    """Compute the results of one column; with ``sign`` -1 the values in ``x`` are negative, and count as positive."""
    gamma, lam = number(x["gamma"]), number(x["lam"])
    rewards, values, following = ([number(a) for a in x[name]] for name in ("rewards", "values", "next_values"))
    # Clipped as logarithms, so that nothing overflows.
    rho, c, pg_rho = (
        [number(math.exp(min(a, math.log(x[clip])))) for a in x["log_ratios"]]
        for clip in ("rho_clip", "c_clip", "pg_rho_clip")
    )
    length = len(rewards)
    residuals = []
    for t in range(length):
        successor = number(0) if x["terminated"][t] else following[t]
        residuals.append(rho[t] * (rewards[t] + gamma * successor - values[t]))
    targets = []
    for s in range(length):
        total, weight = number(0), number(1)
        for t in range(s, length):
            total += weight * residuals[t]
            if x["terminated"][t] or x["truncated"][t]:
                break
            weight *= gamma * lam * c[t]
        targets.append(sign * values[s] + total)
    advantages = []
    for t in range(length):
        if x["terminated"][t]:
            after = number(0)
        elif x["truncated"][t] or t == length - 1:
            after = following[t]
        elif bootstrap == "lambda":
            after = lam * targets[t + 1] + (1 - lam) * sign * values[t + 1]
        else:
            after = targets[t + 1]
        advantages.append(pg_rho[t] * (rewards[t] + gamma * after - values[t]))
    errors = [target - sign * value for target, value in zip(targets, values, strict=True)]
    return {"vs": targets, "advantages": advantages, "errors": errors}
