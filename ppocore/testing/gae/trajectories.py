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

    @property
    def shape(self) -> tuple[int, int]:
        """Return (T, N)."""
        rows, columns = self.rewards.shape
        return rows, columns

    def where(self, rows: Any, columns: Any = slice(None)) -> Trajectory:
        """Select rows and columns."""
        return self._replace(**{name: getattr(self, name)[rows][:, columns] for name in self._fields[:6]})

    def deleted_invalid(self, column: int) -> Trajectory:
        """Return one column without its invalid rows."""
        return self.where(self.valid[:, column], slice(column, column + 1))

    def put(self, **changes: Any) -> Trajectory:
        """Return it with some fields changed, by name."""
        return self._replace(**changes)

    def consistent(self) -> Trajectory:
        """Return it with ``next_values`` that are the values of the successors inside episodes."""
        return self._replace(next_values=successors(self.values, self.next_values, self.ended, self.valid))


@st.composite
def trajectories(
    draw: st.DrawFn,
    *,
    max_length: int = 8,
    max_columns: int = 3,
    invalid: bool = False,
    truncations: bool = True,
    open_ends: bool = True,
    extreme: bool = True,
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
        open_ends: whether episodes may continue after the last row.
        extreme: whether there are numbers of very different sizes.
        dtypes: dtypes of the rewards; values are float32 with float32 rewards, otherwise float64.
        long: whether some trajectories have up to 120 rows, whose numbers come from a drawn seed.
    """
    columns = draw(st.integers(1, max_columns))
    if long and draw(st.integers(0, 7)) == 7:
        shape = (draw(st.integers(1, 120)), columns)
        drawn = _from_seed(shape, draw(st.integers(0, 2**16)), draw(st.sampled_from([0.02, 0.2, 0.0])))
    else:
        drawn = _draw_rows(draw, max_length, columns, extreme)
    rewards, values, finals, terminated, truncated, valid = drawn
    if not truncations:
        truncated[...] = False
    if not invalid:
        valid[...] = True
    if not open_ends:
        terminated[-1] |= ~truncated[-1]
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


def _draw_rows(draw: st.DrawFn, max_length: int, columns: int, extreme: bool) -> tuple[Array, ...]:
    """Draw row by row, so that a row can be left out when hypothesis shrinks."""
    number = st.sampled_from(SMALL + EXTREME if extreme and draw(st.booleans()) else SMALL)
    # Each row continues (0), is terminated (1), truncated (2) or both (3), or is not a transition (4).
    cell = st.tuples(number, number, number, st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
    rows = draw(st.lists(st.tuples(*[cell] * columns), min_size=1, max_size=max_length))
    arrays = np.array(rows).transpose(2, 0, 1)
    kinds = arrays[3]
    return (*arrays[:3].copy(), np.isin(kinds, (1, 3)), np.isin(kinds, (2, 3)), kinds != 4)


def _from_seed(shape: tuple[int, int], seed: int, ends: float) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(3, *shape)).round(3)
    terminated, truncated = rng.random((2, *shape)) < ends
    return (*numbers, terminated, truncated, rng.random(shape) >= ends)


def successors(values: Array, finals: Array, ended: Array, valid: Array) -> Array:
    """Return the value of each row's true successor, from ``values`` inside episodes and from ``finals`` elsewhere."""
    found = finals.copy()
    if valid.all():
        found[:-1] = np.where(ended[:-1], finals[:-1], values[1:])
        return found
    for column in range(values.shape[1]):
        rows = np.flatnonzero(valid[:, column])
        for t, following in pairwise(rows):
            if not ended[t, column]:
                found[t, column] = values[following, column]
    return found


def diagnostic_trajectories(seed: int = 0, count: int = 24, *, invalid: bool = False) -> list[Trajectory]:
    """Draw trajectories with many ends and different numbers, on which two different functions hardly ever agree.

    They have few shapes, because some frameworks compile a function for each.
    """
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        shape = ((7, 2), (4, 1), (12, 3))[index % 3]
        rewards, values, finals = rng.normal(size=(3, *shape)).round(3)
        terminated, truncated = rng.random((2, *shape)) < 0.25
        valid = rng.random(shape) >= (0.25 if invalid else 0.0)
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


def dyadic_trajectories(seed: int = 0, count: int = 24, *, rows: int = 5) -> list[Trajectory]:
    """Draw trajectories whose advantages a short significand represents, whatever the order of the operations.

    Numbers are small integers, and discounts 1/2, 1/4 and 1: with at most five rows float32 suffices, and with two
    bfloat16.
    """
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        shape = (1 + index % rows, 1 + index % 2)
        rewards, values, finals = rng.integers(-2, 3, (3, *shape)).astype(np.float64)
        terminated, truncated = rng.random((2, *shape)) < 0.2
        valid = np.ones(shape, np.bool_)
        following = successors(values, finals, terminated | truncated, valid)
        gamma, lam = ((0.5, 0.25), (0.25, 0.5), (1.0, 0.5), (0.5, 1.0))[index // rows % 4]
        made.append(Trajectory(rewards, values, following, terminated, truncated, valid, gamma, lam))
    return made


def large_trajectory(rows: int, columns: int) -> Trajectory:
    """Return a rollout of any size, with few ends and small numbers, the same every time."""
    t, i = np.arange(rows)[:, None], np.arange(columns)[None]
    rewards = ((3 * t + 5 * i) % 7 - 3.0) / 2
    values = ((5 * t + 2 * i) % 5 - 2.0) / 2
    ends = (t * 7 + i * 3) % 61
    terminated, truncated = ends == 17, ends == 40
    finals = ((t + i) % 3).astype(np.float64)
    valid = np.ones((rows, columns), np.bool_)
    following = successors(values, finals, terminated | truncated, valid)
    return Trajectory(rewards, values, following, terminated, truncated, valid, 0.99, 0.95)
