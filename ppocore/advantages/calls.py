"""Wrap the public estimators: calls inside compiled code, and calls that Python would explain badly."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ppocore.advantages import graphs
from ppocore.advantages.arrays import is_traced

P = ParamSpec("P")
R = TypeVar("R")

DONE_MESSAGE = (
    "terminated and truncated are both needed, not one done flag, because the value of the successor counts after a "
    "truncation but not after a termination: pass terminated=dones, truncated=numpy.zeros_like(dones) if episodes are "
    "never truncated"
)
_LAST_VALUES = {"last_value", "last_values", "next_value", "next_done", "last_done", "last_dones"}
SUCCESSOR_ADVICE = "next_values=ppocore.successor_values(values, last_values)"


def estimator(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of arrays one that can be called inside ``torch.compile`` and ``jax.jit``.

    A call that does not fit, such as one with ``dones``, raises an error that explains it.
    """
    names = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_compiling():
            result: R = graphs.in_torch(function, names, args, kwargs)
            return result
        try:
            return function(*args, **kwargs)
        except Exception as error:
            explained = _explanation(function, args, kwargs) if isinstance(error, TypeError | ValueError) else None
            if explained is not None:
                raise TypeError(f"{function.__name__}: {explained}") from None
            if not any(map(is_traced, (*args, *kwargs.values()))):
                raise
        return graphs.in_jax(function, args, kwargs)

    graphs.register(function.__name__, call)
    return call


def _explanation(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return what is wrong with a call of the kind that other libraries take, or None for one of another kind."""
    signature = inspect.signature(function)
    parameters = signature.parameters
    flags = [name for name in ("terminated", "truncated") if name in parameters]
    if not flags:
        return None
    positional = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if {"done", "dones"} & kwargs.keys():
        return DONE_MESSAGE
    given = dict(zip(positional, args, strict=False)) | kwargs
    if _LAST_VALUES & kwargs.keys() or _is_classic([given.get(name) for name in positional], args):
        return f"{DONE_MESSAGE}; and instead of last_values pass {SUCCESSOR_ADVICE}"
    if len(args) > len(positional):
        listed = f"{', '.join(positional[:-1])} and {positional[-1]}"
        return f"only {listed} are taken by position (with {SUCCESSOR_ADVICE}), and the rest by name, as in gamma=0.99"
    if not given.keys() <= parameters.keys():  # Python's own message has the unknown name
        return None
    missing = [name for name in flags if given.get(name) is None]
    if missing and len(missing) < len(flags):
        return DONE_MESSAGE
    if missing:
        return (
            f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} needed, flags shaped as rewards of the "
            "steps at which an episode ended: pass all False where none did"
        )
    return None


def _is_classic(values: list[Any], args: tuple[Any, ...]) -> bool:
    """Tell whether arguments are (rewards, values, dones, last_values, ...), gamma and lambda perhaps among them."""
    if len(values) < 5 or values[3] is None:
        return False
    third, fourth, fifth = values[2:5]
    if _is_bool(third) and not _is_bool(fourth):
        return True
    if isinstance(fifth, float):  # gamma
        return True
    is_one_row = getattr(fourth, "shape", None) == getattr(args[0], "shape", ((),))[1:] if args else False
    return len(args) > len(values) and (is_one_row or isinstance(fourth, int | float))


def _is_bool(x: Any) -> bool:
    """Tell whether an array, or a list, holds flags of a dtype for flags."""
    while isinstance(x, list | tuple) and len(x) > 0:
        x = x[0]
    return isinstance(x, bool) or "bool" in str(getattr(x, "dtype", ""))
