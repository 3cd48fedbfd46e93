"""Other people's signatures, made into the one that `check_gae` calls.

Each takes a function and gives one of (rewards, values, next_values, terminated, truncated, gamma, lam).  A signature
that cannot say "truncated" gets what its caller would have to give it: ``gamma * next_values`` added to the reward of
the step that was cut short, and the end as any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ppocore.errors import UsageError

Function = Callable[..., Any]


def _named(function: Function) -> Callable[[Function], Function]:
    """Gives an adapted function the name of the one that it calls."""

    def name(adapted: Function) -> Function:
        functools.update_wrapper(adapted, function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
        del adapted.__dict__["__wrapped__"]  # the signature is no longer that of the function
        return adapted

    return name


def truncation_in_rewards(function: Function) -> Function:
    """For a function that does not bootstrap at a truncation, because its caller has added the bootstrap."""

    @_named(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        bootstrapped = _with_bootstrap(rewards, next_values, terminated, truncated, gamma)
        return function(bootstrapped, values, next_values, terminated, truncated, gamma=gamma, lam=lam)

    return adapted


def from_dones(function: Function, *, dones: str = "after") -> Function:
    """For (rewards, values, dones, last_values, gamma, lam), as in a rollout buffer; arrays (T, N), last_values (N,).

    Args:
        function: gives advantages, or advantages and returns.
        dones: ``after``: ``dones[t]`` says that the episode ended at step t; ``before``: that it had ended before
            step t, so that row t begins a new one, with the last row's end as a further argument after
            ``last_values``: (rewards, values, dones, last_values, last_dones, gamma, lam).
    """
    if dones not in ("after", "before"):
        raise UsageError(f"dones={dones!r} is unknown: use after or before")

    @_named(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        rewards = _with_bootstrap(rewards, next_values, terminated, truncated, gamma)
        ended = terminated | truncated
        if dones == "after":
            return function(rewards, values, ended, next_values[-1], gamma, lam)
        started = _like(ended, [ended[:1] & ~ended[:1], ended[:-1]])  # the first row follows no end
        return function(rewards, values, started, next_values[-1], ended[-1], gamma, lam)

    return adapted


def batch_major(function: Function) -> Function:
    """For a function of the usual arguments whose arrays are (N, T)."""

    @_named(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        turned = [array.T for array in (rewards, values, next_values, terminated, truncated)]
        result = function(*turned, gamma=gamma, lam=lam)
        return tuple(part.T for part in result) if isinstance(result, tuple | list) else result.T

    return adapted


def episode_lists(function: Function) -> Function:
    """For (rewards, values, gamma, lam) of one episode at a time.

    ``rewards`` (T,) and ``values`` (T + 1,), of which the last is what follows the episode: 0 where it terminated, and
    the value of the successor where it was cut short or goes on.  It gives the episode's advantages (T,), or these
    and its returns.
    """

    @_named(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        columns: list[list[Any]] = [[], []]
        ended = terminated | truncated
        for i in range(rewards.shape[1]):
            pieces: list[list[Any]] = [[], []]
            first = 0
            for t in range(len(rewards)):
                if not (bool(ended[t, i]) or t == len(rewards) - 1):
                    continue
                last = next_values[t : t + 1, i] * (1 - 1 * terminated[t : t + 1, i])
                whole = _like(values, [values[first : t + 1, i], last])
                result = function(rewards[first : t + 1, i], whole, gamma, lam)
                parts = result if isinstance(result, tuple | list) else (result,)
                for k, part in enumerate(parts):
                    pieces[k].append(part)
                first = t + 1
            for k in range(2):
                if pieces[k]:
                    columns[k].append(_like(pieces[k][0], pieces[k]))
        stacked = tuple(_stacked(part) for part in columns if part)
        return stacked if len(stacked) > 1 else stacked[0]

    return adapted


def token_level(function: Function, *, padding: str = "right") -> Function:
    """For (rewards, values, mask, gamma, lam) of a batch of padded sequences, as in language models' training.

    Arrays (B, T): a row is one episode, ``mask`` is True for its tokens, and what lies in the padding is large, so that
    it shows where it is read.  Nothing follows the last token; where an episode was cut short, the bootstrap is in its
    last reward.

    Args:
        function: gives advantages (B, T), or these and returns.
        padding: on which side.
    """
    if padding not in ("right", "left"):
        raise UsageError(f"padding={padding!r} is unknown: use right or left")

    @_named(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        ended = terminated | truncated
        length = len(rewards)
        spans = [
            (i, first, last)
            for i in range(rewards.shape[1])
            for first, last in _spans([bool(flag) for flag in ended[:, i]])
        ]
        cut = [last == length - 1 and not bool(ended[last, i]) for i, _, last in spans]
        rewards = _with_bootstrap(rewards, next_values, terminated, truncated, gamma)
        rows: list[list[Any]] = [[], [], []]
        for (i, first, last), open_end in zip(spans, cut, strict=True):
            own = rewards[first : last + 1, i] * 1
            if open_end:
                own = _like(own, [own[:-1], own[-1:] + gamma * next_values[last : last + 1, i]])
            count = last - first + 1
            pad = [values[:1, 0] * 0 + 1e3] * (length - count)
            for k, part in enumerate((own, values[first : last + 1, i], ended[first : last + 1, i] | True)):
                filler = [p > 1e4 for p in pad] if k == 2 else pad
                pieces = [*filler, part] if padding == "left" else [part, *filler]
                rows[k].append(_like(part, pieces))
        result = function(*[_stacked(part, axis=0) for part in rows], gamma, lam)
        parts = result if isinstance(result, tuple | list) else (result,)
        found = []
        for part in parts:
            columns: list[list[Any]] = [[] for _ in range(rewards.shape[1])]
            for row, (i, first, last) in enumerate(spans):
                count = last - first + 1
                start = length - count if padding == "left" else 0
                columns[i].append(part[row, start : start + count])
            found.append(_stacked([_like(column[0], column) for column in columns]))
        return tuple(found) if len(found) > 1 else found[0]

    return adapted


def _spans(ended: list[bool]) -> list[tuple[int, int]]:
    """First and last row of each episode."""
    found, first = [], 0
    for t, end in enumerate(ended):
        if end or t == len(ended) - 1:
            found.append((first, t))
            first = t + 1
    return found


def _with_bootstrap(rewards: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float) -> Any:
    """Rewards with the value of what a truncation cut off; a new array."""
    return rewards + gamma * next_values * (1 * (truncated & ~terminated))


def _library(like: Any) -> Any:
    """The module of an array's library, which has ``concatenate`` or ``concat``."""
    import sys

    import numpy as np

    from ppocore.advantages.arrays import framework_of

    framework = framework_of(like)
    if framework is None:
        return np
    return sys.modules["jax.numpy" if framework == "jax" else framework]


def _like(like: Any, pieces: list[Any]) -> Any:
    """Pieces put together along the first axis, in the library of ``like``."""
    library = _library(like)
    return library.concatenate(pieces) if hasattr(library, "concatenate") else library.concat(pieces)


def _stacked(arrays: list[Any], axis: int = 1) -> Any:
    return _library(arrays[0]).stack(arrays, axis)
