"""What every right advantage function does, one property a function.

Each takes a `Candidate` and a `Trajectory`, raises a `Mismatch` where it does not hold, and can be run alone::

    explicit_sum(Candidate(my_gae), trajectory)

``PROPERTIES`` lists them, the most elementary first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ppocore.testing.gae.candidate import Candidate, Misbehaviour
from ppocore.testing.gae.oracle import expected_advantages, magnitude
from ppocore.testing.gae.trajectories import Trajectory, successors
from ppocore.typing import Array


class Mismatch(AssertionError):
    """A property that does not hold on a trajectory.

    Attributes:
        trajectory: what the candidate was called with.
        expected, actual: what was compared.
    """

    def __init__(self, message: str, trajectory: Trajectory, expected: Any = None, actual: Any = None) -> None:
        super().__init__(message)
        self.message, self.trajectory = message, trajectory
        self.expected, self.actual = expected, actual


class Inapplicable(Exception):
    """The trajectory says nothing about the property."""


def tolerance(trajectory: Trajectory, dtype: np.dtype[Any], size: Array | None = None) -> Array:
    """How far rounding may carry each advantage, (T, N): some units in the last place of all that is added up."""
    size = magnitude(trajectory) if size is None else size
    length = len(trajectory.rewards)
    allowed: Array = np.finfo(dtype).eps * (16.0 + 4.0 * length) * size + np.finfo(dtype).tiny
    return allowed


def advantages_of(candidate: Candidate, trajectory: Trajectory) -> Array:
    """What the candidate gives; a misbehaviour is a mismatch with the trajectory that brought it about."""
    try:
        return candidate(trajectory).advantages
    except Misbehaviour as error:
        raise Mismatch(str(error), trajectory) from error


def require_close(what: str, trajectory: Trajectory, expected: Array, actual: Array, allowed: Array) -> None:
    """Mismatch where two arrays of advantages are further apart than rounding takes them, in valid rows."""
    wrong = (np.abs(actual - expected) > allowed) & trajectory.valid
    if wrong.any():
        t, i = np.argwhere(wrong)[0].tolist()
        raise Mismatch(
            f"{what}: row {t} of column {i} is {actual[t, i]:.7g}, expected {expected[t, i]:.7g}",
            trajectory,
            expected,
            actual,
        )


def well_formed(candidate: Candidate, trajectory: Trajectory) -> None:
    """It gives finite floating-point advantages of the rewards' shape and kind, within its time, without raising."""
    advantages_of(candidate, trajectory)


def inputs_untouched(candidate: Candidate, trajectory: Trajectory) -> None:
    """It does not write to its arguments."""
    try:
        after = candidate(trajectory).arguments
    except Misbehaviour as error:
        raise Mismatch(str(error), trajectory) from error
    for name, array in after.items():
        if not np.array_equal(array, getattr(trajectory, name), equal_nan=True):
            raise Mismatch(f"it wrote to its argument {name}", trajectory, getattr(trajectory, name), array)


def explicit_sum(candidate: Candidate, trajectory: Trajectory) -> None:
    """Its advantages are the discounted sums of the residuals up to the end of the episode, by definition."""
    actual = advantages_of(candidate, trajectory)
    expected, allowed = expected_advantages(trajectory), tolerance(trajectory, actual.dtype)
    require_close("advantages by definition", trajectory, expected, actual, allowed)


def residual_at_lambda_0(candidate: Candidate, trajectory: Trajectory) -> None:
    """With lambda 0 an advantage is the one-step residual of the value."""
    asked = trajectory._replace(lam=0.0)
    actual = advantages_of(candidate, asked)
    successor = np.where(asked.terminated, 0.0, asked.next_values)
    expected = np.where(asked.valid, asked.rewards + asked.gamma * successor - asked.values, 0.0)
    require_close("the residual at lambda 0", asked, expected, actual, tolerance(asked, actual.dtype))


def monte_carlo_at_lambda_1(candidate: Candidate, trajectory: Trajectory) -> None:
    """With lambda 1 it is the discounted rewards to the end, with a value in place of the rest, less the value."""
    asked = trajectory._replace(lam=1.0)
    actual = advantages_of(candidate, asked)
    expected = np.zeros(asked.rewards.shape)
    for i in range(asked.rewards.shape[1]):
        following: float | None = None
        for t in reversed(np.flatnonzero(asked.valid[:, i]).tolist()):
            if asked.terminated[t, i]:
                following = 0.0
            elif following is None or asked.truncated[t, i]:
                following = float(asked.next_values[t, i])
            following = float(asked.rewards[t, i]) + asked.gamma * following
            expected[t, i] = following - asked.values[t, i]
    require_close("the return less the value at lambda 1", asked, expected, actual, tolerance(asked, actual.dtype))


