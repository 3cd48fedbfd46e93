"""Say what a function that computes rewards with a KL penalty takes, and what is right.

    rewards[t] = -beta kl[t] + (the score of the sequence, at the last token that counts),  0 where masked out

with an estimate of the divergence of the policy from the reference for each token, where d = log_probs -
ref_log_probs (Schulman 2020, *Approximating KL divergence*):

    k1 = d,   k2 = d^2 / 2,   k3 = exp(-d) - 1 + d,   abs = |d|
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.comparison import (
    by_definition,
    inputs_untouched,
    large_arrays,
    outcome_of,
    require_close,
    well_formed,
)
from ppocore.testing.formulas.interface import Interface
from ppocore.testing.formulas.subject import Alternative, Case, Inapplicable, Property, Results, Subject
from ppocore.testing.language.kl_mistakes import MISTAKES, NO_HOLES, estimate, rewards_with
from ppocore.testing.language.tokens import (
    draw_mask,
    filled,
    last_tokens,
    masked_entries_unread,
    sequences_apart,
    settled_mask,
)
from ppocore.typing import Array

ESTIMATORS = ("k1", "k2", "k3", "abs")
OUTSIDE = ("zero", "any")
ROLES = {
    "scores": "scores (B,) of the sequences",
    "token_scores": "scores (B, T), 0 but at the last token that counts",
    "log_probs": "log-probabilities (B, T) of the policy",
    "ref_log_probs": "log-probabilities (B, T) of the reference",
    "kl": "estimates (B, T) of the divergence",
    "mask": "flags (B, T) of the tokens that count",
    "lengths": "number (B,) of tokens of each sequence",
    "beta": "coefficient of the penalty",
}
ALIASES = {
    "scores": "score r reward rewards reward_scores sequence_rewards outcome_rewards",
    "token_scores": "token_level_scores token_level_score",
    "log_probs": "logprobs logp log_probs_policy policy_logprobs logprob old_log_probs log_prob action_log_probs",
    "ref_log_probs": "ref_logprobs ref_logp ref_log_prob reference_logprobs ref_logprob base_action_log_probs "
    "reference_log_probs",
    "kl": "kls kld kl_divergence token_kl",
    "mask": "response_mask action_mask masks loss_mask attention_mask eos_mask completion_mask",
    "lengths": "length response_length response_lengths sequence_lengths lens",
    "beta": "kl_coef kl_ctl kl_penalty kl_beta kl_coeff kl_weight",
}
RESULT_ALIASES = {"rewards": "reward token_level_reward", "kl": "kl"}
LAYOUTS = {"batch": "usual", "time": "transposed", "single": "rows", "trailing": "trailing"}


class KLRewards(Subject):
    """Describe rewards with a KL penalty as one function takes it.

    Args:
        interface: what the function takes.
        estimator: of the divergence: a name in `ESTIMATORS`.
        beta: the only coefficient that it is meant for; None for any.
        padding: where padding may be: ``right``, ``left`` or ``both``.
        holes: whether tokens between others may be masked out.
        outside: what masked-out entries are: ``zero``, or ``any``.
    """

    check = "check_kl_rewards"
    roles = ROLES
    aliases = ALIASES
    canonical = ("scores", "log_probs", "ref_log_probs", "mask", "beta")
    results = ("rewards", "kl")
    result_aliases = RESULT_ALIASES
    mistakes = MISTAKES
    layouts = LAYOUTS
    place = "token {1} of sequence {0}"
    sizes = ((5, 132), (33, 2), (2, 270), (130, 1))

    def __init__(
        self,
        interface: Interface,
        *,
        estimator: str = "k1",
        beta: float | None = None,
        padding: str = "both",
        holes: bool = True,
        outside: str = "zero",
    ) -> None:
        self.interface, self.estimator, self.beta = interface, estimator, beta
        self.padding, self.holes, self.outside = padding, holes, outside
        if not interface.has("mask"):
            self.padding, self.holes = "left" if padding == "left" else "right", False
            if not interface.has("lengths"):
                self.outside = "any"

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Case:
        """Draw sequences whose policies differ, in both directions."""
        if kind == "random":
            ref = -rng.uniform(0.5, 3.0, shape).round(2)
            differences, scores = (
                rng.normal(0.0, 0.6, shape).clip(-1.5, 1.5).round(2),
                rng.normal(size=shape[0]).round(2),
            )
            beta = float(rng.choice([0.1, 0.05, 0.3]))
        else:
            ref = -rng.choice([1.0, 2.0, 0.5], shape)
            differences = rng.choice([0.5, -0.5, 1.0, 0.0], shape)
            if kind == "exact" and self.estimator == "k3":
                differences = np.zeros(shape)
            scores, beta = rng.choice([1.0, -1.0, 2.0], shape[0]), float(rng.choice([0.5, 0.25]))
        mask = draw_mask(rng, shape, padding=self.padding, holes=self.holes)
        return self.settle(
            {"scores": scores, "log_probs": ref + differences, "ref_log_probs": ref, "mask": mask, "beta": beta}
        )

    def settle(self, case: Case) -> Case:
        """Fill what is masked out, and set the coefficient that is declared."""
        case = {**case, "mask": settled_mask(case["mask"], padding=self.padding, holes=self.holes)}
        if self.beta is not None:
            case["beta"] = self.beta
        case = filled(case, "ref_log_probs", filler=2.0)
        return {**case, "log_probs": np.where(case["mask"], case["log_probs"], case["ref_log_probs"] + 1.0)}

    def arguments(self, case: Case) -> dict[str, Any]:
        """Return an array or a number for each role."""
        token_scores = np.zeros(case["mask"].shape)
        token_scores[np.arange(len(token_scores)), last_tokens(case["mask"])] = case["scores"]
        return {
            **case,
            "token_scores": token_scores,
            "kl": estimate(case, self.estimator),
            "lengths": case["mask"].sum(1),
        }

    def expected(self, case: Case) -> Results:
        """Compute rewards and estimates token by token."""
        mask = case["mask"]
        rewards, estimates = np.zeros(mask.shape), np.zeros(mask.shape)
        for b in range(len(mask)):
            tokens = np.flatnonzero(mask[b]).tolist()
            for t in tokens:
                d = float(case["log_probs"][b, t]) - float(case["ref_log_probs"][b, t])
                estimates[b, t] = {"k1": d, "k2": d * d / 2, "k3": math.expm1(-d) + d, "abs": abs(d)}[self.estimator]
                rewards[b, t] = -case["beta"] * estimates[b, t]
            rewards[b, tokens[-1]] += float(case["scores"][b])
        return {"rewards": rewards, "kl": estimates}

    def mistaken(self, case: Case, **changes: Any) -> Results:
        """Compute them at once, with mistakes."""
        return {"rewards": rewards_with(case, self.estimator, **changes), "kl": self.expected(case)["kl"]}

    def magnitude(self, case: Case) -> Array:
        """Return the sum of the magnitudes of the terms, the sensitivity to the logarithms among them."""
        d = np.where(case["mask"], np.abs(case["log_probs"] - case["ref_log_probs"]), 0.0)
        logs = np.where(case["mask"], np.abs(case["log_probs"]) + np.abs(case["ref_log_probs"]), 1.0)
        factor = {"k1": 1.0, "abs": 1.0, "k2": 1.0 + d, "k3": 2.0 * np.exp(d)}[self.estimator]
        size: Array = (1.0 + abs(case["beta"])) * factor * (1.0 + logs) + np.abs(case["scores"])[:, None]
        return size

    def compared(self, case: Case, name: str) -> Array:
        """Tell which entries are to be right."""
        found: Array = case["mask"] if self.outside == "any" or name == "kl" else np.ones_like(case["mask"])
        return found

    def alternatives(self) -> Iterator[Alternative]:
        """Go through other estimators, and functions that leave the mask to their caller."""
        if self.outside == "zero":
            other = self.changed(outside="any")
            yield Alternative("rewards of masked-out tokens are not 0", "outside='any'", other)
        for estimator in ESTIMATORS:
            if estimator == self.estimator or self.interface.has("kl"):
                continue
            other = self.changed(estimator=estimator)
            yield Alternative(f"the estimate of the divergence is {estimator}", f"estimator={estimator!r}", other)
            if self.outside == "zero":
                yield Alternative(
                    f"the estimate of the divergence is {estimator}, and rewards of masked-out tokens are not 0",
                    f"estimator={estimator!r}, outside='any'", other.changed(outside="any"),
                )  # fmt: skip
        yield Alternative("it returns the estimates and the rewards", "results='kl, rewards'", self, ("kl", "rewards"))
        if self.holes or self.padding == "both":
            other = self.changed(holes=False, padding="right")
            yield Alternative("it is meant for single turns that are padded on the right", NO_HOLES, other)

    def describe(self) -> str:
        """Say which estimator, and where padding and holes are."""
        holes = "with tokens masked out between others" if self.holes else "without tokens masked out between others"
        side = "either side" if self.padding == "both" else f"the {self.padding}"
        return f"estimator {self.estimator}, padding on {side}, {holes}"


def scores_alone_without_beta(candidate: Candidate, case: Case) -> None:
    """Require that with beta 0 the rewards are the scores, at the last token that counts."""
    if case["beta"] == 0.0 or not candidate.interface.has("beta"):
        raise Inapplicable("its coefficient is declared")
    changed = {**case, "beta": 0.0}
    rewards = candidate.subject.arguments(changed)["token_scores"]
    expected = {"rewards": rewards, "kl": candidate.subject.expected(changed)["kl"]}
    require_close("with beta 0", candidate, changed, expected, outcome_of(candidate, changed))


def no_penalty_for_the_reference(candidate: Candidate, case: Case) -> None:
    """Require that a policy that is the reference pays nothing."""
    changed = {**case, "log_probs": case["ref_log_probs"]}
    rewards = candidate.subject.arguments(changed)["token_scores"]
    expected = {"rewards": rewards, "kl": np.zeros_like(rewards)}
    require_close("a policy that is the reference", candidate, changed, expected, outcome_of(candidate, changed))


KLRewards.properties = (
    Property(well_formed),
    Property(inputs_untouched),
    Property(by_definition),
    Property(scores_alone_without_beta),
    Property(no_penalty_for_the_reference),
    Property(masked_entries_unread),
    Property(sequences_apart),
    Property(large_arrays, large=True),
)
