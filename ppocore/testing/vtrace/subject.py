"""Say what a function that computes V-trace takes, and draw its arguments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ppocore.errors import UsageError
from ppocore.testing.formulas.interface import Argument, Interface
from ppocore.testing.formulas.subject import Alternative, Case, Results, Subject
from ppocore.testing.gae.trajectories import DISCOUNTS, SMALL
from ppocore.testing.vtrace.mistakes import MISTAKES, vtrace_with
from ppocore.testing.vtrace.oracle import magnitude, vtrace_by_sums
from ppocore.testing.vtrace.properties import PROPERTIES
from ppocore.typing import Array

CLIPS = (1.0, 2.0, 0.5)
ORDERS = (("advantages", "vs"), ("errors", "advantages"), ("advantages", "errors"), ("errors",), ("advantages",))


ROLES = {
    "rewards": "rewards (T, N)",
    "values": "values (T, N)",
    "all_values": "values (T + 1, N), the last row of what follows the last step",
    "next_values": "values (T, N) of the successors",
    "last_values": "values (N,) of what follows the last step",
    "terminated": "flags (T, N): terminated with this step",
    "truncated": "flags (T, N): truncated with this step",
    "dones": "flags (T, N): ended with this step",
    "masks": "1 - dones",
    "discounts": "gamma * (1 - dones)",
    "log_ratios": "logarithms (T, N) of the importance ratios",
    "ratios": "importance ratios (T, N)",
    "log_probs": "log-probabilities (T, N) of the learner",
    "actor_log_probs": "log-probabilities (T, N) of the actor",
    "gamma": "discount",
    "lam": "factor of the traces",
    "rho_clip": "bound of rho in the residuals, and in the advantages unless there is pg_rho_clip",
    "pg_rho_clip": "bound of rho in the advantages",
    "c_clip": "bound of c",
}
ALIASES = {
    "rewards": "reward r r_t rews",
    "values": "value v v_tm1 vals baselines value_estimates",
    "all_values": "values_ext values_full",
    "next_values": "v_t v_tp1 values_next successor_values",
    "last_values": "last_value bootstrap_value bootstrap_values bootstrap final_value next_value",
    "terminated": "terminations terminals terminal",
    "truncated": "truncations truncation",
    "dones": "done d is_done ended",
    "masks": "mask nonterminals not_done not_dones continues",
    "discounts": "discount_t pcontinues",
    "log_ratios": "log_ratio log_rhos log_rho log_importance_weights log_is log_ratio_t",
    "ratios": "ratio rhos rho rho_tm1 importance_weights is_ratios importance_sampling_ratios",
    "log_probs": "target_log_probs target_logp target_action_log_probs learner_log_probs new_log_probs curr_log_probs",
    "actor_log_probs": "behavior_log_probs behaviour_log_probs behavior_logp behaviour_action_log_probs old_log_probs",
    "gamma": "discount discount_factor",
    "lam": "lambda lambda_ lmbda lamb gae_lambda td_lambda trace_decay",
    "rho_clip": "clip_rho_threshold rho_bar clip_rho rho_max vtrace_rho_clip rho_threshold",
    "pg_rho_clip": "clip_pg_rho_threshold clip_pg_rho pg_rho_threshold",
    "c_clip": "clip_c_threshold c_bar clip_c clip_cs_threshold c_max vtrace_c_clip c_threshold",
}
RESULT_ALIASES = {
    "vs": "vs target vtrace_target returns",
    "advantages": "adv pg_adv clipped_adv",
    "errors": "error td_error",
}
LAYOUTS = {"time": "usual", "batch": "transposed", "column": "columns", "trailing": "trailing"}


class VTrace(Subject):
    """Describe V-trace as one function takes it.

    Args:
        interface: what the function takes.
        fixed: numbers that are always the same: those that are declared, and those that it does not take.
        bootstrap: what follows in an advantage: ``vs``, or ``lambda`` for ``lam * vs + (1 - lam) * V``.
    """

    check = "check_vtrace"
    roles = ROLES
    aliases = ALIASES
    canonical = tuple("rewards values next_values terminated truncated log_ratios gamma lam rho_clip c_clip".split())
    results = ("vs", "advantages")
    result_aliases = RESULT_ALIASES
    mistakes = MISTAKES
    properties = PROPERTIES
    layouts = LAYOUTS
    place = "row {} of column {}"
    sizes = ((132, 5), (2, 33), (270, 2), (1, 130))

    def __init__(self, interface: Interface, fixed: dict[str, float], bootstrap: str = "vs") -> None:
        has = interface.has
        self.interface, self.fixed, self.bootstrap = interface, fixed, bootstrap
        self.truncations = has("next_values") and (has("truncated") or has("terminated", "dones"))

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Case:
        """Draw a case with ends of every kind and ratios on both sides of the bounds."""
        if kind == "random":
            rewards, values, finals = rng.normal(size=(3, *shape)).round(3)
            log_ratios = rng.normal(0.0, 0.8, shape).round(3)
            numbers = {"gamma": rng.choice([0.9, 0.7]), "lam": rng.choice([0.95, 0.4])}
            numbers |= {"rho_clip": rng.choice([1.0, 1.7]), "c_clip": rng.choice([0.6, 1.2])}
            numbers["pg_rho_clip"] = rng.choice([0.8, 1.4])
        else:
            rewards, values, finals = rng.choice(SMALL[:6] if kind == "exact" else SMALL, (3, *shape))
            log_ratios = np.zeros(shape) if kind == "exact" else rng.choice([0.0, 1.0, -1.0, 0.5], shape)
            names = ("gamma", "lam", "rho_clip", "c_clip", "pg_rho_clip")
            drawn = [rng.choice(DISCOUNTS), rng.choice(DISCOUNTS), *rng.choice(CLIPS, 3)]
            if kind == "exact":
                drawn = [0.5, 0.5, *rng.choice([1.0, 0.5], 3)]
            numbers = dict(zip(names, drawn, strict=True))
        ends = 0.05 if max(shape) > 20 else 0.22
        terminated, truncated = rng.random((2, *shape)) < ends
        case = {
            "rewards": rewards,
            "values": values,
            "next_values": finals,
            "terminated": terminated,
            "truncated": truncated & self.truncations,
            "log_ratios": log_ratios,
            **{name: float(number) for name, number in numbers.items()},
        }
        return self.settle(case)

    def settle(self, case: Case) -> Case:
        """Return a case with the values of true successors, as far as the function can tell them."""
        ended = case["terminated"] | case["truncated"]
        found = case["next_values"].copy()
        if not self.interface.has("next_values"):
            ended = np.zeros_like(ended)
        found[:-1] = np.where(ended[:-1], found[:-1], case["values"][1:])
        case = {**case, "next_values": found, **self.fixed}
        if not self.interface.has("pg_rho_clip") and "pg_rho_clip" not in self.fixed:
            case["pg_rho_clip"] = case["rho_clip"]
        return case

    def arguments(self, case: Case) -> dict[str, Any]:
        """Return an array or a number for each role."""
        dones = case["terminated"] | case["truncated"]
        return {
            **case,
            "all_values": np.concatenate([case["values"], case["next_values"][-1:]]),
            "last_values": case["next_values"][-1],
            "dones": dones,
            "masks": ~dones,
            "discounts": case["gamma"] * (1.0 - case["terminated"]),
            "ratios": np.exp(case["log_ratios"]),
            "log_probs": case["log_ratios"] - 1.0,
            "actor_log_probs": np.full_like(case["log_ratios"], -1.0),
        }

    def expected(self, case: Case) -> Results:
        """Compute targets, advantages and errors by definition."""
        return vtrace_by_sums(case, bootstrap=self.bootstrap)

    def mistaken(self, case: Case, **changes: Any) -> Results:
        """Compute them by recursion, with mistakes."""
        by_ratios = self.interface.has("ratios")
        return vtrace_with(case, bootstrap=self.bootstrap, by_ratios=by_ratios, **changes)

    def magnitude(self, case: Case) -> Array:
        """Return the sum of the magnitudes of the terms."""
        return magnitude(case, self.bootstrap)

    def alternatives(self) -> Iterator[Alternative]:
        """Go through other orders of the results, and what else may follow in an advantage."""
        for order in ORDERS:
            named = ", ".join(order)
            yield Alternative(f"it returns {' and '.join(order)}", f"results={named!r}", self, order)
        if self.bootstrap == "vs":
            other = self.changed(bootstrap="lambda")
            says = "with lambda its advantages bootstrap from lam * vs + (1 - lam) * values"
            yield Alternative(says, "bootstrap='lambda'", other)
            for order in ORDERS[:3]:
                declare = f"bootstrap='lambda', results={', '.join(order)!r}"
                yield Alternative(f"{says} and it returns {' and '.join(order)}", declare, other, order)

    def describe(self) -> str:
        """Say which numbers are fixed."""
        fixed = ", ".join(f"{name}={number:g}" for name, number in self.fixed.items())
        return fixed + (" fixed" if fixed else "")


def fixed_numbers(interface: Interface, declared: dict[str, float | None]) -> dict[str, float]:
    """Return the numbers that do not vary.

    Raises:
        UsageError: the discount is unknown, or a number is out of range.
    """
    found = {}
    for name, number in declared.items():
        upper = 1.0 if name in ("gamma", "lam") else math.inf
        valid = isinstance(number, int | float) and (number > 0.0 or (upper == 1.0 and number == 0.0))
        if number is not None and not (valid and number <= upper):
            raise UsageError(
                f"{name}={number!r} is out of range: pass a number {'from 0 to 1' if upper == 1.0 else 'above 0'}"
            )
        if number is not None:
            found[name] = float(number)
        elif not interface.has(name) and name != "pg_rho_clip":
            if name == "gamma" and not interface.has("discounts"):
                raise UsageError("the function takes neither gamma nor discounts: pass gamma=, the one it has inside")
            if name != "gamma":
                found[name] = 1.0
    return found


def with_all_values(interface: Interface) -> Interface:
    """Take values for (T + 1, N) where nothing else says what follows the last step."""
    if interface.has("values") and not (interface.has("next_values") or interface.has("last_values")):
        changed = tuple(Argument("all_values", a.keyword) if a.role == "values" else a for a in interface.arguments)
        return Interface(changed, interface.layout)
    return interface
