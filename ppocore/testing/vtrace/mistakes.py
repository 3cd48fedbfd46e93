"""List known mistakes in V-trace, and compute it with them."""

from __future__ import annotations

import numpy as np

from ppocore.testing.formulas.subject import Case, Mistake, Results
from ppocore.typing import Array

MISTAKES: dict[str, Mistake] = {
    "rho not clipped": Mistake("importance ratios of any size count", {"rho": "unclipped", "pg": "unclipped"}),
    "rho not clipped in the residual": Mistake("rho_clip counts in the advantages alone", {"rho": "unclipped"}),
    "rho not clipped in the advantage": Mistake("rho_clip counts in the targets alone", {"pg": "unclipped"}),
    "rho missing": Mistake("neither residuals nor advantages are weighted", {"rho": "one", "pg": "one"}),
    "rho missing in the residual": Mistake("the residuals are not weighted by rho", {"rho": "one"}),
    "rho missing in the advantage": Mistake(
        "the advantages are not weighted by rho, which is right only if the loss is", {"pg": "one"}
    ),
    "c not clipped": Mistake("the traces are not bounded by c_clip", {"c": "unclipped"}),
    "c clipped with the bound of rho": Mistake("the traces are bounded by rho_clip", {"c": "rho"}),
    "c missing": Mistake("the traces are not weighted by the ratios", {"c": "one"}),
    "c of the next step": Mistake(
        "the product of c is off by one: c[t+1], not c[t], carries row t+1 to row t", {"c_at": "next"}
    ),
    "c of its own step too": Mistake(
        "the product of c is off by one: it weights the residual of its own row, too", {"c_at": "own"}
    ),
    "lambda missing": Mistake("the traces do not decay with lambda", {"lam": "missing"}),
    "ratios inverted": Mistake("actor over learner in place of learner over actor", {"ratio": "inverse"}),
    "logarithm or exponential of the ratios": Mistake(
        "log ratios are taken for ratios, or ratios for log ratios", {"ratio": "other"}
    ),
    "gamma missing in the traces": Mistake("later residuals are not discounted", {"trace_gamma": False}),
    "gamma missing in the residual": Mistake("the successor's value is not discounted", {"residual_gamma": False}),
    "gamma missing in the advantage": Mistake("what follows is not discounted", {"after_gamma": False}),
    "vs[t] in place of vs[t+1]": Mistake("an advantage bootstraps from the target of its own row", {"after": "own"}),
    "value in place of vs[t+1]": Mistake(
        "an advantage bootstraps from the value of the successor, not from its target", {"after": "value"}
    ),
    "vs - value as the advantage": Mistake(
        "the advantage is the target minus the value", {"after": "difference", "pg": "one"}
    ),
    "rho (vs - value) as the advantage": Mistake(
        "the advantage is rho times the target minus the value", {"after": "difference"}
    ),
    "no baseline in the advantage": Mistake("the value is not subtracted", {"baseline": False}),
    "no bootstrap after the last row": Mistake(
        "what follows an unfinished episode is worth nothing", {"last": "zero", "last_after": "zero"}
    ),
    "no bootstrap in the last advantage": Mistake(
        "what follows the last row is worth nothing in its advantage", {"last_after": "zero"}
    ),
    "own value after the last row": Mistake(
        "the last row bootstraps from its own value", {"last": "own", "last_after": "own"}
    ),
    "ends ignored": Mistake(
        "everything leaks over an end of an episode", {"cut": "never", "terminal": "read", "after_end": "read"}
    ),
    "traces go on over an end": Mistake("residuals of the next episode count", {"cut": "never"}),
    "traces go on over a truncation": Mistake("residuals after a truncation count", {"cut": "terminated"}),
    "value after a termination": Mistake(
        "a residual counts the value of what follows a termination", {"terminal": "read"}
    ),
    "target after an end": Mistake("an advantage reads the target of the next episode", {"after_end": "read"}),
    "truncation treated as termination": Mistake(
        "a truncated step is not bootstrapped from next_values", {"truncation": "terminal"}
    ),
    "ends a step late": Mistake("row t is cut by the end of row t-1", {"ends": "late"}),
    "ends a step early": Mistake("row t is cut by the end of row t+1", {"ends": "early"}),
}


