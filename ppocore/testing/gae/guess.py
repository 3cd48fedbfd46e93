"""Guess what an advantage function takes, from the names and the number of its parameters and from calls.

Names give the roles of most parameters. What they leave open (time or batch first, values with a further row, dones
after or before the step, 1 - done or a mask of tokens) is found by calling the function: a signature under which it is
right is the one, next one under which it makes a known mistake, and at last the first under which it can be called at
all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from ppocore.errors import UsageError
from ppocore.testing.gae.adapters import Adapted, adapt
from ppocore.testing.gae.candidate import Candidate, CandidateError, CandidateTimeout
from ppocore.testing.gae.diagnosis import explained
from ppocore.testing.gae.meaning import Meaning
from ppocore.testing.gae.signature import CANONICAL, ROLES
from ppocore.testing.gae.trajectories import diagnostic_trajectories

NAMES = {
    "rewards": "r rs rew rews reward rewards batch_rewards rewards_t r_t rewards_seq token_rewards"
    " token_level_rewards scores",
    "values": "v vs val vals value values v_t v_s vpred vpreds value_preds v_preds state_values state_value baselines"
    " baseline batch_values pred_values old_values critic_values v_tm1 value_estimates",
    "next_values": "nv next_v next_values next_vals values_next v_next v_next_t next_state_values next_state_value"
    " v_tp1 successor_values bootstrap_values next_obs_values",
    "terminated": "te term terms terminated terminal terminals terminations is_terminal is_terminals termination",
    "truncated": "tr trunc truncs truncated truncations truncation time_outs timeouts time_out is_truncated",
    "dones": "d done dones done_flags is_done ended ends episode_ends end dones_t terminateds_or_truncateds batch_dones"
    " before starts episode_starts firsts is_first first start",
    "masks": "nonterminal nonterminals not_done not_dones notdone alive continues cont nonterms masks not_terminal"
    " nd undone undones not_terminated non_terminal non_terminals done_mask done_masks",
    "discounts": "discounts discount_t discount_array pcontinues pcont",
    "last_values": "last last_value last_values last_val last_vals last_v bootstrap bootstrap_value"
    " value_next next_value final_value"
    " value_last v_last v_final r_last last_state_value",
    "last_dones": "last_done last_dones next_done ld final_done done_last",
    "mask": "mask response_mask action_mask attention_mask loss_mask padding_mask tokens_mask eos_mask token_mask m",
    "gamma": "g gamma discount discount_factor gammas disc gam",
    "lam": "l lam lambda lambda_ lambd lmbda lmda lmbd gae_lambda gae_lam tau td_lambda lamda lam_"
    " gaelam gae_tau lambda_gae lambda_gae_adv",
    "valid": "valid valids",
}
"""Names of parameters by what they usually are."""
_ROLES = {name: role for role, names in NAMES.items() for name in names.split()}
BEFORE = {"starts", "episode_starts", "firsts", "is_first", "first", "start"}
BY_COUNT: dict[int, list[tuple[str, ...]]] = {
    7: [CANONICAL],
    6: [("rewards", "values", "dones", "last_values", "gamma", "lam")],
    5: [("rewards", "values", "dones", "gamma", "lam"), ("rewards", "values", "mask", "gamma", "lam")],
    4: [("rewards", "values", "gamma", "lam"), ("rewards", "dones", "last_values", "gamma")],
    3: [("rewards", "dones", "gamma")],
    2: [("rewards", "gamma")],
}
"""What functions of so many parameters usually take, where names do not tell."""


def guess(
    function: Callable[..., Any], arrays: str, dtype: str | None, meaning: Meaning, flags: str | None = None
) -> tuple[Adapted, str] | None:
    """Guess the signature of a function.

    Returns:
        The function with its signature, and that in words; None if it is the usual one of `check_gae`.

    Raises:
        UsageError: none that was tried can be called; the message says which.
    """
    parameters = _parameters(function)
    if parameters is None or _is_canonical(parameters):
        return None
    tried: list[tuple[Adapted, str, str]] = []
    for adapted, words in _plausible(function, parameters, flags):
        candidate = Candidate(
            adapted.function, arrays=arrays, dtype=dtype, signature=adapted.signature, meaning=meaning
        )
        candidate.choose_flags()
        try:
            candidate.raw(diagnostic_trajectories(count=1)[0])
        except CandidateError as error:
            tried.append((adapted, words, str(error)))
            if isinstance(error, CandidateTimeout):
                break
            continue
        tried.append((adapted, words, ""))
        if explained(candidate, mistakes=False):
            return adapted, words
    callable_ones = [(adapted, words) for adapted, words, error in tried if not error]
    for adapted, words in callable_ones:
        candidate = Candidate(
            adapted.function, arrays=arrays, dtype=dtype, signature=adapted.signature, meaning=meaning
        )
        candidate.choose_flags()
        if explained(candidate, mistakes=True):
            return adapted, words
    if callable_ones:
        return callable_ones[0]
    names = ", ".join(parameter.name for parameter in parameters)
    name = getattr(function, "__qualname__", type(function).__name__)
    if not tried:
        raise UsageError(
            f"the signature of {name}({names}) cannot be guessed: say what each parameter is with "
            "ppocore.testing.adapt(f, 'rewards values dones last_values gamma lam')"
        )
    shown = "; ".join(f"as {words} {error}" for _, words, error in tried[:3])
    more = f", and {len(tried) - 3} others" if len(tried) > 3 else ""
    raise UsageError(
        f"the signature of {name}({names}) cannot be guessed (tried {shown}{more}): name it with an adapter, such as "
        "ppocore.testing.from_dones, or with ppocore.testing.adapt"
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return the parameters that have to be passed or have known names; None if they are not known."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        return None
    found = [p for p in found if p.kind is not p.VAR_KEYWORD]
    return [p for p in found if p.default is p.empty or _ROLES.get(p.name.lower()) in ("gamma", "lam", "valid")]


def _is_canonical(parameters: list[inspect.Parameter]) -> bool:
    names = [p.name for p in parameters if p.name != "valid"]
    if set(CANONICAL[:5]) <= set(names):
        return tuple(names[:5]) == CANONICAL[:5]
    return len(names) == 7 and _may_be(names, CANONICAL)


def _may_be(names: list[str], order: tuple[str, ...]) -> bool:
    """Tell whether no name says that a parameter is something else; one or two letters say little."""
    return all(len(name) < 3 or _ROLES.get(name.lower(), role) == role for name, role in zip(names, order, strict=True))


def _plausible(
    function: Callable[..., Any], parameters: list[inspect.Parameter], flags: str | None
) -> Iterator[tuple[Adapted, str]]:
    """Go through the signatures that a function may have, the likeliest first."""
    by_name = [_ROLES.get(p.name.lower()) for p in parameters]
    orders: list[tuple[str, ...]] = []
    if all(by_name) and len(set(by_name)) == len(by_name) and "rewards" in by_name:
        orders.append(tuple(role for role in by_name if role))
        swaps = [("mask", "masks"), ("masks", "mask"), ("dones", "masks"), ("last_values", "next_values")]
        swaps += [("next_values", "last_values"), ("terminated", "dones")]
        for old, new in swaps:
            if old in by_name and new not in by_name:
                orders.append(tuple(new if role == old else str(role) for role in by_name))
    known = len(parameters) > 4 or "rewards" in by_name  # of a few parameters, one at least has to be known
    for order in BY_COUNT.get(len(parameters), []) if known else []:
        if _may_be([p.name for p in parameters], order) and order not in orders:
            orders.append(order)
    before_first = any(p.name.lower() in BEFORE for p in parameters)
    for order in orders:
        words = [
            f"{p.name}={role}" if p.kind is p.KEYWORD_ONLY else role for p, role in zip(parameters, order, strict=True)
        ]
        for changes in _layouts(order, before_first):
            adapted = adapt(function, words, flags=flags, **changes)
            yield adapted, in_words(adapted)


def _layouts(order: tuple[str, ...], before_first: bool) -> Iterator[dict[str, str]]:
    if "mask" in order:
        yield from ({"layout": layout} for layout in ("tokens", "tokens-left"))
        return
    flags = {"dones", "masks", "terminated", "truncated", "discounts"} & set(order)
    if not flags:
        for values in ("T+1", "T") if not {"last_values", "next_values"} & set(order) else ("T",):
            yield {"layout": "episode", "values": values}
        for layout in ("tokens", "tokens-left"):
            yield {"layout": layout}
        return
    last_given = bool({"last_dones", "last_masks"} & set(order))
    whens = ["before", "after"] if before_first or last_given else ["after", "before"]
    if not {"dones", "masks"} & flags:
        whens = ["after"]
    values_rows = ("T",) if {"last_values", "next_values"} & set(order) else ("T+1", "T")
    for layout, when, values in product(("time", "batch", "column", "trailing"), whens, values_rows):
        rows = "T+1" if when == "before" and not last_given else "T"
        yield {"layout": layout, "dones": when, "values": values, "dones_rows": rows}


def in_words(adapted: Adapted) -> str:
    """Describe the signature of an adapted function."""
    signature = adapted.signature
    rows = {"values": signature.values, "dones": signature.dones_rows, "masks": signature.dones_rows}
    shown = [f"{role} (T + 1 rows)" if rows.get(role) == "T+1" else role for role in signature.arguments]
    layout = {
        "time": "arrays (T, N)",
        "batch": "arrays (N, T)",
        "column": "arrays (T,) of one environment",
        "trailing": "arrays (T, N, 1)",
        "agents": "arrays (T, N, A)",
        "episode": "arrays (T,) of one episode",
        "tokens": "padded arrays (B, T)",
        "tokens-left": "arrays (B, T) padded left",
    }[signature.layout]
    before = " before the step" if signature.dones == "before" and {"dones", "masks"} & set(signature.arguments) else ""
    text = ", ".join(shown)
    return f"{adapted.__name__}({text}) of {layout}" + (f", dones{before}" if before else "")


assert set(NAMES) <= set(ROLES)
