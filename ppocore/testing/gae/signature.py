"""Describe what an advantage function takes, as data, and lay a trajectory out accordingly.

A `Signature` says in which order and layout a function takes its arguments. `seen` is the trajectory that such a
function can tell apart: one that knows of no truncation gets the bootstrap in the reward, as its caller would add it,
and then sees an end like any other. `packing` makes the arrays of each call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ppocore.testing.gae.trajectories import Trajectory
from ppocore.typing import Array

ROLES = {
    "rewards": "rewards (T, N)",
    "values": "values (T, N) of the observations, or (T + 1, N)",
    "next_values": "values (T, N) of the successors",
    "terminated": "flags (T, N): terminated with this step",
    "truncated": "flags (T, N): truncated with this step",
    "dones": "flags (T, N): the episode ended with, or before, this step",
    "masks": "1 - dones",
    "discounts": "gamma * (1 - dones)",
    "last_values": "values (N,) of what follows the last row",
    "last_dones": "flags (N,): the episode ended with the last row",
    "last_masks": "1 - last_dones",
    "mask": "flags (B, T) of the tokens of padded sequences",
    "valid": "flags (T, N): the row is a transition",
    "gamma": "discount",
    "lam": "lambda",
}
"""What an argument may be."""

CANONICAL = ("rewards", "values", "next_values", "terminated", "truncated", "gamma", "lam")
LAYOUTS = ("time", "batch", "column", "trailing", "agents", "episode", "tokens", "tokens-left")


@dataclass(frozen=True)
class Signature:
    """Describe the arguments and the layout of an advantage function.

    Attributes:
        arguments: what it takes, in order: keys of `ROLES`.
        keywords: names under which arguments are passed; the others are passed by position.
        dones: ``after`` if ``dones[t]`` means that the episode ended with step t; ``before`` if before step t.
        values: number of rows of the values: ``T`` or ``T+1``.
        dones_rows: number of rows of the dones or masks: ``T`` or ``T+1``.
        flags: ``bool``, ``float`` (the dtype of the values) or ``int``; None for the first that it takes.
        layout: ``time`` for (T, N), ``batch`` for (N, T), ``column`` for a call with (T,) for each environment,
            ``trailing`` for (T, N, 1), ``agents`` for (T, N, A), ``episode`` for a call for each episode, ``tokens``
            and ``tokens-left`` for padded sequences (B, T).
        shifted: whether row t holds the reward of step t - 1.
        in_rewards: whether the caller adds the bootstrap of a truncated step to its reward though the function takes
            the arguments to do it.
        results: what it returns: names among ``advantages``, ``returns`` and ``_``; None for the advantages, or the
            advantages and the returns.
    """

    arguments: tuple[str, ...] = CANONICAL
    keywords: tuple[tuple[str, str], ...] = ()
    dones: str = "after"
    values: str = "T"
    dones_rows: str = "T"
    flags: str | None = None
    layout: str = "time"
    shifted: bool = False
    in_rewards: bool = False
    results: tuple[str, ...] | None = None

    def has(self, *roles: str) -> bool:
        """Tell whether it takes all these arguments."""
        return set(roles) <= set(self.arguments)

    @property
    def sees_truncation(self) -> bool:
        """Tell whether it takes what is needed to bootstrap a truncated step by itself."""
        ends = {"terminated", "truncated", "dones"} & set(self.arguments)
        return self.has("next_values") and len(ends) > 1 and not self.in_rewards

    @property
    def sees_open_ends(self) -> bool:
        """Tell whether it takes the value of what follows the last row."""
        return self.by_sequence or self.sees_open_ends_itself

    @property
    def sees_open_ends_itself(self) -> bool:
        """Tell whether it takes the value of what follows the last row, not in a reward."""
        return self.values == "T+1" or bool({"next_values", "last_values"} & set(self.arguments))

    @property
    def by_sequence(self) -> bool:
        """Tell whether it knows single episodes only."""
        return self.layout in ("episode", "tokens", "tokens-left")

    def seen(self, x: Trajectory) -> Trajectory:
        """Return the trajectory that the function can tell apart; its advantages are those of ``x``."""
        if self.sees_truncation:
            return x
        y = x._replace(rewards=_bootstrapped(x), terminated=x.ended, truncated=np.zeros_like(x.truncated))
        if self.has("next_values"):
            return y
        following = np.concatenate([x.values[1:], x.next_values[-1:]])
        return y._replace(next_values=following)

    def parts(self, x: Trajectory) -> list[Part]:
        """Return what the function sees at a time and where it lies in ``x``: everything, or single episodes."""
        if self.by_sequence:
            return sequences(self, x)
        return [Part(self.seen(x), slice(None), slice(None))]

    def packing(self, x: Trajectory) -> list[Call]:
        """Lay a trajectory out as the arguments of one or more calls."""
        if self.layout == "episode":
            return [self._call(part.trajectory, part.trajectory, [(slice(None), part)]) for part in self.parts(x)]
        if self.by_sequence:
            return [self._padded(x)]
        if self.layout == "column":
            calls = []
            for i in range(x.shape[1]):
                column = x.where(slice(None), slice(i, i + 1))
                calls.append(
                    self._call(column, self.seen(column), [(slice(None), Part(column, slice(None), slice(i, i + 1)))])
                )
            return calls
        everything = ((slice(None), slice(None)), Part(x, slice(None), slice(None)))
        return [self._call(x, self.seen(x), [everything])]

    def _call(self, x: Trajectory, y: Trajectory, pieces: list[tuple[Any, Part]]) -> Call:
        arrays = self._arrays(x, y)
        arguments = tuple(Argument(role, self.keyword(role), self.laid_out(arrays[role])) for role in self.arguments)
        return Call(arguments, self.laid_out(np.empty(x.shape)).shape, pieces)

    def _padded(self, x: Trajectory) -> Call:
        """Lay episodes out as rows of padded arrays (B, T).

        Padding holds large numbers where the function is told what is padding, so that one that reads it fails, and
        zeros where it is not.
        """
        parts, length = self.parts(x), x.shape[0]
        filler = 1e3 if self.has("mask") else 0.0
        numbers = {name: np.full((len(parts), length), filler) for name in ("rewards", "values", "next_values")}
        if x.rewards.dtype.kind in "iu" and all(part.trajectory.rewards.dtype.kind in "iu" for part in parts):
            numbers["rewards"] = numbers["rewards"].astype(x.rewards.dtype)
        mask, ends = np.zeros((2, len(parts), length), np.bool_)
        pieces = []
        for row, part in enumerate(parts):
            count = part.trajectory.shape[0]
            place = slice(length - count, length) if self.layout == "tokens-left" else slice(0, count)
            for name, array in numbers.items():
                array[row, place] = getattr(part.trajectory, name)[:, 0]
            mask[row, place] = True
            ends[row, place.stop - 1] = True
            pieces.append(((row, place), part))
        arrays = {**numbers, "mask": mask, "dones": ends, "masks": ~ends, "gamma": x.gamma, "lam": x.lam}
        if self.values == "T+1":
            arrays["values"] = np.pad(numbers["values"], ((0, 0), (0, 1)))
        arguments = tuple(Argument(role, self.keyword(role), arrays[role]) for role in self.arguments)
        return Call(arguments, mask.shape, pieces)

    def keyword(self, role: str) -> str | None:
        """Return the name under which an argument is passed; None if by position."""
        return dict(self.keywords).get(role)

    def _arrays(self, x: Trajectory, y: Trajectory) -> dict[str, Any]:
        ended = x.ended
        dones = ended
        if self.dones == "before":  # the first row follows no end
            dones = np.concatenate([np.zeros_like(ended[:1]), ended])
            if self.dones_rows == "T":
                dones = dones[:-1]
        rewards, values = y.rewards, y.values
        if self.values == "T+1":
            values = np.concatenate([values, y.next_values[-1:]])
        if self.shifted:
            rewards = np.concatenate([np.zeros_like(rewards[:1]), rewards])
        alive = 1.0 - dones
        return {
            "rewards": rewards, "values": values, "next_values": y.next_values, "terminated": x.terminated,
            "truncated": x.truncated, "dones": dones, "masks": ~dones, "discounts": x.gamma * alive,
            "last_values": y.next_values[-1], "last_dones": ended[-1], "last_masks": ~ended[-1], "valid": x.valid,
            "gamma": x.gamma, "lam": x.lam,
        }  # fmt: skip

    def laid_out(self, array: Any) -> Any:
        """Lay an array (T, N) or (N,) out; numbers stay as they are."""
        if not isinstance(array, np.ndarray):
            return array
        if self.layout == "batch":
            return np.ascontiguousarray(array.T)
        if self.layout in ("column", "episode"):
            return array[..., 0]
        if self.layout == "trailing":
            return array[..., None]
        if self.layout == "agents":
            agents = 2 if array.shape[-1] % 2 == 0 else 1
            return array.reshape(*array.shape[:-1], -1, agents)
        return array

    def put(self, result: Array, call: Call, into: Array) -> None:
        """Write a result of a call to where it belongs in an array (T, N)."""
        if self.layout == "batch":
            result = result.T
        elif self.layout in ("trailing", "agents"):
            result = result.reshape(len(result), -1)
        for index, part in call.pieces:
            place = into[part.rows, part.columns]
            place[...] = result[index].reshape(place.shape)

    def declare(self, **changes: Any) -> Signature:
        """Return a signature with some attributes changed."""
        return replace(self, **changes)


class Part(NamedTuple):
    """Hold what a function sees at a time: a trajectory, and its rows and columns in the whole one."""

    trajectory: Trajectory
    rows: Any
    columns: Any


class Argument(NamedTuple):
    """Hold one argument of a call: its role, the keyword it is passed by or None, and a number or a NumPy array."""

    role: str
    keyword: str | None
    value: Any


class Call(NamedTuple):
    """Hold one call: its arguments, the shape of its results, and which part of a result belongs where."""

    arguments: tuple[Argument, ...]
    shape: tuple[int, ...]
    pieces: list[tuple[Any, Part]]


def sequences(signature: Signature, x: Trajectory) -> list[Part]:
    """Cut a trajectory into its episodes, as a function of one episode or of padded sequences sees them.

    One of padded sequences knows no successor of the last token, so that the bootstrap is part of the last reward. One
    of a single episode gets the value of its last successor, which is 0 if the episode terminated.
    """
    found, length = [], x.shape[0]
    padded = signature.layout != "episode" or not signature.sees_open_ends_itself
    for i in range(x.shape[1]):
        first = 0
        for t in range(length):
            if not (x.ended[t, i] or t == length - 1):
                continue
            part = x.where(slice(first, t + 1), slice(i, i + 1))
            last = np.where(part.terminated[-1:], 0.0, part.next_values[-1:])
            if padded:
                if not part.terminated[-1, 0]:
                    rewards = part.rewards * 1.0
                    rewards[-1] += x.gamma * last[0]
                    part = part._replace(rewards=rewards)
                last = last * 0.0
            flags = np.zeros_like(part.terminated)
            part = part._replace(truncated=flags, terminated=flags.copy())
            part = part._replace(next_values=np.concatenate([part.values[1:], last]))
            part.terminated[-1] = padded
            found.append(Part(part, slice(first, t + 1), slice(i, i + 1)))
            first = t + 1
    return found


def usual(function: Callable[..., Any], valid: bool | None = None) -> Signature:
    """Return the usual signature, with the discounts by name if the function has parameters of these names.

    Args:
        function: the function.
        valid: whether to pass which rows are transitions; by default, if it has a parameter ``valid``.
    """
    try:
        parameters = set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        parameters = {"gamma", "lam"}
    keywords = (("gamma", "gamma"), ("lam", "lam")) if {"gamma", "lam"} <= parameters else ()
    if not ("valid" in parameters if valid is None else valid):
        return Signature(keywords=keywords)
    return Signature(arguments=(*CANONICAL, "valid"), keywords=(*keywords, ("valid", "valid")))


def _bootstrapped(x: Trajectory) -> Array:
    """Return the rewards with the discounted value of the successor added at truncations, if there are any."""
    cut_short = x.truncated & ~x.terminated
    if not cut_short.any():
        return x.rewards  # integers stay integers
    return x.rewards + x.gamma * np.where(cut_short, x.next_values, 0.0)
