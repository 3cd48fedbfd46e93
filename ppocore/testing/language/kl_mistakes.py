"""Compute rewards with a KL penalty, with known mistakes."""

from __future__ import annotations

import numpy as np

from ppocore.testing.formulas.subject import Case, Mistake
from ppocore.testing.language.tokens import last_tokens
from ppocore.typing import Array

NO_HOLES = "holes=False, padding='right'"
MISTAKES: dict[str, Mistake] = {
    "sign of the KL": Mistake("the penalty is added, or the reference stands before the policy", {"sign": 1.0}),
    "reference before the policy": Mistake("the ratio in the estimate is inverted", {"inverted": True}),
    "KL missing": Mistake("beta is not used: the rewards are the scores alone", {"sign": 0.0}),
    "beta missing": Mistake("the penalty is not multiplied by beta", {"beta": "one"}),
    "beta times the score": Mistake("the score is multiplied by beta, too", {"score_by": "beta"}),
    "score missing": Mistake("the score of the sequence is not added", {"score_by": "zero"}),
    "score replaces the KL of the last token": Mistake(
        "the last token pays no KL, because the score is written over it", {"last_kl": False}
    ),
    "score in the last column": Mistake(
        "the score is put on the last position, which may be padding", {"score_at": "column"}, NO_HOLES
    ),
    "score at the number of tokens": Mistake(
        "the score is put at the number of tokens - 1, which is another token with padding on the left or with "
        "tokens masked out between",
        {"score_at": "count"},
        NO_HOLES,
    ),
    "score after the last token": Mistake("the score is put a token late", {"score_at": "after"}),
    "score before the last token": Mistake("the score is put a token early", {"score_at": "before"}),
    "score at the end of the first turn": Mistake(
        "the score is put before the first masked-out token between turns", {"score_at": "turn"}
    ),
    "score on the first token": Mistake("the score is put on the first token", {"score_at": "first"}),
    "score on every token": Mistake("the score is added to every token", {"score_at": "all"}),
    "KL of the token before": Mistake("the penalty is put on the wrong token, a token late", {"kl_at": "late"}),
    "KL of the next token": Mistake("the penalty is put on the wrong token, a token early", {"kl_at": "early"}),
    "KL of the sequence on the last token": Mistake(
        "the sum of the penalties is put on the last token", {"kl_at": "last"}
    ),
    "KL of the sequence on every token": Mistake(
        "every token pays the penalty of the whole sequence", {"kl_at": "sum"}
    ),
    "mean KL on every token": Mistake("every token pays the mean of the penalties of the sequence", {"kl_at": "mean"}),
    "half missing in k2": Mistake("the square is not halved", {"half": False}),
    "1 missing in k3": Mistake("1 is not subtracted", {"one": False}),
}


def estimate(case: Case, estimator: str, *, inverted: bool = False, half: bool = True, one: bool = True) -> Array:
    """Estimate the divergence for each token, with mistakes."""
    d = (case["log_probs"] - case["ref_log_probs"]) * (-1.0 if inverted else 1.0)
    found: Array = {
        "k1": d,
        "k2": d**2 * (0.5 if half else 1.0),
        "k3": np.exp(-d) + d - (1.0 if one else 0.0),
        "abs": np.abs(d),
    }[estimator]
    return found


def rewards_with(
    case: Case,
    estimator: str,
    *,
    sign: float = -1.0,
    beta: str = "beta",
    score_by: str = "one",
    score_at: str = "last",
    last_kl: bool = True,
    kl_at: str = "own",
    inverted: bool = False,
    half: bool = True,
    one: bool = True,
) -> Array:
    """Compute rewards with mistakes; see `MISTAKES`."""
    mask, columns = case["mask"], case["mask"].shape[1]
    penalty = np.where(mask, estimate(case, estimator, inverted=inverted, half=half, one=one), 0.0)
    last, rows = last_tokens(mask), np.arange(len(mask))
    counts = mask.sum(axis=1)
    if kl_at in ("sum", "mean"):
        whole = penalty.sum(axis=1) / (counts if kl_at == "mean" else 1)
        penalty = np.where(mask, whole[:, None], 0.0)
    elif kl_at == "last":
        whole, penalty = penalty.sum(axis=1), np.zeros(mask.shape)
        penalty[rows, last] = whole
    elif kl_at != "own":
        penalty = np.roll(penalty, 1 if kl_at == "late" else -1, axis=1)
        penalty[:, 0 if kl_at == "late" else -1] = 0.0
        penalty = np.where(mask, penalty, 0.0)
    rewards = sign * (case["beta"] if beta == "beta" else 1.0) * penalty
    if not last_kl:
        rewards[rows, last] = 0.0
    scores = case["scores"] * {"one": 1.0, "beta": case["beta"], "zero": 0.0}[score_by]
    if score_at == "all":
        return np.where(mask, rewards + scores[:, None], rewards)
    first = np.argmax(mask, axis=1)
    turn = first + np.argmin(np.concatenate([mask[:, :], np.zeros_like(mask[:, :1])], 1)[rows[:, None], np.minimum(
        first[:, None] + np.arange(columns + 1), columns)], axis=1) - 1  # fmt: skip
    places = {
        "last": last,
        "column": np.full_like(last, columns - 1),
        "count": counts - 1,
        "after": np.minimum(last + 1, columns - 1),
        "before": np.maximum(last - 1, 0),
        "first": first,
        "turn": turn,
    }[score_at]
    rewards[rows, places] += scores
    return rewards
