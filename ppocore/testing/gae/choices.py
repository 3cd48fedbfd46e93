"""List what programs do on purpose that is not the definition, so that it can be recognised and declared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

from ppocore.testing.gae.candidate import Raw
from ppocore.testing.gae.meaning import Meaning, code_of_results, names_of_keys
from ppocore.testing.gae.signature import Signature


class Choice(NamedTuple):
    """Describe a choice that nobody declared.

    Attributes:
        says: what it looks like, as a clause.
        declare: the arguments of `check_gae` that declare it, as code.
        meaning: what is then declared.
    """

    says: str
    declare: str
    meaning: Meaning


NORMALIZED = ("its advantages are normalized over the rollout", "normalized=True")
TO_GO = ("its returns are rewards to go, not advantages and values", "returns='rewards_to_go'")
WHOLE = ("it is meant for whole episodes: nothing follows the last row", "whole_episodes=True")
MONTE_CARLO = ("it is a Monte Carlo estimate", "lam=1.0")
ONE_STEP = ("it is the residual of one step", "lam=0.0")


def choices(meaning: Meaning, signature: Signature, raw: Raw) -> list[Choice]:
    """Go through what could be meant by results; those that leave out no result come first, and then the simplest.

    Args:
        meaning: what is declared.
        signature: what the function takes.
        raw: a result, for its form.
    """
    found = list(_choices(meaning, signature, raw))
    return sorted(found, key=lambda choice: (choice.meaning.results or ()).count("_"))


def _choices(meaning: Meaning, signature: Signature, raw: Raw) -> Iterator[Choice]:
    forms = [(meaning, (), ())] if meaning.results is not None else list(_forms(meaning, raw))
    lambdas: list[tuple[float | None, tuple[str, ...], tuple[str, ...]]] = [(meaning.lam, (), ())]
    if not signature.has("lam") and meaning.lam is None:
        lambdas += [(1.0, (MONTE_CARLO[0],), (MONTE_CARLO[1],)), (0.0, (ONE_STEP[0],), (ONE_STEP[1],))]
    for whole in sorted({meaning.whole_episodes, meaning.whole_episodes or not signature.sees_open_ends}):
        for normalized in sorted({meaning.normalized, True}):
            for lam, lam_says, lam_code in lambdas:
                for form, says, code in forms:
                    if normalized and not form.of_advantages:
                        continue
                    says, code = says + lam_says, code + lam_code
                    if normalized and not meaning.normalized:
                        says, code = (*says, NORMALIZED[0]), (*code, NORMALIZED[1])
                    if whole and not meaning.whole_episodes:
                        says, code = (*says, WHOLE[0]), (*code, WHOLE[1])
                    declared = form.declare(normalized=normalized, whole_episodes=whole, lam=lam)
                    yield Choice(" and ".join(says), ", ".join(code), declared)


def with_rewards_to_go(choice: Choice) -> Choice:
    """Return a choice together with rewards to go as returns."""
    return Choice(
        " and ".join(filter(None, (choice.says, TO_GO[0]))),
        ", ".join(filter(None, (choice.declare, TO_GO[1]))),
        choice.meaning.declare(returns="rewards_to_go"),
    )


def _forms(meaning: Meaning, raw: Raw) -> Iterator[tuple[Meaning, tuple[str, ...], tuple[str, ...]]]:
    keys = raw.keys
    usable = [key for key in keys if key in raw.parts]
    positions = keys == list(range(len(keys)))
    if positions and len(keys) <= 2:
        yield meaning, (), ()
    named = {} if positions else names_of_keys(usable)
    if named:
        yield _form(meaning, keys, named)
    for advantages, returns in permutations(usable, 2):
        if not (positions and (advantages, returns, len(keys)) == (0, 1, 2)):
            yield _form(meaning, keys, {advantages: "advantages", returns: "returns"})
    for key in usable:
        if len(keys) > 1:
            yield _form(meaning, keys, {key: "advantages"})
        yield _form(meaning, keys, {key: "returns"})


def _form(meaning: Meaning, keys: list[Any], named: dict[Any, str]) -> tuple[Meaning, tuple[str, ...], tuple[str, ...]]:
    if keys == list(range(len(keys))):
        results: Any = tuple(named.get(key, "_") for key in keys)
        order = list(filter(lambda name: name != "_", results))
        says = {
            ("returns",): "it returns the returns, not the advantages",
            ("returns", "advantages"): "it returns the returns before the advantages",
            ("advantages",): "one of its results is the advantages",
            ("advantages", "returns"): "the advantages and the returns are among its results",
        }[tuple(order)]
    else:
        results = tuple(named.items())
        says = "it returns a dictionary"
    return meaning.declare(results=results), (says,), (code_of_results(results),)
