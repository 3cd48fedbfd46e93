"""Judge an advantage function on rollouts made by hand, against the definition in exact fractions.

It imports nothing from ``ppocore``, so that its verdicts and those of ``ppocore.testing`` can disagree. A candidate
takes (rewards, values, next_values, terminated, truncated, gamma, lam), NumPy arrays (T, N), and returns a dict with
``advantages``, ``returns`` or both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

Exact = list[list[Fraction]]
TOLERANCE = 1e-4
"""Difference, relative to the magnitudes of the case, that float32 explains and none of the cases' mistakes do."""


class Rollout(NamedTuple):
    """Hold the arguments of an advantage function; ``next_values`` are those of the true successors."""

    rewards: Any
    values: Any
    next_values: Any
    terminated: Any
    truncated: Any
    gamma: float
    lam: float


@dataclass(frozen=True)
class Expected:
    """Say what a function is expected to return.

    Attributes:
        lam: lambda of the advantages, if not the rollout's: 1 for returns by Monte Carlo.
        returns: ``lambda`` (advantages plus values) or ``to_go`` (discounted rewards and the last bootstrap).
        normalized: None, or the number subtracted from the count in the standard deviation: 0 or 1.
        policy_gradient: whether the advantages are V-trace's, ``r + gamma * v[t + 1] - V``.
    """

    lam: float | None = None
    returns: str = "lambda"
    normalized: int | None = None
    policy_gradient: bool = False


@dataclass
class Verdict:
    """Hold where a function differs from the definition, and the smallest case in which it does."""

    where: set[str] = field(default_factory=set)
    cases: int = 0
    smallest: str = ""

    @property
    def right(self) -> bool:
        """Tell whether it agreed in every case."""
        return not self.where

    def __str__(self) -> str:
        return "right" if self.right else "differs: " + ", ".join(self.causes())

    def causes(self) -> list[str]:
        """Return where it differs, without what follows from another entry."""
        kept = set()
        for label in self.where:
            plain = label.replace(" with integer rewards", "")
            # What is wrong with float rewards, too, is not a matter of the dtype, nor of the returns.
            others = {plain, plain.replace(" (returns)", ""), label.replace(" (returns)", "")} - {label}
            if not others & self.where:
                kept.add(label)
        return sorted(kept)


