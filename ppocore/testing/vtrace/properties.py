"""Define the properties of V-trace, one function each."""

from __future__ import annotations

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.comparison import (
    by_definition,
    inputs_untouched,
    integer_rewards,
    large_arrays,
    outcome_of,
    require_close,
    well_formed,
)
from ppocore.testing.formulas.subject import Case, Inapplicable, Property


def n_step_return_on_policy(candidate: Candidate, case: Case) -> None:
    """Require that on policy, with lambda 1, the targets are the n-step returns, and the advantages what they gain."""
    changed = candidate.subject.settle({**case, "log_ratios": np.zeros_like(case["log_ratios"]), "lam": 1.0})
    if changed["lam"] != 1.0 or min(changed[name] for name in ("rho_clip", "c_clip", "pg_rho_clip")) < 1.0:
        raise Inapplicable("its lambda or its bounds are declared, and below 1")
    changed = candidate.handed(changed)
    returns, following = np.zeros_like(changed["rewards"]), changed["next_values"][-1]
    for t in reversed(range(len(returns))):
        following = np.where(changed["truncated"][t], changed["next_values"][t], following)
        following = changed["rewards"][t] + changed["gamma"] * np.where(changed["terminated"][t], 0.0, following)
        returns[t] = following
    gained = returns - changed["values"]
    expected = {"vs": returns, "errors": gained, "advantages": gained}
    require_close("on policy with lambda 1", candidate, changed, expected, outcome_of(candidate, changed))


def ratios_beyond_the_bounds_alike(candidate: Candidate, case: Case) -> None:
    """Require that ratios above both bounds count as the bounds, whatever their size."""
    high = case["log_ratios"] > 0.4
    bounds = max(case[name] for name in ("rho_clip", "c_clip", "pg_rho_clip"))
    if not high.any() or not np.isfinite(bounds):
        raise Inapplicable
    low = np.log(bounds) + 0.5
    both = [{**case, "log_ratios": np.where(high, x, case["log_ratios"])} for x in (low, 20.0)]
    first, second = (candidate.handed(each) for each in both)
    expected = outcome_of(candidate, first).results
    require_close("ratios far above the bounds", candidate, second, expected, outcome_of(candidate, second), twice=True)


def nothing_leaks_back(candidate: Candidate, case: Case) -> None:
    """Require that rows after the end of an episode do not change the rows before it."""
    ended = case["terminated"] | case["truncated"]
    places = np.argwhere(ended[:-1])
    if not len(places):
        raise Inapplicable
    t, i = places[-1].tolist()
    changed = {**case, **{name: case[name].copy() for name in ("rewards", "values", "next_values", "log_ratios")}}
    changed["rewards"][t + 1 :, i] += 3.0
    changed["values"][t + 1 :, i] += 2.0
    changed["log_ratios"][t + 1 :, i] -= 0.5
    changed = candidate.handed(candidate.subject.settle(changed))
    outcome, before = outcome_of(candidate, changed), outcome_of(candidate, case).results
    expected = {name: x.copy() for name, x in outcome.results.items()}
    for name, x in expected.items():
        x[: t + 1, i] = before[name][: t + 1, i]
    require_close(f"rows after the end in row {t}", candidate, changed, expected, outcome, twice=True)


def terminal_successors_unread(candidate: Candidate, case: Case) -> None:
    """Require that the value of what follows a termination does not count."""
    places = case["terminated"].copy()
    if not candidate.interface.has("next_values"):
        places[:-1] = False
    if not places.any():
        raise Inapplicable
    changed = candidate.handed({**case, "next_values": np.where(places, 1e3, case["next_values"])})
    allowed, outcome = outcome_of(candidate, case), outcome_of(candidate, changed)
    require_close("a value after a termination", candidate, changed, allowed.results, outcome, twice=True)


def columns_apart(candidate: Candidate, case: Case) -> None:
    """Require that the results of an environment do not depend on the others."""
    if candidate.subject.shape(case)[1] < 2:
        raise Inapplicable
    single = {name: x[:, :1] if isinstance(x, np.ndarray) else x for name, x in case.items()}
    alone, together = outcome_of(candidate, single), outcome_of(candidate, case)
    cut = together._replace(results={name: x[:, :1] for name, x in together.results.items()})
    require_close("the first column by itself", candidate, single, cut.results, alone, twice=True)


PROPERTIES = (
    Property(well_formed),
    Property(inputs_untouched),
    Property(by_definition),
    Property(n_step_return_on_policy),
    Property(ratios_beyond_the_bounds_alike),
    Property(nothing_leaks_back),
    Property(terminal_successors_unread),
    Property(columns_apart),
    Property(integer_rewards),
    Property(large_arrays, large=True),
)
