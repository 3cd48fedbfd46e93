"""Describe a function that was read, and call it as its own caller would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..independent import Expected, Rollout, pieces

ENTRIES: list[Read] = []


@dataclass(frozen=True)
class Read:
    """Describe one function.

    Attributes:
        project: name of the project.
        source: repository or package, file, and the commit or version that was read.
        framework: framework of its arrays.
        function: the function, in its own signature.
        call: (function, Seen) to what it returns, as (T, N) arrays.
        gives: what these are, in order: ``advantages``, ``returns``.
        expected: what it means to compute.
        contract: name in `CALLERS` of a caller that does all that the signature leaves to it.
        caller: the same, of what the project's own training does; empty if that was not read or is the same.
        dtype: dtype of the values in the project's own training.
        note: what was concluded by reading.
        limits: limits of the cases, see `independent.judge`.
        own: (``ppocore.testing``, function) to what `check_gae` is given to check the function in its own signature:
            the function if that can be guessed, else an adapter of it; None if no adapter says what it takes.
    """

    project: str
    source: str
    framework: str
    function: Callable[..., Any]
    call: Callable[..., Any]
    gives: tuple[str, ...] = ("advantages", "returns")
    expected: Expected = field(default_factory=Expected)
    contract: str = "bootstrapped"
    caller: str = ""
    dtype: str = "float32"
    note: str = ""
    own: Callable[[Any, Any], Any] | None = lambda testing, function: function
    limits: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return self.function.__name__

    def declared(self) -> dict[str, Any]:
        """Return what `ppocore.testing.check_gae` is told about the results."""
        found: dict[str, Any] = {}
        if self.gives not in (("advantages",), ("advantages", "returns")):
            found["results"] = ", ".join(self.gives)
        if self.expected.returns == "to_go":
            found["returns"] = "rewards_to_go"
        if self.expected.normalized is not None:
            found["normalized"] = True
        if self.expected.lam is not None:
            found["lam"] = self.expected.lam
        return found

    def standard(self, caller: str) -> Callable[..., Any]:
        """Return the function in the signature of `ppocore.testing.check_gae`, called as a caller does."""
        run = self.candidate(caller)

        def called(
            rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
        ) -> Any:
            arrays = [np.asarray(array) for array in (rewards, values, next_values)]
            flags = [np.asarray(array).astype(bool) for array in (terminated, truncated)]
            found = run(*arrays, *flags, float(gamma), float(lam))
            wrap = Seen(Rollout(*arrays, *flags, gamma, lam), caller, self.dtype, self.framework).wrap
            parts = tuple(wrap(found[name]) for name in self.gives)
            return parts if len(parts) > 1 else parts[0]

        called.__name__ = called.__qualname__ = self.name
        return called

    def candidate(self, caller: str, *, integers: bool = False) -> Callable[..., dict[str, Any]]:
        """Return the function in the signature of `independent.judge`, called as a caller does.

        Args:
            caller: name in `CALLERS`.
            integers: whether integer rewards reach the function as they are, in place of the project's own dtype.
        """

        def run(*arguments: Any) -> dict[str, Any]:
            seen = Seen(Rollout(*arguments), caller, self.dtype, self.framework, integers=integers)
            result = self.call(self.function, seen)
            parts = result if isinstance(result, tuple | list) else (result,)
            found = {name: np.asarray(part) for name, part in zip(self.gives, parts, strict=True)}
            return found | {f"writes to {name}": True for name in seen.changed()}

        run.__name__ = run.__qualname__ = self.name
        return run


def read(project: str, source: str, *, framework: str = "numpy", **about: Any) -> Callable[[Any], Any]:
    """Enter a function into `ENTRIES` (a decorator); the arguments are those of `Read`."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        ENTRIES.append(Read(project, source, framework, function, **about))
        return function

    return enter


CALLERS = {
    "bootstrapped": "adds gamma times the value of the final observation to the reward of a truncated step",
    "in_every_reward": "adds gamma times the value of what follows to the reward of every step at which an episode is "
    "cut, also in the last row",
    "flags": "passes both flags",
    "pieces": "calls it once for each episode, with the value of what follows, 0 after a termination",
    "done": "passes one flag for both kinds of end: a truncation is treated as a termination",
    "own": "adds gamma times the step's own value to the reward wherever the time-out flag is set",
    "terminated": "passes the termination alone: what follows a truncation is taken for its continuation",
    "bootstraps_at_a_cut": "calls it for each episode, and bootstraps at its time limit and after the last row of the "
    "rollout, whether or not the episode terminated there",
}
"""What callers do about truncation."""