def returns_are_advantages_and_values(candidate: Candidate, trajectory: Trajectory) -> None:
    """Where it gives returns, they are the advantages and the values."""
    try:
        outcome = candidate(trajectory)
    except Misbehaviour as error:
        raise Mismatch(str(error), trajectory) from error
    if outcome.returns is None:
        raise Inapplicable
    expected = outcome.advantages + trajectory.values
    allowed = tolerance(trajectory, outcome.returns.dtype) + 4 * np.finfo(outcome.returns.dtype).eps * np.abs(expected)
    require_close("returns", trajectory, expected, outcome.returns, allowed)


def episodes_apart(candidate: Candidate, trajectory: Trajectory) -> None:
    """An episode's advantages are those that it has alone."""
    actual = advantages_of(candidate, trajectory)
    allowed = 2.0 * tolerance(trajectory, actual.dtype)
    for i in range(trajectory.rewards.shape[1]):
        first = 0
        for last in [*np.flatnonzero(trajectory.ended[:, i] & trajectory.valid[:, i]).tolist(), len(actual) - 1]:
            if first > last:
                continue
            rows, column = slice(first, last + 1), slice(i, i + 1)
            alone = advantages_of(candidate, trajectory.where(rows, column))
            part = trajectory._replace(valid=_only(trajectory.valid, rows, column))
            expected = actual.copy()
            expected[rows, column] = alone
            require_close("an episode apart from the others", part, expected, actual, allowed)
            first = last + 1


def nothing_leaks_back(candidate: Candidate, trajectory: Trajectory) -> None:
    """What happens after an episode's end changes nothing before it."""
    before = advantages_of(candidate, trajectory)
    for i in range(trajectory.rewards.shape[1]):
        for end in np.flatnonzero(trajectory.ended[:, i] & trajectory.valid[:, i]).tolist()[-1:]:
            rewards, values = trajectory.rewards.copy(), trajectory.values.copy()
            rewards[end + 1 :, i] += 3
            values[end + 1 :, i] -= 2
            changed = trajectory._replace(rewards=rewards, values=values)
            changed = changed._replace(
                next_values=np.where(
                    _after(end, i, before.shape),
                    successors(values, trajectory.next_values, trajectory.ended, trajectory.valid),
                    trajectory.next_values,
                )
            )
            after = advantages_of(candidate, changed)
            kept = changed._replace(valid=_only(changed.valid, slice(0, end + 1), slice(i, i + 1)))
            allowed = 2.0 * (tolerance(trajectory, before.dtype) + tolerance(changed, before.dtype))
            require_close(f"changing rows after the end in row {end} of column {i}", kept, before, after, allowed)


def terminal_successors_unread(candidate: Candidate, trajectory: Trajectory) -> None:
    """The value after a termination is not read."""
    hit = trajectory.terminated & trajectory.valid
    if not hit.any():
        raise Inapplicable
    before = advantages_of(candidate, trajectory)
    changed = trajectory._replace(next_values=np.where(hit, 1000.0, trajectory.next_values))
    after = advantages_of(candidate, changed)
    require_close("another value after a termination", changed, before, after, 2.0 * tolerance(changed, before.dtype))


def linear(candidate: Candidate, trajectory: Trajectory) -> None:
    """Twice the rewards and values give twice the advantages, and those of a sum are the sum."""
    other = trajectory._replace(
        rewards=trajectory.rewards[::-1],
        values=trajectory.values[::-1],
        next_values=successors(
            trajectory.values[::-1], trajectory.next_values[::-1], trajectory.ended, trajectory.valid
        ),
    )
    parts = [advantages_of(candidate, part) for part in (trajectory, other)]
    total = trajectory._replace(
        rewards=2 * trajectory.rewards + other.rewards,
        values=2 * trajectory.values + other.values,
        next_values=2 * trajectory.next_values + other.next_values,
    )
    actual = advantages_of(candidate, total)
    size = 2.0 * magnitude(trajectory) + magnitude(other)
    allowed = 2.0 * tolerance(total, actual.dtype, size)
    require_close("twice one trajectory and another", total, 2.0 * parts[0] + parts[1], actual, allowed)


def environments_apart(candidate: Candidate, trajectory: Trajectory) -> None:
    """Each column is what it is alone, and in another order of the columns."""
    actual = advantages_of(candidate, trajectory)
    columns = trajectory.rewards.shape[1]
    allowed = 2.0 * tolerance(trajectory, actual.dtype)
    backwards = advantages_of(candidate, trajectory.where(slice(None), np.arange(columns)[::-1]))
    require_close("environments in another order", trajectory, backwards[:, ::-1], actual, allowed)
    alone = [advantages_of(candidate, trajectory.where(slice(None), slice(i, i + 1))) for i in range(columns)]
    require_close("each environment alone", trajectory, np.concatenate(alone, axis=1), actual, allowed)