def vtrace_with(
    case: Case,
    *,
    by_ratios: bool = False,
    bootstrap: str = "vs",
    rho: str = "clipped",
    pg: str = "clipped",
    c: str = "clipped",
    c_at: str = "this",
    lam: str = "traces",
    ratio: str = "right",
    trace_gamma: bool = True,
    residual_gamma: bool = True,
    after_gamma: bool = True,
    after: str = "vs",
    baseline: bool = True,
    last: str = "next_values",
    last_after: str = "next_values",
    cut: str = "ended",
    terminal: str = "zero",
    after_end: str = "right",
    truncation: str = "right",
    ends: str = "right",
) -> Results:
    """Compute targets, advantages and errors by the recursion of Remark 1, with mistakes.

    What is done otherwise is as in `MISTAKES`. ``by_ratios`` says that the function takes ratios, not their logarithms.
    """
    rewards, values, next_values = case["rewards"] * 1.0, case["values"], case["next_values"].copy()
    log_ratios, gamma = case["log_ratios"], case["gamma"]
    terminated, truncated = (_moved(case[name], ends) for name in ("terminated", "truncated"))
    if truncation == "terminal":
        terminated = terminated | truncated
    ended = terminated | truncated
    with np.errstate(over="ignore"):
        ratios = {"inverse": np.exp(-log_ratios), "right": np.exp(log_ratios)}.get(ratio)
        if ratios is None:
            ratios = np.exp(np.exp(log_ratios)) if by_ratios else log_ratios
    weights = _weight(ratios, rho, case["rho_clip"])
    traces = _weight(ratios, c, case["rho_clip"] if c == "rho" else case["c_clip"])
    if lam == "traces":
        traces = traces * case["lam"]
    following = next_values.copy()
    if last != "next_values":
        following[-1] = 0.0 if last == "zero" else values[-1]
    successor = following if terminal == "read" else np.where(terminated, 0.0, following)
    deltas = weights * (rewards + (gamma if residual_gamma else 1.0) * successor - values)
    stops = {"never": np.zeros_like(ended), "terminated": terminated}.get(cut, ended)
    errors, running = np.zeros_like(deltas), np.zeros(deltas.shape[1])
    for t in reversed(range(len(deltas))):
        carry = traces[min(t + 1, len(deltas) - 1)] if c_at == "next" else traces[t]
        carried = (gamma if trace_gamma else 1.0) * carry * np.where(stops[t], 0.0, running)
        running = carried + (traces[t] if c_at == "own" else 1.0) * deltas[t]
        errors[t] = running
    vs = values + errors
    later = np.concatenate([vs[1:], next_values[-1:]])
    if bootstrap == "lambda":
        later[:-1] = case["lam"] * vs[1:] + (1.0 - case["lam"]) * values[1:]
    if last_after != "next_values":
        later[-1] = next_values[-1] = 0.0 if last_after == "zero" else values[-1]
    if after == "own":
        later = np.concatenate([vs[:-1], later[-1:]])
    elif after == "value":
        later = following
    if after_end != "read":
        later = np.where(terminated, 0.0, np.where(truncated, next_values, later))
    advantages = rewards + (gamma if after_gamma else 1.0) * later - (values if baseline else 0.0)
    if after == "difference":
        advantages = errors
    return {"vs": vs, "advantages": _weight(ratios, pg, case["pg_rho_clip"]) * advantages, "errors": errors}


def _weight(ratios: Array, kind: str, clip: float) -> Array:
    if kind == "one":
        return np.ones_like(ratios)
    return ratios if kind == "unclipped" else np.minimum(ratios, clip)


def _moved(flags: Array, how: str) -> Array:
    none = np.zeros_like(flags[:1])
    if how == "late":
        return np.concatenate([none, flags[:-1]])
    return np.concatenate([flags[1:], none]) if how == "early" else flags
