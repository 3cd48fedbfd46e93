"""Find the smallest trajectory on which a property does not hold.

Hypothesis finds a trajectory, and this makes it smaller: first it looks for a failure among trajectories of the
smallest shapes, then it leaves rows and columns out, and at last replaces flags and numbers by simpler ones. That a
shape stays small does not depend on the order in which numbers were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ppocore.testing.gae.comparison import Mismatch
from ppocore.testing.gae.trajectories import DISCOUNTS, SMALL, Trajectory, large_trajectory
from ppocore.typing import Array

Fails = Callable[[Trajectory], Mismatch | None]
Failure = tuple[Trajectory, Mismatch]
"""What was checked, and how it fails, which may be on another trajectory made from it."""
Prepare = Callable[[Trajectory], Trajectory]
SHAPES = ((1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3), (4, 1), (3, 2), (2, 3), (5, 1))
SIMPLE = (0.0, 1.0, 2.0, -1.0, 0.5)


def smallest(
    failure: Failure, fails: Fails, prepare: Prepare, *, invalid: bool, tries: int = 60, steps: int = 300
) -> Failure:
    """Return the failure on the smallest trajectory that could be found.

    Args:
        failure: a trajectory for which the property does not hold, and how it fails.
        fails: checks a trajectory, and returns how it fails, or None.
        prepare: makes a trajectory one that the candidate is meant for.
        invalid: whether rows that are not valid may be drawn.
        tries: number of trajectories that are tried of each smaller shape.
        steps: number of trajectories that are tried of each way to make one simpler.
    """
    rows, columns = failure[0].shape
    for shape in SHAPES:
        if shape[0] * shape[1] >= rows * columns:
            break
        other = first_failure(map(prepare, _small(shape, tries, invalid)), fails)
        if other is not None:
            failure = other
            break
    for simpler in (_fewer_rows_and_columns, _simpler_flags, _simpler_numbers):
        failure = _repeated(failure, simpler, fails, prepare, steps)
    return failure


def smallest_large(failure: Failure, fails: Fails, prepare: Prepare) -> Failure:
    """Return the failure on the smallest rollout of its kind, for a failure that depends on the size."""

    def of(rows: int, columns: int) -> Failure | None:
        return first_failure([prepare(large_trajectory(rows, columns))], fails)

    rows, columns = failure[0].shape
    columns = bisected(columns, lambda n: of(rows, n))
    rows = bisected(rows, lambda n: of(n, columns))
    failure = of(rows, columns) or failure
    x = failure[0]
    nothing, nowhere = np.zeros_like(x.values), np.zeros_like(x.terminated)
    plain = x.put(values=nothing, next_values=nothing, terminated=nowhere, truncated=nowhere)
    simpler = (prepare(plain.put(rewards=np.full_like(x.rewards, number))) for number in (0.0, 1.0))
    return first_failure(simpler, fails) or failure


def bisected(largest: int, fails: Callable[[int], object]) -> int:
    """Return the smallest size that fails, if every larger one does."""
    low, high = 0, largest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high


def first_failure(trajectories: Iterable[Trajectory], fails: Fails) -> Failure | None:
    """Return the first trajectory that fails, and how; None if none does."""
    for trajectory in trajectories:
        found = fails(trajectory)
        if found is not None:
            return trajectory, found
    return None


def _repeated(
    failure: Failure,
    simpler: Callable[[Trajectory], Iterator[Trajectory]],
    fails: Fails,
    prepare: Prepare,
    left: int,
) -> Failure:
    """Take simpler trajectories as long as one of them fails; at most ``left`` are tried."""
    while left > 0:
        tried = [x for x in map(prepare, simpler(failure[0])) if not _equal(x, failure[0])][:left]
        found = first_failure(tried, fails)
        if found is None:
            return failure
        left -= next(i for i, x in enumerate(tried) if x is found[0]) + 1
        failure = found
    return failure


def _equal(one: Trajectory, other: Trajectory) -> bool:
    """Tell whether nothing has changed, as where what was to change is declared."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one._fields)


def _small(shape: tuple[int, int], count: int, invalid: bool) -> Iterator[Trajectory]:
    rng = np.random.default_rng(shape[0] * 10 + shape[1])
    for _ in range(count):
        rewards, values, finals = rng.choice(SMALL, (3, *shape))
        kinds = rng.integers(0, 5 if invalid else 4, shape)
        terminated, truncated = np.isin(kinds, (1, 3)), np.isin(kinds, (2, 3))
        gamma, lam = rng.choice(DISCOUNTS[:3], 2)
        yield Trajectory(
            rewards, values, finals, terminated, truncated, kinds != 4, float(gamma), float(lam)
        ).consistent()


def _fewer_rows_and_columns(x: Trajectory) -> Iterator[Trajectory]:
    rows, columns = x.shape
    everything = np.arange(rows)
    size = rows // 2
    while size >= 1:
        for first in range(0, rows, size):
            kept = np.delete(everything, slice(first, first + size))
            if len(kept):
                yield x.where(kept).consistent()
        size //= 2
    for i in range(columns if columns > 1 else 0):
        yield x.where(slice(None), np.delete(np.arange(columns), i))


def _simpler_flags(x: Trajectory) -> Iterator[Trajectory]:
    for name, plain in (("terminated", False), ("truncated", False), ("valid", True)):
        for t, i in np.argwhere(getattr(x, name) != plain).tolist():
            simpler = _with(x, name, t, i, plain)
            yield simpler.consistent()
            if name == "truncated" and not x.terminated[t, i]:
                yield _with(simpler, "terminated", t, i, True)


def _simpler_numbers(x: Trajectory) -> Iterator[Trajectory]:
    for name in ("gamma", "lam"):
        if getattr(x, name) != 0.5:
            yield x.put(**{name: 0.5})
    for name in ("rewards", "values", "next_values"):
        for t, i in np.ndindex(*x.shape):
            now = getattr(x, name)[t, i]
            for number in SIMPLE:
                if now == number:
                    break
                changed = _with(x, name, t, i, number).consistent()
                if not np.array_equal(getattr(changed, name), getattr(x, name)):
                    yield changed


def _with(x: Trajectory, name: str, t: int, i: int, value: float | bool) -> Trajectory:
    array: Array = getattr(x, name).copy()
    array[t, i] = value
    return x.put(**{name: array})