def chunks_join(candidate: Candidate, trajectory: Trajectory) -> None:
    """The first rows alone, and what the rest hands back to them, are the whole."""
    length = len(trajectory.rewards)
    if length < 2 or not trajectory.valid.all():
        raise Inapplicable
    cut = length // 2
    whole = advantages_of(candidate, trajectory)
    first, rest = (advantages_of(candidate, trajectory.where(rows)) for rows in (slice(0, cut), slice(cut, None)))
    carry = rest[0].astype(np.float64)
    joined = np.concatenate([first.astype(np.float64), rest])
    for t in reversed(range(cut)):
        carry = np.where(trajectory.ended[t], 0.0, trajectory.gamma * trajectory.lam * carry)
        joined[t] += carry
    allowed = 4.0 * tolerance(trajectory, whole.dtype)
    require_close(f"the rollout in two parts, cut before row {cut}", trajectory, joined, whole, allowed)


def other_dtypes(candidate: Candidate, trajectory: Trajectory) -> None:
    """Integer and float32 rewards give what float64 ones do."""
    for dtype in ("int64", "float32"):
        exact = trajectory._replace(rewards=np.rint(trajectory.rewards).astype(dtype))
        if dtype == "float32":
            exact = exact._replace(
                rewards=trajectory.rewards.astype(dtype),
                values=trajectory.values.astype(dtype),
                next_values=trajectory.next_values.astype(dtype),
            )
        actual = advantages_of(candidate, exact)
        # What comes as float32 may be computed in it, whatever the result is kept in.
        least = max(actual.dtype, np.dtype(dtype), key=_epsilon) if dtype == "float32" else actual.dtype
        expected, allowed = expected_advantages(exact), tolerance(exact, least)
        require_close(f"rewards of dtype {dtype}", exact, expected, actual, allowed)


def invalid_rows_deleted(candidate: Candidate, trajectory: Trajectory) -> None:
    """Valid rows get what they would get with the invalid ones deleted, which get 0 and may hold NaN."""
    if not candidate.takes_valid or trajectory.valid.all():
        raise Inapplicable
    spoiled = trajectory._replace(
        rewards=np.where(trajectory.valid, trajectory.rewards, np.nan),
        values=np.where(trajectory.valid, trajectory.values, np.nan),
        next_values=np.where(trajectory.valid, trajectory.next_values, np.nan),
    )
    for asked in (trajectory, spoiled):
        actual = advantages_of(candidate, asked)
        if (actual[~asked.valid] != 0.0).any():
            t, i = np.argwhere((actual != 0.0) & ~asked.valid)[0].tolist()
            raise Mismatch(f"row {t} of column {i} is not valid and gets {actual[t, i]:.7g}, expected 0", asked)
        for i in range(asked.rewards.shape[1]):
            rows = asked.valid[:, i]
            if rows.any():
                column = asked.deleted_invalid(i)
                expected = actual.copy()
                expected[rows, i] = advantages_of(candidate, column)[:, 0]
                allowed = 2.0 * tolerance(trajectory, actual.dtype)
                require_close("invalid rows deleted", asked, expected, actual, allowed)


def _only(flags: Array, rows: slice, columns: slice) -> Array:
    kept = np.zeros_like(flags)
    kept[rows, columns] = flags[rows, columns]
    return kept


def _after(row: int, column: int, shape: tuple[int, ...]) -> Array:
    found = np.zeros(shape, np.bool_)
    found[row + 1 :, column] = True
    return found


def _epsilon(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).eps)


class Property(NamedTuple):
    """A property and the trajectories on which it is tried."""

    check: Callable[[Candidate, Trajectory], None]
    needs_valid: bool = False

    @property
    def name(self) -> str:
        """That of its function."""
        return self.check.__name__

    @property
    def says(self) -> str:
        """The first sentence of its description."""
        return (self.check.__doc__ or "").strip().split("\n")[0]


PROPERTIES = [
    Property(well_formed),
    Property(inputs_untouched),
    Property(explicit_sum),
    Property(residual_at_lambda_0),
    Property(monte_carlo_at_lambda_1),
    Property(returns_are_advantages_and_values),
    Property(episodes_apart),
    Property(nothing_leaks_back),
    Property(terminal_successors_unread),
    Property(linear),
    Property(environments_apart),
    Property(chunks_join),
    Property(other_dtypes),
    Property(invalid_rows_deleted, needs_valid=True),
]