class Seen:
    """Give the arguments that a caller passes, in the project's dtype and framework, as (T, N) arrays."""

    def __init__(
        self, rollout: Rollout, caller: str, dtype: str, framework: str = "numpy", *, integers: bool = False
    ) -> None:
        self.rollout, self.caller, self._dtype, self._framework = rollout, caller, dtype, framework
        self._integers = integers
        self.gamma, self.lam = rollout.gamma, rollout.lam
        rewards = rollout.rewards
        if caller == "bootstrapped":
            rewards = _added(rewards, rollout.truncated & ~rollout.terminated, rollout.gamma * rollout.next_values)
        elif caller == "in_every_reward":
            cut = rollout.truncated.copy()
            cut[-1] = True
            rewards = _added(rewards, cut & ~rollout.terminated, rollout.gamma * rollout.next_values)
        elif caller == "own":
            rewards = _added(rewards, rollout.truncated, rollout.gamma * rollout.values)
        ended = rollout.terminated if caller == "terminated" else rollout.terminated | rollout.truncated
        self.plain = {"rewards": rewards, "ended": ended}
        self.rewards = self.wrap(self._as_rewards(rewards))
        self.values = self.number(rollout.values)
        self.next_values = self.number(rollout.next_values)
        self.last_values = self.number(rollout.next_values[-1])
        self.values_and_last = self.number(np.concatenate([rollout.values, rollout.next_values[-1:]]))
        self.dones = self.number(ended)
        self.dones_bool = self.wrap(ended)
        self.terminated, self.truncated = self.number(rollout.terminated), self.number(rollout.truncated)
        # Before each step, and after the last one, (T + 1, N); the first row follows no end.
        self.dones_around = self.number(np.concatenate([np.zeros_like(ended[:1]), ended]))
        self.masks_around = self.number(1.0 - np.concatenate([np.zeros_like(ended[:1]), ended]))

        self._kept = {name: np.array(array) for name, array in vars(self).items() if hasattr(array, "shape")}

    def changed(self) -> list[str]:
        """Return the names of the arrays that were written to."""
        return [name for name, before in self._kept.items() if not np.array_equal(before, np.asarray(vars(self)[name]))]

    def number(self, array: Any) -> Any:
        """Convert an array to the project's dtype and framework."""
        return self.wrap(np.asarray(array).astype(self._dtype))

    def wrap(self, array: Any) -> Any:
        """Convert an array to the project's framework."""
        if self._framework == "torch":
            import torch

            return torch.tensor(array)
        if self._framework == "jax":
            import jax.numpy as jnp

            return jnp.asarray(array)
        return np.array(array)

    def columns(self, function: Callable[[Seen], Any]) -> Any:
        """Call a function for each column alone, and put the columns side by side."""
        rollout = self.rollout
        results = []
        for i in range(rollout.rewards.shape[1]):
            part = Rollout(*(array[:, i : i + 1] for array in rollout[:5]), rollout.gamma, rollout.lam)
            result = function(Seen(part, self.caller, self._dtype, self._framework, integers=self._integers))
            results.append(result if isinstance(result, tuple) else (result,))
        joined = tuple(
            np.stack([np.asarray(part).reshape(-1) for part in parts], 1) for parts in zip(*results, strict=True)
        )
        return joined if len(joined) > 1 else joined[0]

    def episodes(self, function: Callable[[Any, Any, Any], Any]) -> Any:
        """Call a function of (rewards, values, last value) for each episode, 1-D; the results are joined again."""
        rollout = self.rollout
        found: list[Any] = []
        for i in range(rollout.rewards.shape[1]):
            for first, last in pieces(rollout, i):
                final = last == len(rollout.rewards) - 1
                stops = rollout.terminated[last, i]
                if self.caller == "done":
                    stops = stops or rollout.truncated[last, i]
                if self.caller == "bootstraps_at_a_cut":
                    stops = stops and not rollout.truncated[last, i] and not final
                rows = slice(first, last + 1)
                after = self.number(0.0 if stops else rollout.next_values[last, i])
                result = function(self.wrap(self.plain_column("rewards", rows, i)), self.values[rows, i], after)
                parts = result if isinstance(result, tuple) else (result,)
                found = found or [np.zeros(rollout.rewards.shape) for _ in parts]
                for array, part in zip(found, parts, strict=True):
                    array[rows, i] = np.asarray(part).reshape(-1)
        return tuple(found) if len(found) > 1 else found[0]

    def plain_column(self, name: str, rows: slice, column: int) -> Any:
        """Return a part of a column, in the project's dtype."""
        return self._as_rewards(self.plain[name][rows, column])

    def _as_rewards(self, array: Any) -> Any:
        return array if array.dtype.kind == "i" and self._integers else array.astype(self._dtype)

    def tokens(self, function: Callable[..., Any], *, padding: float, left: bool = False) -> Any:
        """Call a function of (rewards, values, mask), (B, S), one row for each episode, and join the rows again.

        Args:
            function: returns arrays (B, S).
            padding: number in the padding.
            left: whether the padding stands before the tokens.
        """
        rollout = self.rollout
        spans = [(i, a, b) for i in range(rollout.rewards.shape[1]) for a, b in pieces(rollout, i)]
        width = max(b - a + 1 for _, a, b in spans)
        rewards, values = np.full((2, len(spans), width), padding)
        mask = np.zeros((len(spans), width))
        places = []
        for row, (i, a, b) in enumerate(spans):
            start = width - (b - a + 1) if left else 0
            place = slice(start, start + b - a + 1)
            places.append(place)
            rewards[row, place], values[row, place] = self.plain["rewards"][a : b + 1, i], rollout.values[a : b + 1, i]
            mask[row, place] = 1.0
            # Nothing follows the last token of a row: what would, is in its reward.
            if b == len(rollout.rewards) - 1 and not (rollout.terminated | rollout.truncated)[b, i]:
                rewards[row, place.stop - 1] += rollout.gamma * rollout.next_values[b, i]
        result = function(self.number(rewards), self.number(values), self.number(mask))
        parts = result if isinstance(result, tuple) else (result,)
        found = [np.zeros(rollout.rewards.shape) for _ in parts]
        for array, part in zip(found, parts, strict=True):
            for row, (i, a, b) in enumerate(spans):
                array[a : b + 1, i] = np.asarray(part)[row, places[row]]
        return tuple(found) if len(found) > 1 else found[0]


def _added(rewards: Any, where: Any, numbers: Any) -> Any:
    """Return rewards with numbers added where they belong; integers stay integers where none do."""
    return rewards + np.where(where, numbers, 0) if where.any() else rewards
