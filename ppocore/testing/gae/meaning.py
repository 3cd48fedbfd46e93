"""Say what a candidate's results mean: what is declared, and how its results are read accordingly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ppocore.errors import UsageError

RETURNS = ("lambda", "rewards_to_go", "any")
ESTIMATORS = ("gae", "vtrace")


@dataclass(frozen=True)
class Meaning:
    """Hold what is declared about a candidate's results.

    Attributes:
        results: where its results are: for a tuple a name for each part, ``advantages``, ``returns`` or ``_``; for a
            dictionary its keys and their names; None if nothing is declared.
        returns: what the returns are: ``lambda`` for advantages + values, ``rewards_to_go`` for the discounted rewards
            with the bootstrap at the end, ``any`` for something else, which is not checked.
        normalized: whether the advantages are normalized over the whole rollout.
        whole_episodes: whether it is called with whole episodes only, so that nothing follows the last row.
        estimator: ``gae``, or ``vtrace`` for the policy-gradient advantage of V-trace on policy.
        gamma, lam: the only discount and lambda that it is meant for; None for any.
    """

    results: tuple[str, ...] | tuple[tuple[Any, str], ...] | None = None
    returns: str = "lambda"
    normalized: bool = False
    whole_episodes: bool = False
    estimator: str = "gae"
    gamma: float | None = None
    lam: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("returns", self.returns, RETURNS),
            ("estimator", self.estimator, ESTIMATORS),
        ):
            if value not in known:
                raise UsageError(f"{name}={value!r} is unknown: use one of {', '.join(known)}")
        for name, number in (("gamma", self.gamma), ("lam", self.lam)):
            if number is not None and not (isinstance(number, int | float) and 0.0 <= number <= 1.0):
                raise UsageError(f"{name}={number!r} must be a number from 0 to 1, or None")

    def declare(self, **changes: Any) -> Meaning:
        """Return it with some attributes changed."""
        return replace(self, **changes)

    @property
    def of_advantages(self) -> bool:
        """Tell whether the results hold advantages, and not returns alone."""
        return self.results is None or "advantages" in self._names()

    def _names(self) -> list[str]:
        assert self.results is not None
        return [entry if isinstance(entry, str) else entry[1] for entry in self.results]

    def select(self, parts: dict[Any, Any]) -> dict[str, Any]:
        """Return the parts of a result by their names.

        Args:
            parts: the parts of a result, by their position or their key.

        Raises:
            ValueError: what is declared does not fit; the message is a clause about the result.
        """
        if self.results is None:
            return guessed_names(parts)
        if isinstance(self.results[0], str):
            if list(parts) != list(range(len(self.results))):
                raise ValueError(f"it returned {describe(parts)}, expected {len(self.results)}, as declared in results")
            places = dict(zip(range(len(parts)), self._names(), strict=True))
        else:
            places = {key: name for key, name in self.results if not isinstance(key, str) or name}
            missing = [key for key in places if key not in parts]
            if missing:
                raise ValueError(f"it returned {describe(parts)}, without {missing[0]!r}, which is declared in results")
        return {name: parts[key] for key, name in places.items() if name != "_"}


def read_results(declared: str | tuple[str, ...] | Mapping[Any, str] | None) -> Any:
    """Read what is declared about results: ``"returns, advantages"``, or a mapping from keys to these names.

    Raises:
        UsageError: a name is unknown, or neither advantages nor returns are named.
    """
    if declared is None:
        return None
    if isinstance(declared, Mapping):
        found: tuple[Any, ...] = tuple(declared.items())
        names = [name for _, name in found]
    else:
        parts = declared.split(",") if isinstance(declared, str) else declared
        found = tuple(str(part).strip() for part in parts)
        names = list(found)
    unknown = [name for name in names if name not in ("advantages", "returns", "_")]
    if unknown or not {"advantages", "returns"} & set(names):
        raise UsageError(
            f"results={declared!r} cannot be read: name each part advantages, returns or _, as in 'returns, advantages'"
        )
    return found


def guessed_names(parts: dict[Any, Any]) -> dict[str, Any]:
    """Return the parts of a result of which nothing is declared, by their names.

    Raises:
        ValueError: there is no telling; the message is a clause about the result.
    """
    keys = list(parts)
    if keys == list(range(len(keys))):
        if not keys:
            raise ValueError(
                f"it returned {describe(parts)}, expected the advantages, or the advantages and the returns"
            )
        return {name: parts[key] for name, key in zip(("advantages", "returns"), keys, strict=False)}
    named = names_of_keys(keys)
    if "advantages" not in named.values():
        raise ValueError(f"it returned {describe(parts)}: pass results={{KEY: 'advantages'}} to name its parts")
    return {name: parts[key] for key, name in named.items()}


def names_of_keys(keys: list[Any]) -> dict[Any, str]:
    """Return which keys of a dictionary hold the advantages and the returns, by their names."""
    found: dict[Any, str] = {}
    for name, beginnings in (
        ("advantages", ("adv", "gae")),
        ("returns", ("ret", "target", "value_target", "v_target")),
    ):
        for key in keys:
            if str(key).lower().startswith(beginnings) and name not in found.values():
                found[key] = name
    return found


def describe(parts: dict[Any, Any]) -> str:
    """Name the form of a result."""
    keys = list(parts)
    if keys == list(range(len(keys))):
        return f"{len(keys)} values"
    return "a dictionary of " + (", ".join(map(repr, keys)) or "nothing")


def code_of_results(results: Any) -> str:
    """Write declared results as an argument of `check_gae`."""
    if isinstance(results[0], str):
        return f"results={', '.join(results)!r}"
    return f"results={dict(results)!r}"
