"""Read or guess which arguments a function takes, and lay a case out accordingly."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ppocore.errors import UsageError
from ppocore.typing import Array


class Argument(NamedTuple):
    """Hold what an argument is, and the name that it is passed by or None."""

    role: str
    keyword: str | None = None


class Call(NamedTuple):
    """Hold one call: its arguments with their values, the shape of its results, and where they belong."""

    arguments: list[tuple[Argument, Any]]
    shape: tuple[int, ...]
    place: Any


@dataclass(frozen=True)
class Interface:
    """Describe the arguments and the layout of a function.

    Attributes:
        arguments: what it takes, in order.
        layout: ``usual``; ``transposed``; ``rows`` or ``columns`` for a call for each; ``trailing`` for an axis of
            length 1 at the end.
    """

    arguments: tuple[Argument, ...]
    layout: str = "usual"

    def has(self, *roles: str) -> bool:
        """Tell whether it takes all these arguments."""
        return set(roles) <= {argument.role for argument in self.arguments}

    def calls(self, values: Mapping[str, Any], shape: tuple[int, int]) -> list[Call]:
        """Lay values out as the arguments of one or more calls."""
        if self.layout == "rows":
            places: list[Any] = [(i, slice(None)) for i in range(shape[0])]
        elif self.layout == "columns":
            places = [(slice(None), i) for i in range(shape[1])]
        else:
            places = [(slice(None), slice(None))]
        return [
            Call([(a, self._laid_out(values[a.role], place)) for a in self.arguments], self._shape(shape), place)
            for place in places
        ]

    def put(self, result: Array, call: Call, into: Array) -> None:
        """Write a result of a call to where it belongs."""
        if self.layout == "transposed":
            result = result.T
        elif self.layout == "trailing":
            result = result[..., 0]
        into[call.place] = result

    def _shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        return {"transposed": shape[::-1], "rows": shape[1:], "columns": shape[:1], "trailing": (*shape, 1)}.get(
            self.layout, shape
        )

    def _laid_out(self, value: Any, place: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if self.layout in ("rows", "columns"):
            axis = 0 if self.layout == "rows" else 1
            found = value[place[axis]] if value.ndim == 1 or axis == 0 else value[:, place[1]]
            return np.ascontiguousarray(found).reshape(np.shape(found))
        if self.layout == "transposed":
            return np.ascontiguousarray(value.T)
        return value[..., None] if self.layout == "trailing" else value


def read_arguments(declared: str, roles: Mapping[str, str]) -> tuple[Argument, ...]:
    """Read declared arguments: ``"rewards, values, rho_clip=clip_rho_threshold"``.

    Raises:
        UsageError: one is unknown or named twice.
    """
    found = []
    for part in declared.split(","):
        role, _, keyword = (piece.strip() for piece in part.partition("="))
        if role not in roles:
            raise UsageError(f"arguments={declared!r} has {role!r}, which is unknown: use {', '.join(roles)}")
        found.append(Argument(role, keyword or None))
    if len({argument.role for argument in found}) < len(found):
        raise UsageError(f"arguments={declared!r} names an argument twice: name each once")
    return tuple(found)


def guess_arguments(
    function: Callable[..., Any],
    roles: Mapping[str, str],
    aliases: Mapping[str, str],
    canonical: tuple[str, ...],
) -> tuple[Argument, ...]:
    """Guess from the names of its parameters what a function takes.

    Args:
        function: the candidate.
        roles: what an argument may be.
        aliases: names that stand for a role.
        canonical: what a function takes whose parameters have no names, or say nothing.

    Raises:
        UsageError: there is no telling.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return tuple(map(Argument, canonical))
    by_name = {name: role for role in roles for name in (role, *aliases.get(role, "").split())}
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(named) < len(parameters) and len(named) < 2:
        # Numbers have no shape; by name, as a function that only hands its arguments on may need them.
        by_name_too = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        return tuple(Argument(r, r if by_name_too and "(" not in roles[r] else None) for r in canonical)
    found: list[Argument] = []
    skipped = False
    for parameter in named:
        role = by_name.get(parameter.name.lower().strip("_")) or by_name.get(parameter.name.lower())
        taken = role in {argument.role for argument in found}
        if role is None or taken:
            if parameter.default is not parameter.empty:
                skipped = True
                continue
            agree = all(argument.role == other for argument, other in zip(found, canonical, strict=False))
            if len(named) == len(canonical) and agree and not skipped:
                return tuple(map(Argument, canonical))
            raise UsageError(
                f"there is no telling what the parameter {parameter.name!r} of {_name(function)} is: pass arguments= "
                f"with what it takes, in order, as in arguments='{', '.join(canonical)}', from {', '.join(roles)}"
            )
        by_keyword = parameter.kind is parameter.KEYWORD_ONLY or skipped
        found.append(Argument(role, parameter.name if by_keyword else None))
    return tuple(found)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