def rollouts() -> Iterator[Rollout]:
    """Yield the cases, the smallest first: every kind of end in every place of short rollouts, then longer ones."""
    kinds = {"open": (0, 0), "terminated": (1, 0), "truncated": (0, 1), "both": (1, 1)}
    for gamma, lam in ((0.5, 0.5), (0.5, 0.25), (1.0, 0.5), (0.5, 1.0), (0.5, 0.0)):
        for length in (1, 2, 3):
            for code in range(4**length):
                flags = [list(kinds.values())[(code // 4**k) % 4] for k in range(length)]
                yield _made([flags], gamma, lam)
    pattern = [(0, 0), (1, 0), (0, 0), (0, 0), (0, 1), (1, 1), (0, 0)]
    turned = [pattern[k:] + pattern[:k] for k in range(7)]
    for gamma, lam in ((0.5, 0.5), (0.75, 0.5)):
        yield _made(turned[:2], gamma, lam)
        yield _made(turned, gamma, lam)  # seven columns
        yield _made([(turned[k] * 21)[:141] for k in (0, 3)], gamma, lam)  # 141 rows
        whole = _made(turned[:3], gamma, lam)
        whole = whole._replace(rewards=np.rint(whole.rewards * 4).astype(np.int64))
        yield whole
        # Without a truncation no caller adds anything to a reward.
        ends = whole.terminated | whole.truncated
        ends[-1] = True
        yield whole._replace(terminated=ends, truncated=np.zeros_like(ends))


def definition(rollout: Rollout, lam: float | None = None) -> tuple[Exact, Exact]:
    """Return the advantages and the discounted rewards to go by their definitions, both as explicit sums."""
    length, columns = rollout.rewards.shape
    gamma = Fraction(rollout.gamma)
    decay = gamma * Fraction(rollout.lam if lam is None else lam)
    advantages = [[Fraction(0)] * columns for _ in range(length)]
    to_go = [[Fraction(0)] * columns for _ in range(length)]
    for i in range(columns):
        for first, last in pieces(rollout, i):
            rows = range(first, last + 1)
            rewards = [Fraction(rollout.rewards[t, i].item()) for t in rows]
            values = [Fraction(rollout.values[t, i].item()) for t in rows]
            bootstrap = Fraction(rollout.next_values[last, i].item()) * (not rollout.terminated[last, i])
            after = [*values[1:], bootstrap]
            deltas = [r + gamma * n - v for r, v, n in zip(rewards, values, after, strict=True)]
            for k, t in enumerate(rows):
                advantages[t][i] = sum((decay**j * delta for j, delta in enumerate(deltas[k:])), Fraction(0))
                total = sum((gamma**j * reward for j, reward in enumerate(rewards[k:])), Fraction(0))
                to_go[t][i] = total + gamma ** (len(rewards) - k) * bootstrap
    return advantages, to_go


def pieces(rollout: Rollout, column: int) -> list[tuple[int, int]]:
    """Return the first and last row of each episode of a column; the last one may continue after the rollout."""
    found, first = [], 0
    for t in range(len(rollout.rewards)):
        if rollout.terminated[t, column] or rollout.truncated[t, column] or t == len(rollout.rewards) - 1:
            found.append((first, t))
            first = t + 1
    return found


def judge(candidate: Callable[..., dict[str, Any]], expected: Expected, **limits: Any) -> Verdict:
    """Compare a candidate with the definition in every case.

    Args:
        candidate: as described in this module.
        expected: what it is expected to return.
        limits: ``fewest``, the number of steps below which it is not called; ``rows`` and ``columns``, the largest
            numbers of each; ``ends``, False to have only episodes that end within the rollout.
    """
    verdict = Verdict()
    for rollout in rollouts():
        if rollout.rewards.size < limits.get("fewest", 1):
            continue
        rows, columns = rollout.rewards.shape
        if rows > limits.get("rows", np.inf) or columns > limits.get("columns", np.inf):
            continue
        if not limits.get("ends", True) and not (rollout.terminated | rollout.truncated)[-1].all():
            continue
        _judge_one(candidate, expected, rollout, verdict)
    return verdict


def _judge_one(candidate: Any, expected: Expected, rollout: Rollout, verdict: Verdict) -> None:
    verdict.cases += 1
    given = rollout._replace(**{name: getattr(rollout, name).copy() for name in rollout._fields[:5]})
    try:
        with np.errstate(all="ignore"):
            found = candidate(*given)
    except (TypeError, RuntimeError, ValueError):
        if rollout.rewards.dtype.kind != "i":
            raise
        return  # it refuses integer rewards, and gives no wrong number
    changed = [name for name in rollout._fields[:5] if not np.array_equal(getattr(given, name), getattr(rollout, name))]
    labels = {f"writes to {name}" for name in changed} | {name for name in found if name.startswith("writes to ")}
    found = {name: array for name, array in found.items() if name in ("advantages", "returns")}
    wanted = _wanted(expected, rollout)
    for name in found:
        right, actual = wanted[name], np.asarray(found[name], np.float64)
        scale = 1.0 + np.abs(right) + np.abs(rollout.rewards).max() + np.abs(rollout.values).max()
        wrong = ~(np.abs(actual - right) <= TOLERANCE * scale)
        if expected.normalized is not None and name == "advantages":
            labels |= {"normalization"} if wrong.any() else set()
        else:
            labels |= _labels(rollout, wrong, name)
    if labels and not verdict.smallest:
        verdict.smallest = _shown(rollout, wanted, found)
    verdict.where |= labels


def _labels(rollout: Rollout, wrong: Any, name: str) -> set[str]:
    """Name the place of the last wrong row of each episode: what goes wrong there spreads to the rows before."""
    labels = set()
    for i in range(wrong.shape[1]):
        for first, last in pieces(rollout, i):
            rows = np.flatnonzero(wrong[first : last + 1, i])
            if not len(rows):
                continue
            row = first + int(rows[-1])
            kind = "inside an episode"
            if row == last:
                flags = (bool(rollout.terminated[row, i]), bool(rollout.truncated[row, i]))
                kind = {
                    (True, False): "termination",
                    (False, True): "truncation",
                    (True, True): "both flags",
                    (False, False): "open end",
                }[flags]
                if row == len(wrong) - 1 and kind != "open end":
                    kind += " in the last row"
            if rollout.rewards.dtype.kind == "i":
                kind += " with integer rewards"
            labels.add(kind if name == "advantages" else f"{kind} (returns)")
    return labels


def _wanted(expected: Expected, rollout: Rollout) -> dict[str, Any]:
    exact, to_go = definition(rollout, expected.lam)
    advantages = np.array([[float(a) for a in row] for row in exact]).reshape(rollout.rewards.shape)
    returns = advantages + rollout.values
    if expected.returns == "to_go":
        returns = np.array([[float(g) for g in row] for row in to_go]).reshape(rollout.rewards.shape)
    if expected.policy_gradient:
        ended = rollout.terminated | rollout.truncated
        after = np.where(rollout.terminated, 0.0, rollout.next_values)
        inside = ~ended
        inside[-1] = False
        after = np.where(inside, np.concatenate([returns[1:], returns[:1]]), after)
        advantages = rollout.rewards + rollout.gamma * after - rollout.values
    if expected.normalized is not None:
        deviation = advantages.std(ddof=expected.normalized) if advantages.size > expected.normalized else np.nan
        advantages = (advantages - advantages.mean()) / deviation
        advantages = np.where(np.isfinite(advantages), advantages, np.nan)
    return {"advantages": advantages, "returns": returns}


def _shown(rollout: Rollout, wanted: dict[str, Any], found: dict[str, Any]) -> str:
    lines = []
    for name in rollout._fields[:5]:
        lines.append(f"{name} = np.array({getattr(rollout, name).tolist()})")
    lines.append(f"gamma, lam = {rollout.gamma}, {rollout.lam}")
    for name in found:
        lines.append(f"# {name}: expected {wanted[name].tolist()}, actual {np.asarray(found[name]).tolist()}")
    return "\n".join(lines)


def _made(columns: list[list[tuple[int, int]]], gamma: float, lam: float) -> Rollout:
    """Make a rollout with the given ends and numbers that are exact in float32."""
    length, count = len(columns[0]), len(columns)
    flags = np.array(columns, bool).transpose(1, 0, 2)
    terminated, truncated = flags[..., 0], flags[..., 1]
    index = np.arange(length * count).reshape(count, length).T
    rewards = (index * 5 % 7 + 4) / 4.0
    values = (index * 3 % 5 + 2) / 8.0
    next_values = (index * 2 % 11 + 5) / 2.0
    inside = ~(terminated | truncated)
    inside[-1] = False
    next_values = np.where(inside, np.concatenate([values[1:], values[:1]]), next_values)
    return Rollout(rewards, values, next_values, terminated.copy(), truncated.copy(), gamma, lam)
