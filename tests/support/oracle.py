"""Compute the expected results of the estimators as explicit sums over episodes, one environment at a time.

No code is shared with the library: an episode's rows are listed, and every estimate is the O(T^2) sum over the rows
that follow in it. The numbers may be floats or ``fractions.Fraction``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

Column = list[Any]


class Rollout(NamedTuple):
    """Hold the arguments of `gae`, (T, N) each."""

    rewards: np.ndarray
    values: np.ndarray
    next_values: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray

    def without(self, *names: str) -> tuple[np.ndarray, ...]:
        return tuple(array for name, array in self._asdict().items() if name not in names)


def random_rollout(seed: int, length: int, columns: int, ends: float = 0.1, invalid: float = 0.0) -> Rollout:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(3, length, columns)) * 2
    flags = rng.random((2, length, columns)) < ends
    return Rollout(*numbers, *flags, rng.random((length, columns)) >= invalid)


@st.composite
def rollouts(draw: st.DrawFn, max_length: int = 40, invalid: bool = True) -> Rollout:
    """Draw rollouts with different densities of ends, also of both kinds at once, and of invalid rows."""
    return random_rollout(
        seed=draw(st.integers(0, 10**6)),
        length=draw(st.integers(1, max_length)),
        columns=draw(st.integers(1, 3)),
        ends=draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        invalid=draw(st.sampled_from([0.0, 0.2, 0.7])) if invalid else 0.0,
    )


unit = st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0])


def episodes(ended: list[bool], valid: list[bool]) -> list[list[int]]:
    """Return the valid rows of each episode of one column, in order; the last one may be unfinished."""
    found: list[list[int]] = [[]]
    for t, (end, is_valid) in enumerate(zip(ended, valid, strict=True)):
        if is_valid:
            found[-1].append(t)
            if end:
                found.append([])
    return [rows for rows in found if rows]


def column_gae(r: Column, v: Column, nv: Column, term: Column, trunc: Column, valid: Column, gamma: Any, lam: Any):
    """Compute A[t] = sum over k of (gamma lam)^k delta[t+k], up to the end of the episode."""
    advantages = [0 * gamma] * len(r)
    for rows in episodes([a or b for a, b in zip(term, trunc, strict=True)], valid):
        for i, t in enumerate(rows):
            for k, s in enumerate(rows[i:]):
                successor = 0 * gamma if term[s] else nv[s]
                advantages[t] += (gamma * lam) ** k * (r[s] + gamma * successor - v[s])
    return advantages


def column_n_step(r: Column, nv: Column, term: Column, trunc: Column, valid: Column, gamma: Any, n: int):
    """Sum at most n rewards of the episode and the value after the last of them."""
    returns = [0 * gamma] * len(r)
    for rows in episodes([a or b for a, b in zip(term, trunc, strict=True)], valid):
        for i, t in enumerate(rows):
            window = rows[i : i + n]
            total = sum((gamma**k * r[s] for k, s in enumerate(window)), 0 * gamma)
            last = window[-1]
            returns[t] = total if term[last] else total + gamma ** len(window) * nv[last]
    return returns


def column_lambda(r: Column, nv: Column, term: Column, trunc: Column, valid: Column, gamma: Any, lam: Any):
    """Compute (1 - lam) sum of lam^(n-1) G[n], with the rest of the weight on the longest return."""
    returns = [0 * gamma] * len(r)
    n_step = [column_n_step(r, nv, term, trunc, valid, gamma, n) for n in range(1, len(r) + 1)]
    for rows in episodes([a or b for a, b in zip(term, trunc, strict=True)], valid):
        for i, t in enumerate(rows):
            longest = len(rows) - i
            mixed = sum(((1 - lam) * lam ** (n - 1) * n_step[n - 1][t] for n in range(1, longest)), 0 * gamma)
            returns[t] = mixed + lam ** (longest - 1) * n_step[longest - 1][t]
    return returns


def column_vtrace(
    r: Column, v: Column, nv: Column, term: Column, trunc: Column, valid: Column, log_ratio: Column,
    gamma: float, lam: float, rho_clip: float, c_clip: float,
):  # fmt: skip
    """Compute equation 1 of Espeholt et al. 2018 and the advantage of its policy gradient."""
    targets, advantages = [0.0] * len(r), [0.0] * len(r)
    for rows in episodes([a or b for a, b in zip(term, trunc, strict=True)], valid):
        ratio = {t: float(np.exp(log_ratio[t])) for t in rows}
        rho = {t: min(rho_clip, ratio[t]) for t in rows}
        for i, t in enumerate(rows):
            total, trace = v[t], 1.0
            for k, s in enumerate(rows[i:]):
                successor = 0.0 if term[s] else nv[s]
                total += gamma**k * trace * rho[s] * (r[s] + gamma * successor - v[s])
                trace *= lam * min(c_clip, ratio[s])
            targets[t] = total
        for i, t in enumerate(rows):
            following = targets[rows[i + 1]] if i + 1 < len(rows) else (0.0 if term[t] else nv[t])
            advantages[t] = rho[t] * (r[t] + gamma * following - v[t])
    return targets, advantages


def by_column(column_function: Any, *arrays: Any, **parameters: Any) -> Any:
    """Apply one of the functions above to every column of (T, N) arrays."""
    length, columns = np.shape(arrays[0])
    flagged = [np.asarray(a) for a in arrays]
    results = [
        column_function(*[a[:, i].astype(float).tolist() if a.dtype != bool else a[:, i].tolist() for a in flagged],
                        **parameters)
        for i in range(columns)
    ]  # fmt: skip
    if results and isinstance(results[0], tuple):
        return tuple(np.array(part, float).T.reshape(length, columns) for part in zip(*results, strict=True))
    return np.array(results, float).T.reshape(length, columns)
