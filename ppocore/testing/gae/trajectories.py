"""Draw trajectories, the arguments of an advantage estimator, with hypothesis."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from ppocore.typing import Array

SMALL = (1.0, 0.0, 2.0, -1.0, 3.0, -2.0, 0.5)
"""Numbers that make mistakes easy to read; exact in every dtype, and often tied."""
EXTREME = (1e6, -1e6, 1e-6, 100.0, -0.25)
DISCOUNTS = (0.5, 0.9, 0.99, 0.0, 1.0)


class Trajectory(NamedTuple):
    """Hold the arguments of an advantage estimator, time-major arrays (T, N) as described in `ppocore.advantages`.

    Inside an episode ``next_values[t]`` is the value of the next valid row. Where an episode ended, it is the value of
    the final observation; in the last row, that of the observation after the last step.
    """

    rewards: Array
    values: Array
    next_values: Array
    terminated: Array
    truncated: Array
    valid: Array
    gamma: float
    lam: float

    @property
    def ended(self) -> Array:
        """Return where an episode ended, by termination or truncation."""
        return self.terminated | self.truncated

    def where(self, rows: Any, columns: Any = slice(None)) -> Trajectory:
        """Select rows and columns."""
        return self._replace(**{name: getattr(self, name)[rows][:, columns] for name in self._fields[:6]})

    def deleted_invalid(self, column: int) -> Trajectory:
        """Return one column without its invalid rows."""
        return self.where(self.valid[:, column], slice(column, column + 1))

    def code(self) -> str:
        """Return Python code that assigns the arguments."""
        names = self._fields[:5] if self.valid.all() else self._fields[:6]
        lines = [f"{name} = np.array({_rows(getattr(self, name))})" for name in names]
        plain = {"float64", "bool", "int64"}
        lines = [
            line if getattr(self, name).dtype.name in plain else f"{line}.astype(np.{getattr(self, name).dtype.name})"
            for name, line in zip(names, lines, strict=True)
        ]
        return "\n".join([*lines, f"gamma, lam = {self.gamma!r}, {self.lam!r}"])


def _rows(array: Array) -> str:
    text = repr(array.tolist())
    return text.replace("nan", "np.nan").replace("inf", "np.inf")


@st.composite
def trajectories(
    draw: st.DrawFn,
    *,
    max_length: int = 8,
    max_columns: int = 3,
    invalid: bool = False,
    truncations: bool = True,
    dtypes: tuple[str, ...] = ("float64",),
    long: bool = True,
) -> Trajectory:
    """Draw trajectories with rewards, values and ends of every kind.

    Episodes are short and long. They end by termination, truncation or both at once, or continue after the last row.
    There are single rows and columns, tied and extreme numbers, and discounts of 0 and 1.

    Args:
        draw: passed by hypothesis.
        max_length: largest number of rows of a trajectory whose numbers are drawn one by one; these shrink best.
        max_columns: largest number of columns.
        invalid: whether some rows are not transitions, such as rows in which an environment only resets.
        truncations: whether episodes may be truncated.
        dtypes: dtypes of the rewards; values are float32 with float32 rewards, otherwise float64.
        long: whether some trajectories have up to 120 rows, whose numbers come from a drawn seed.
    """
    columns = draw(st.integers(1, max_columns))
    if long and draw(st.integers(0, 7)) == 7:
        shape = (draw(st.integers(1, 120)), columns)
        drawn = _from_seed(shape, draw(st.integers(0, 2**16)), draw(st.sampled_from([0.02, 0.2, 0.0])))
    else:
        shape = (draw(st.integers(1, max_length)), columns)
        drawn = _draw_each(draw, shape)
    rewards, values, finals, terminated, truncated, valid = drawn
    if not truncations:
        truncated[...] = False
    if not invalid:
        valid[...] = True
    dtype = draw(st.sampled_from(dtypes))
    if np.dtype(dtype).kind in "iu":
        rewards = np.rint(rewards)
    wide = "float32" if dtype == "float32" else "float64"
    return Trajectory(
        rewards.astype(dtype),
        values.astype(wide),
        successors(values, finals, terminated | truncated, valid).astype(wide),
        terminated,
        truncated,
        valid,
        draw(st.sampled_from(DISCOUNTS)),
        draw(st.sampled_from(DISCOUNTS)),
    )


def _draw_each(draw: st.DrawFn, shape: tuple[int, int]) -> tuple[Array, ...]:
    """Draw numbers and flags one by one."""
    size = shape[0] * shape[1]
    numbers = draw(st.sampled_from([SMALL, SMALL + EXTREME]))
    drawn = draw(st.lists(st.sampled_from(numbers), min_size=3 * size, max_size=3 * size))
    # Each row continues (0), is terminated (1), truncated (2) or both (3), or is not a transition (4).
    kinds = np.array(draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), min_size=size, max_size=size)))
    kinds = kinds.reshape(shape)
    arrays = np.array(drawn).reshape(3, *shape)
    return (*arrays, np.isin(kinds, (1, 3)), np.isin(kinds, (2, 3)), kinds != 4)


def _from_seed(shape: tuple[int, int], seed: int, ends: float) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(3, *shape)).round(3)
    terminated, truncated = rng.random((2, *shape)) < ends
    return (*numbers, terminated, truncated, rng.random(shape) >= ends)


def successors(values: Array, finals: Array, ended: Array, valid: Array) -> Array:
    """Return the value of each row's true successor, from ``values`` inside episodes and from ``finals`` elsewhere."""
    found = finals.copy()
    for column in range(values.shape[1]):
        rows = np.flatnonzero(valid[:, column])
        for t, following in pairwise(rows):
            if not ended[t, column]:
                found[t, column] = values[following, column]
    return found


def diagnostic_trajectories(seed: int = 0, count: int = 24, *, invalid: bool = False) -> list[Trajectory]:
    """Draw trajectories with many ends and different numbers, on which two different functions hardly ever agree."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        shape = (int(rng.integers(3, 14)), int(rng.integers(1, 4)))
        rewards, values, finals = rng.normal(size=(3, *shape)).round(3)
        terminated, truncated = rng.random((2, *shape)) < 0.25
        valid = rng.random(shape) >= (0.25 if invalid else 0.0)
        if index % 4 == 3:
            rewards = rng.integers(-5, 6, shape)
        made.append(
            Trajectory(
                rewards,
                values,
                successors(values, finals, terminated | truncated, valid),
                terminated,
                truncated,
                valid,
                float(rng.choice([0.9, 0.7])),
                float(rng.choice([0.95, 0.4])),
            )
        )
    return made
