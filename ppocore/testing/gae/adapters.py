"""Adapt functions of other signatures to the one that `check_gae` calls.

Each adapter takes a function and returns one of (rewards, values, next_values, terminated, truncated, gamma, lam). A
function that cannot tell truncation from termination gets ``gamma * next_values`` added to the reward of a truncated
step, as its caller would have to do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ppocore.errors import UsageError

Function = Callable[..., Any]


def _renamed_as(function: Function) -> Callable[[Function], Function]:
    """Give an adapted function the name of the original one."""

    def rename(adapted: Function) -> Function:
        functools.update_wrapper(adapted, function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
        del adapted.__dict__["__wrapped__"]  # the signature is no longer that of the function
        return adapted

    return rename


def truncation_in_rewards(function: Function) -> Function:
    """Adapt a function that does not bootstrap at a truncation, because its caller adds the bootstrap to the reward."""

    @_renamed_as(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        bootstrapped = _with_bootstrap(rewards, next_values, terminated, truncated, gamma)
        return function(bootstrapped, values, next_values, terminated, truncated, gamma=gamma, lam=lam)

    return adapted


def from_dones(function: Function, *, dones: str = "after") -> Function:
    """Adapt a function of (rewards, values, dones, last_values, gamma, lam), as in many rollout buffers.

    Arrays are (T, N), and ``last_values`` is (N,).

    Args:
        function: returns advantages, or advantages and returns.
        dones: ``after`` if ``dones[t]`` means that the episode ended at step t; ``before`` if it means that the episode
            ended before step t. With ``before`` the function also takes the end of the last row, after ``last_values``:
            (rewards, values, dones, last_values, last_dones, gamma, lam).
    """
    if dones not in ("after", "before"):
        raise UsageError(f"dones={dones!r} is unknown: use after or before")

    @_renamed_as(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        rewards = _with_bootstrap(rewards, next_values, terminated, truncated, gamma)
        ended = terminated | truncated
        if dones == "after":
            return function(rewards, values, ended, next_values[-1], gamma, lam)
        started = _concatenate(ended, [ended[:1] & ~ended[:1], ended[:-1]])  # the first row follows no end
        return function(rewards, values, started, next_values[-1], ended[-1], gamma, lam)

    return adapted


def batch_major(function: Function) -> Function:
    """Adapt a function of the usual arguments whose arrays are (N, T)."""

    @_renamed_as(function)
    def adapted(
        rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        transposed = [array.T for array in (rewards, values, next_values, terminated, truncated)]
        result = function(*transposed, gamma=gamma, lam=lam)
        return tuple(part.T for part in result) if isinstance(result, tuple | list) else result.T

    return adapted


def episode_lists(function: Function) -> Function:
    """Adapt a function of (rewards, values, gamma, lam) of one episode.

    ``rewards`` is (T,), and ``values`` is (T + 1,): its last number is 0 if the episode terminated, and otherwise the
    value of the last step's successor. The function returns the episode's advantages (T,), or advantages and returns.
    """

    @_renamed_as(function)
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
                whole = _concatenate(values, [values[first : t + 1, i], last])
                result = function(rewards[first : t + 1, i], whole, gamma, lam)
                parts = result if isinstance(result, tuple | list) else (result,)
                for k, part in enumerate(parts):
                    pieces[k].append(part)
                first = t + 1
            for k in range(2):
                if pieces[k]:
                    columns[k].append(_concatenate(pieces[k][0], pieces[k]))
        stacked = tuple(_stack(part) for part in columns if part)
        return stacked if len(stacked) > 1 else stacked[0]

    return adapted


def token_level(function: Function, *, padding: str = "right") -> Function:
    """Adapt a function of (rewards, values, mask, gamma, lam) of padded sequences, as in training language models.

    Arrays are (B, T): a row is one episode, and ``mask`` is True for its tokens. Padding holds large numbers, so that a
    function that reads them fails. Nothing follows the last token; if an episode did not terminate, the bootstrap is
    added to its last reward.

    Args:
        function: returns advantages (B, T), or advantages and returns.
        padding: side of the padding, ``right`` or ``left``.
    """
    if padding not in ("right", "left"):
        raise UsageError(f"padding={padding!r} is unknown: use right or left")

    @_renamed_as(function)
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
                own = _concatenate(own, [own[:-1], own[-1:] + gamma * next_values[last : last + 1, i]])
            count = last - first + 1
            pad = [values[:1, 0] * 0 + 1e3] * (length - count)
            for k, part in enumerate((own, values[first : last + 1, i], ended[first : last + 1, i] | True)):
                filler = [p > 1e4 for p in pad] if k == 2 else pad
                pieces = [*filler, part] if padding == "left" else [part, *filler]
                rows[k].append(_concatenate(part, pieces))
        result = function(*[_stack(part, axis=0) for part in rows], gamma, lam)
        parts = result if isinstance(result, tuple | list) else (result,)
        found = []
        for part in parts:
            columns: list[list[Any]] = [[] for _ in range(rewards.shape[1])]
            for row, (i, first, last) in enumerate(spans):
                count = last - first + 1
                start = length - count if padding == "left" else 0
                columns[i].append(part[row, start : start + count])
            found.append(_stack([_concatenate(column[0], column) for column in columns]))
        return tuple(found) if len(found) > 1 else found[0]

    return adapted


def _spans(ended: list[bool]) -> list[tuple[int, int]]:
    """Return the first and the last row of each episode."""
    found, first = [], 0
    for t, end in enumerate(ended):
        if end or t == len(ended) - 1:
            found.append((first, t))
            first = t + 1
    return found


def _with_bootstrap(rewards: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float) -> Any:
    """Return the rewards with the discounted value of the successor added at truncations."""
    return rewards + gamma * next_values * (1 * (truncated & ~terminated))


def _library(like: Any) -> Any:
    """Return the module of an array's library, which has ``concatenate`` or ``concat``."""
    import sys

    import numpy as np

    from ppocore.advantages.arrays import framework_of

    framework = framework_of(like)
    if framework is None:
        return np
    return sys.modules["jax.numpy" if framework == "jax" else framework]


def _concatenate(like: Any, pieces: list[Any]) -> Any:
    """Concatenate along the first axis, in the library of ``like``."""
    library = _library(like)
    return library.concatenate(pieces) if hasattr(library, "concatenate") else library.concat(pieces)


def _stack(arrays: list[Any], axis: int = 1) -> Any:
    return _library(arrays[0]).stack(arrays, axis)
