"""Compute token-level advantages by definition, and with known mistakes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ppocore.testing.formulas.subject import Case, Mistake
from ppocore.typing import Array

NO_HOLES = "holes=False"
MISTAKES: dict[str, Mistake] = {
    "mask ignored": Mistake("padding and tool tokens count like any other", {"skip": "nothing"}),
    "masked-out tokens of value 0": Mistake(
        "a tool's tokens between turns count as steps without reward, whose value is 0", {"skip": "zeroed"}, NO_HOLES
    ),
    "next value read through the padding": Mistake(
        "the last token bootstraps from the value of the padding after it", {"last": "padding"}
    ),
    "last token bootstraps from its own value": Mistake("what follows a sequence is worth something", {"last": "own"}),
    "bootstraps from the tool token": Mistake(
        "the last token of a turn takes the value of the masked-out token after it", {"hole": "bootstrap"}, NO_HOLES
    ),
    "a hole is worth nothing": Mistake(
        "the last token of a turn bootstraps from 0, as if its value were masked", {"hole": "zero"}, NO_HOLES
    ),
    "a hole ends the sequence": Mistake(
        "neither value nor trace of the next turn reach the turn before it", {"hole": "end"}, NO_HOLES
    ),
    "a hole cuts the trace": Mistake("the trace starts again after a hole", {"hole": "cut"}, NO_HOLES),
    "a hole decays the trace": Mistake(
        "each masked-out token between turns discounts like a step", {"hole": "decay"}, NO_HOLES
    ),
    "a hole's rewards count": Mistake("rewards of masked-out tokens are added", {"hole": "rewards"}),
    "lambda missing": Mistake("the trace does not decay with lambda", {"lam": "one"}),
    "gamma missing in the trace": Mistake("later residuals are not discounted", {"trace_gamma": False}),
    "gamma missing in the residual": Mistake("the next value is not discounted", {"residual_gamma": False}),
    "lambda of the next token": Mistake(
        "lam[next] in place of lam[t] carries the next token's advantage", {"lam": "next"}, "lam_at='next'"
    ),
    "lambda of the first token": Mistake("every token decays with the first token's lambda", {"lam": "first"}),
    "no baseline": Mistake("the token's own value is not subtracted", {"baseline": False}),
    "next value missing": Mistake("nothing is bootstrapped within a sequence", {"next_value": False}),
    "reward of the next token": Mistake("rewards count a token early", {"reward": "next"}),
    "reward of the token before": Mistake("rewards count a token late", {"reward": "before"}),
    "advantages cut at the last token": Mistake("the last token gets 0", {"last": "dropped"}),
    "returns are the rewards to go": Mistake(
        "returns are discounted rewards, not advantages + values", {"returns": "to_go"}, "returns='rewards_to_go'"
    ),
    "returns of whitened advantages": Mistake(
        "returns are values plus advantages that are whitened already", {"returns": "whitened"}
    ),
}


def advantages_by_sums(case: Case, lam_at: str) -> Array:
    """Compute advantages (B, T) as explicit sums over the tokens that count; 0 elsewhere."""
    mask = case["mask"]
    number: Any = Fraction if mask.size <= 8 else float
    gamma = number(case["gamma"])
    found = np.zeros(mask.shape)
    for b in range(len(mask)):
        tokens = np.flatnonzero(mask[b]).tolist()
        rewards, values, lambdas = (
            [number(float(case[name][b, t])) for t in tokens] for name in ("rewards", "values", "lambdas")
        )
        deltas = [
            r + gamma * following - v for r, v, following in zip(rewards, values, [*values[1:], number(0)], strict=True)
        ]
        for first, t in enumerate(tokens):
            total, weight = number(0), number(1)
            for k in range(first, len(tokens)):
                total += weight * deltas[k]
                carrying = lambdas[min(k + 1, len(tokens) - 1)] if lam_at == "next" else lambdas[k]
                weight *= gamma * carrying
            found[b, t] = float(total)
    return found


def rewards_to_go(case: Case) -> Array:
    """Compute the discounted sums (B, T) of the rewards of the tokens that count."""
    found, mask = np.zeros(case["mask"].shape), case["mask"]
    for b in range(len(mask)):
        total = 0.0
        for t in np.flatnonzero(mask[b])[::-1]:
            total = float(case["rewards"][b, t]) + case["gamma"] * total
            found[b, t] = total
    return found


def advantages_with(
    case: Case,
    *,
    skip: str = "masked",
    hole: str = "deleted",
    last: str = "zero",
    lam: str = "token",
    trace_gamma: bool = True,
    residual_gamma: bool = True,
    baseline: bool = True,
    next_value: bool = True,
    reward: str = "own",
    minus: float = 1.0,
) -> Array:
    """Compute advantages (B, T) by recursion, with mistakes; see `MISTAKES`."""
    mask, gamma = case["mask"], case["gamma"]
    used = mask if skip == "masked" else np.ones_like(mask)
    found = np.zeros(mask.shape)
    for b in range(len(mask)):
        rewards, values, lambdas = case["rewards"][b] * 1.0, case["values"][b], case["lambdas"][b]
        if skip == "zeroed":
            rewards, values = rewards * mask[b], values * mask[b]
        tokens = np.flatnonzero(used[b])
        following, trace, carrying = 0.0, 0.0, lambdas[tokens[-1]]
        if last == "padding" and tokens[-1] + 1 < len(values):
            following = values[tokens[-1] + 1]
        elif last == "own":
            following = values[tokens[-1]]
        for place in reversed(range(len(tokens))):
            t = tokens[place]
            gap = tokens[place + 1] - t - 1 if place + 1 < len(tokens) else 0
            extra = 0.0
            if gap and hole == "rewards":
                extra = rewards[t + 1 : t + 1 + gap].sum()
            if gap and hole == "bootstrap":
                following = values[t + 1]
            if gap and hole in ("zero", "end"):
                following = 0.0
            if gap and hole in ("cut", "end"):
                trace = 0.0
            if gap and hole == "decay":
                trace *= (gamma * lambdas[t]) ** gap
            own = rewards[t] + extra
            if reward != "own":
                other = place + 1 if reward == "next" else place - 1
                own = rewards[tokens[other]] if 0 <= other < len(tokens) else 0.0
            follow = following if next_value or place == len(tokens) - 1 else 0.0
            delta = own + (gamma if residual_gamma else 1.0) * follow - minus * (values[t] if baseline else 0.0)
            decay = {"one": 1.0, "next": carrying, "first": lambdas[tokens[0]]}.get(lam, lambdas[t])
            trace = delta + (gamma if trace_gamma else 1.0) * decay * trace
            found[b, t] = 0.0 if last == "dropped" and place == len(tokens) - 1 else trace
            following, carrying = values[t], lambdas[t]
    return found
