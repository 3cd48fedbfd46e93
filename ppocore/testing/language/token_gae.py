"""Say what a function that computes token-level advantages takes, and what is right.

The tokens that count are those where the mask is True: a sequence is these tokens, in order, as if the others (padding,
and what a tool or an observation put between turns) were deleted. Nothing follows the last of them.

    A[t] = delta[t] + gamma lam[t] A[next],   delta[t] = rewards[t] + gamma values[next] - values[t]

(Schulman et al. 2016, arXiv:1506.02438, equation 16), where ``next`` is the next token that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ppocore.testing.formulas.comparison import (
    by_definition,
    inputs_untouched,
    integer_rewards,
    large_arrays,
    well_formed,
)
from ppocore.testing.formulas.interface import Interface
from ppocore.testing.formulas.subject import Alternative, Case, Property, Results, Subject
from ppocore.testing.gae.trajectories import DISCOUNTS, SMALL
from ppocore.testing.language.advantages import (
    MISTAKES,
    NO_HOLES,
    advantages_by_sums,
    advantages_with,
    rewards_to_go,
)
from ppocore.testing.language.tokens import (
    FILLER,
    draw_mask,
    filled,
    masked_as_if_deleted,
    masked_entries_unread,
    sequences_apart,
    settled_mask,
)
from ppocore.testing.language.whitening import usual_whitenings, whiten
from ppocore.typing import Array

ROLES = {
    "rewards": "rewards (B, T)",
    "values": "values (B, T)",
    "all_values": "values (B, T + 1) with a 0 at the end",
    "mask": "flags (B, T) of the tokens that count",
    "lengths": "number (B,) of tokens of each sequence",
    "gamma": "discount",
    "lam": "lambda",
    "lambdas": "lambda (B, T) of each token",
}
ALIASES = {
    "rewards": "reward token_level_rewards r rews token_rewards",
    "values": "value v vals",
    "mask": "response_mask action_mask masks loss_mask eos_mask attention_mask padding_mask valid completion_mask",
    "lengths": "length response_length response_lengths sequence_lengths lens",
    "gamma": "discount discount_factor",
    "lam": "lambda lambda_ lmbda lambd gae_lambda lamb",
    "lambdas": "lams token_lambdas lambda_t lam_t per_token_lambda",
}
RESULT_ALIASES = {"advantages": "adv gae", "returns": "ret target value_target"}
LAYOUTS = {"batch": "usual", "time": "transposed", "single": "rows", "trailing": "trailing"}


class TokenGAE(Subject):
    """Describe token-level GAE as one function takes it.

    Args:
        interface: what the function takes.
        lam: the only lambda that it is meant for, or a function of the number of tokens; None for any.
        gamma: the only discount; None for any.
        padding: where padding may be: ``right``, ``left`` or ``both``.
        holes: whether tokens between others may be masked out.
        lam_at: whose lambda carries the next advantage: ``token`` or ``next``.
        returns: ``lambda``, ``rewards_to_go`` or ``any``.
        whitened: whether the advantages are whitened over the mask.
    """

    check = "check_token_gae"
    roles = ROLES
    aliases = ALIASES
    canonical = ("rewards", "values", "mask", "gamma", "lam")
    results = ("advantages", "returns")
    result_aliases = RESULT_ALIASES
    mistakes = MISTAKES
    properties: tuple[Property, ...] = (
        Property(well_formed),
        Property(inputs_untouched),
        Property(by_definition),
        Property(masked_entries_unread),
        Property(masked_as_if_deleted),
        Property(sequences_apart),
        Property(integer_rewards),
        Property(large_arrays, large=True),
    )
    layouts = LAYOUTS
    place = "token {1} of sequence {0}"
    sizes = ((5, 132), (33, 2), (2, 270), (130, 1))

    def __init__(
        self,
        interface: Interface,
        *,
        lam: float | Callable[[int], float] | None = None,
        gamma: float | None = None,
        padding: str = "both",
        holes: bool = True,
        lam_at: str = "token",
        returns: str = "lambda",
        whitened: bool = False,
    ) -> None:
        self.interface, self.lam, self.gamma, self.lam_at = interface, lam, gamma, lam_at
        self.padding, self.holes, self.returns, self.whitened = padding, holes, returns, whitened
        if not interface.has("mask"):
            self.padding, self.holes = "left" if padding == "left" else "right", False
        self.whitening = next(usual_whitenings())
        if whitened:  # what would have to hold for a single sequence does not
            self.properties = tuple(
                p for p in self.properties if p.name not in ("sequences_apart", "masked_as_if_deleted")
            )
            self.exact = False

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Case:
        """Draw sequences with rewards for every token or for the last one."""
        if kind == "random":
            rewards, values = rng.normal(size=(2, *shape)).round(3)
            lambdas = rng.uniform(0.3, 1.0, shape).round(2)
            gamma, lam = rng.choice([0.9, 0.7]), rng.choice([0.95, 0.4])
        else:
            rewards, values = rng.choice(SMALL[:6] if kind == "exact" else SMALL, (2, *shape))
            lambdas = np.full(shape, 0.5) if kind == "exact" else rng.choice([0.5, 1.0, 0.0, 0.9], shape)
            gamma, lam = (0.5, 0.5) if kind == "exact" else rng.choice(DISCOUNTS, 2)
        mask = draw_mask(rng, shape, padding=self.padding, holes=self.holes)
        if kind != "exact" and rng.random() < 0.3:  # as a reward model gives it
            later = np.cumsum(mask[:, ::-1], axis=1)[:, ::-1]
            rewards = np.where(mask & (later == 1), rewards, 0.0)
        case = {
            "rewards": rewards,
            "values": values,
            "lambdas": lambdas,
            "mask": mask,
            "gamma": float(gamma),
            "lam": float(lam),
        }
        return self.settle(case)

    def settle(self, case: Case) -> Case:
        """Fill what is masked out, and set the numbers that are declared."""
        mask = settled_mask(case["mask"], padding=self.padding, holes=self.holes)
        case = {**case, "mask": mask}
        if self.gamma is not None:
            case["gamma"] = self.gamma
        if isinstance(self.lam, int | float):
            case["lam"] = float(self.lam)
        elif self.lam is not None:
            case["lambdas"] = np.repeat([[float(self.lam(int(n)))] for n in mask.sum(1)], mask.shape[1], axis=1)
        if not self.per_token:
            case["lambdas"] = np.full(mask.shape, case["lam"])
        told = self.interface.has("mask") or self.interface.has("lengths")
        return filled(case, "rewards", "values", filler=FILLER if told else 0.0)

    @property
    def per_token(self) -> bool:
        """Tell whether lambda differs between tokens or sequences."""
        return self.interface.has("lambdas") or callable(self.lam)

    def arguments(self, case: Case) -> dict[str, Any]:
        """Return an array or a number for each role."""
        return {
            **case,
            "all_values": np.pad(case["values"], ((0, 0), (0, 1))),
            "lengths": case["mask"].sum(1),
        }

    def expected(self, case: Case) -> Results:
        """Compute advantages and returns by definition, as explicit sums."""
        raw = advantages_by_sums(case, self.lam_at)
        mask = case["mask"]
        values = np.where(mask, case["values"], 0.0)
        returns = rewards_to_go(case) if self.returns == "rewards_to_go" else np.where(mask, raw + values, 0.0)
        advantages = whiten(raw, mask, self.whitening) if self.whitened else raw
        return {"advantages": advantages, "returns": returns}

    def mistaken(self, case: Case, **changes: Any) -> Results:
        """Compute them by recursion, with mistakes."""
        returns = changes.pop("returns", self.returns)
        raw = advantages_with(case, **{"lam": "next" if self.lam_at == "next" else "token", **changes})
        mask = case["mask"]
        advantages = whiten(raw, mask, self.whitening) if self.whitened else raw
        base = advantages if returns == "whitened" else raw
        found = rewards_to_go(case) if returns in ("to_go", "rewards_to_go") else base + case["values"]
        return {"advantages": advantages, "returns": found}

    def magnitude(self, case: Case) -> Array:
        """Return the sum of the magnitudes of the terms."""
        positive = {**case, "rewards": np.abs(case["rewards"]), "values": np.abs(case["values"])}
        size = advantages_with(positive, minus=-1.0, lam="next" if self.lam_at == "next" else "token")
        size = np.where(case["mask"], size + np.abs(case["values"]), 0.0)
        if self.whitened:
            raw, mask = advantages_by_sums(case, self.lam_at), case["mask"]
            spread = max(float(raw[mask].std()), 1e-9)
            worst, farthest = float(size.max()), float(np.abs(raw[mask]).max())
            size = size + worst / spread * (2.0 + (farthest / spread) ** 2)
        return np.where(case["mask"], np.maximum(size, 1e-30), 1e6)

    def compared(self, case: Case, name: str) -> Array:
        """Tell which entries are to be right: those of tokens that count."""
        if name == "returns" and self.returns == "any":
            return np.zeros_like(case["mask"])
        found: Array = case["mask"]
        return found

    def regular(self, case: Case) -> bool:
        """Tell whether there are advantages to whiten that differ."""
        if not self.whitened:
            return True
        raw = advantages_by_sums(case, self.lam_at)[case["mask"]]
        return len(raw) > 2 and float(raw.std()) > 0.05 * float(np.abs(raw).max(initial=0.0)) > 0.0

    def variants(self) -> Iterator[Subject]:
        """Go through the ways to whiten, if the advantages are whitened."""
        if not self.whitened:
            yield self
            return
        for whitening in usual_whitenings():
            yield self.changed(whitening=whitening)

    def alternatives(self) -> Iterator[Alternative]:
        """Go through what programs do on purpose."""
        swapped = ("returns", "advantages")
        yield Alternative("it returns returns and advantages", "results='returns, advantages'", self, swapped)
        yield Alternative("it returns the returns alone", "results='returns'", self, ("returns",))
        if not self.whitened:
            other = TokenGAE(
                self.interface, lam=self.lam, gamma=self.gamma, padding=self.padding, holes=self.holes,
                lam_at=self.lam_at, returns=self.returns, whitened=True,
            )  # fmt: skip
            yield Alternative("its advantages are whitened over the mask", "whitened=True", other)
            yield Alternative(
                "its advantages are whitened over the mask and it returns returns and advantages",
                "whitened=True, results='returns, advantages'", other, swapped,
            )  # fmt: skip
        if self.padding == "both":
            yield Alternative("it is meant for padding on the right", "padding='right'", self.changed(padding="right"))
            yield Alternative("it is meant for padding on the left", "padding='left'", self.changed(padding="left"))
        if self.holes:
            other = self.changed(holes=False)
            yield Alternative("it is meant for sequences without tool tokens between", NO_HOLES, other)
            for side in ("right", "left") if self.padding == "both" else ():
                yield Alternative(
                    f"it is meant for sequences without tool tokens between, padded on the {side}",
                    f"{NO_HOLES}, padding={side!r}", self.changed(holes=False, padding=side),
                )  # fmt: skip

    def describe(self) -> str:
        """Say where padding and holes are, and how advantages are whitened."""
        holes = "with tokens masked out between others" if self.holes else "without tokens masked out between others"
        side = "either side" if self.padding == "both" else f"the {self.padding}"
        found = f"padding on {side}, {holes}"
        return f"{found}, advantages whitened with {self.whitening}" if self.whitened else found
