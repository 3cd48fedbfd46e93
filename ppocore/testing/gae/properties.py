"""Define the properties of a right advantage function, one function each.

Each takes a `Candidate` and a `Trajectory`, raises `Mismatch` where the property does not hold, and can be called by
itself::

    explicit_sum(Candidate(my_gae), trajectory)

``PROPERTIES`` lists them, the most elementary first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError, CandidateRaised
from ppocore.testing.gae.comparison import Inapplicable, Mismatch, outcome_of, require_close, size_of, tolerance
from ppocore.testing.gae.frameworks import Framework
from ppocore.testing.gae.oracle import expected_advantages, magnitude
from ppocore.testing.gae.precision import representable
from ppocore.testing.gae.trajectories import Trajectory, successors
from ppocore.testing.report import requirement_of
from ppocore.typing import Array


def well_formed(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that it returns finite floating-point advantages of the rewards' shape and kind within its time limit."""
    outcome_of(candidate, trajectory)


def inputs_untouched(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that it does not write to its arguments."""
    written = outcome_of(candidate, trajectory).written
    if written:
        raise Mismatch(f"it wrote to its argument {' and '.join(sorted(written))}", trajectory)


def explicit_sum(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that its advantages are the discounted sums of the residuals up to the end of the episode."""
    outcome = outcome_of(candidate, trajectory)
    allowed = tolerance(candidate, trajectory, outcome.precision)
    require_close("advantages by definition", trajectory, candidate.expected(trajectory), outcome.advantages, allowed)


def residual_at_lambda_0(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that with lambda 0 the advantages are the one-step residuals."""
    _require_lambda(candidate)
    if candidate.meaning.estimator == "vtrace":
        raise Inapplicable("V-trace's advantage has another form at lambda 0")
    changed = trajectory._replace(lam=0.0)
    outcome = outcome_of(candidate, changed)
    successor = np.where(changed.terminated, 0.0, changed.next_values)
    expected = np.where(changed.valid, changed.rewards + changed.gamma * successor - changed.values, 0.0)
    require_close(
        "the residual at lambda 0",
        changed,
        expected,
        outcome.advantages,
        tolerance(candidate, changed, outcome.precision),
    )


def monte_carlo_at_lambda_1(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that with lambda 1 the advantages are the bootstrapped discounted returns minus the values."""
    _require_lambda(candidate)
    changed = trajectory._replace(lam=1.0)
    outcome = outcome_of(candidate, changed)
    expected = np.zeros(changed.rewards.shape)
    for i in range(changed.rewards.shape[1]):
        following: float | None = None
        for t in reversed(np.flatnonzero(changed.valid[:, i]).tolist()):
            if changed.terminated[t, i]:
                following = 0.0
            elif following is None or changed.truncated[t, i]:
                following = float(changed.next_values[t, i])
            following = float(changed.rewards[t, i]) + changed.gamma * following
            expected[t, i] = following - changed.values[t, i]
    allowed = tolerance(candidate, changed, outcome.precision)
    require_close("the return minus the value at lambda 1", changed, expected, outcome.advantages, allowed)


def returns_are_advantages_and_values(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that its returns, if any, are the sums of advantages and values."""
    outcome = outcome_of(candidate, trajectory)
    if outcome.returns is None:
        raise Inapplicable
    meaning = candidate.meaning
    if meaning.returns == "any":
        raise Inapplicable("its returns are declared as something else")
    what, advantages = "returns", outcome.advantages
    if meaning.returns == "rewards_to_go":
        what, advantages = "returns that are rewards to go", expected_advantages(trajectory._replace(lam=1.0))
    elif meaning.estimator == "vtrace":
        what, advantages = "values by V-trace", expected_advantages(trajectory)
    expected = advantages + trajectory.values
    size = magnitude(trajectory._replace(lam=1.0)) + np.abs(trajectory.values)
    require_close(
        what, trajectory, expected, outcome.returns, 2.0 * tolerance(candidate, trajectory, outcome.precision, size)
    )


def episodes_apart(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that an episode's advantages do not depend on other episodes."""
    actual, _, precision, _ = outcome_of(candidate, trajectory)
    allowed = 2.0 * tolerance(candidate, trajectory, precision)
    for i in range(trajectory.rewards.shape[1]):
        first = 0
        for last in [*np.flatnonzero(trajectory.ended[:, i] & trajectory.valid[:, i]).tolist(), len(actual) - 1]:
            if first > last:
                continue
            rows, column = slice(first, last + 1), slice(i, i + 1)
            alone = outcome_of(candidate, trajectory.where(rows, column)).advantages
            part = trajectory._replace(valid=_keep(trajectory.valid, rows, column))
            expected = actual.copy()
            expected[rows, column] = alone
            require_close("an episode apart from the others", part, expected, actual, allowed)
            first = last + 1


def nothing_leaks_back(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that nothing after the end of an episode changes its advantages."""
    before, _, precision, _ = outcome_of(candidate, trajectory)
    for i in range(trajectory.rewards.shape[1]):
        for end in np.flatnonzero(trajectory.ended[:, i] & trajectory.valid[:, i]).tolist()[-1:]:
            rewards, values = trajectory.rewards.copy(), trajectory.values.copy()
            rewards[end + 1 :, i] += 3
            values[end + 1 :, i] -= 2
            changed = trajectory._replace(rewards=rewards, values=values)
            changed = changed._replace(
                next_values=np.where(
                    _rows_after(end, i, before.shape),
                    successors(values, trajectory.next_values, trajectory.ended, trajectory.valid),
                    trajectory.next_values,
                )
            )
            after = outcome_of(candidate, changed).advantages
            kept = changed._replace(valid=_keep(changed.valid, slice(0, end + 1), slice(i, i + 1)))
            allowed = 2.0 * (tolerance(candidate, trajectory, precision) + tolerance(candidate, changed, precision))
            require_close(f"changing rows after the end in row {end} of column {i}", kept, before, after, allowed)


def terminal_successors_unread(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that ``next_values`` does not count where the episode terminated."""
    terminal = trajectory.terminated & trajectory.valid
    if not terminal.any():
        raise Inapplicable
    before, _, precision, _ = outcome_of(candidate, trajectory)
    changed = trajectory._replace(next_values=np.where(terminal, 1000.0, trajectory.next_values))
    after = outcome_of(candidate, changed).advantages
    allowed = 2.0 * tolerance(candidate, changed, precision)
    require_close("another value after a termination", changed, before, after, allowed)


def linear(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that the advantages are linear in the rewards and values."""
    other = trajectory._replace(
        rewards=trajectory.rewards[::-1],
        values=trajectory.values[::-1],
        next_values=successors(
            trajectory.values[::-1], trajectory.next_values[::-1], trajectory.ended, trajectory.valid
        ),
    )
    parts = [outcome_of(candidate, part).advantages for part in (trajectory, other)]
    total = trajectory._replace(
        rewards=2 * trajectory.rewards + other.rewards,
        values=2 * trajectory.values + other.values,
        next_values=2 * trajectory.next_values + other.next_values,
    )
    actual, _, precision, _ = outcome_of(candidate, total)
    size = 2.0 * size_of(candidate, trajectory) + size_of(candidate, other)
    allowed = 2.0 * tolerance(candidate, total, precision, size)
    require_close("twice one trajectory and another", total, 2.0 * parts[0] + parts[1], actual, allowed)


def environments_apart(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that an environment's advantages do not depend on other environments or their order."""
    actual, _, precision, _ = outcome_of(candidate, trajectory)
    columns = trajectory.rewards.shape[1]
    allowed = 2.0 * tolerance(candidate, trajectory, precision)
    backwards = outcome_of(candidate, trajectory.where(slice(None), np.arange(columns)[::-1])).advantages
    require_close("environments in another order", trajectory, backwards[:, ::-1], actual, allowed)
    each = [trajectory.where(slice(None), slice(i, i + 1)) for i in range(columns)]
    alone = [outcome_of(candidate, column).advantages for column in each]
    require_close("each environment alone", trajectory, np.concatenate(alone, axis=1), actual, allowed)


def chunks_join(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that a rollout in two chunks, joined by the recursion, has the advantages of the whole."""
    length = len(trajectory.rewards)
    if length < 2 or not trajectory.valid.all():
        raise Inapplicable
    meaning = candidate.meaning
    if meaning.whole_episodes or meaning.normalized or meaning.estimator != "gae":
        raise Inapplicable("what is declared does not join by the recursion")
    cut = length // 2
    whole, _, precision, _ = outcome_of(candidate, trajectory)
    halves = (trajectory.where(rows) for rows in (slice(0, cut), slice(cut, None)))
    first, rest = (outcome_of(candidate, half).advantages for half in halves)
    carry = rest[0].astype(np.float64)
    joined = np.concatenate([first.astype(np.float64), rest])
    for t in reversed(range(cut)):
        carry = np.where(trajectory.ended[t], 0.0, trajectory.gamma * trajectory.lam * carry)
        joined[t] += carry
    allowed = 4.0 * tolerance(candidate, trajectory, precision)
    require_close(f"the rollout in two parts, cut before row {cut}", trajectory, joined, whole, allowed)


def other_dtypes(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that integer and float32 rewards have the advantages of equal float64 rewards."""
    if not candidate.signature.sees_truncation:  # the bootstrap in the reward would make it a fraction
        trajectory = trajectory._replace(terminated=trajectory.ended, truncated=np.zeros_like(trajectory.truncated))
    if candidate.signature.by_sequence and not candidate.signature.sees_open_ends_itself:
        trajectory.terminated[-1] = True
    whole = trajectory._replace(rewards=np.rint(trajectory.rewards).astype(np.int64))
    exact = [(candidate, "int64", whole)]
    if candidate.arrays == "numpy" and candidate.framework.dtype == "float64":
        single = candidate.changed(framework=Framework("numpy", "float32"))
        exact.append((single, "float32", representable(single, trajectory)))
    refused = ""
    for judged, dtype, changed in exact:
        try:
            outcome = judged(changed)
        except CandidateRaised as error:
            refused = f"with rewards of dtype {dtype} {error}"
            continue
        except CandidateError as error:
            raise Mismatch(f"with rewards of dtype {dtype} {error}", changed) from error
        allowed = tolerance(judged, changed, outcome.precision)
        require_close(f"rewards of dtype {dtype}", changed, judged.expected(changed), outcome.advantages, allowed)
    if refused:  # which gives no wrong number
        raise Inapplicable(refused)


def large_rollouts(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that long and wide rollouts have the advantages by definition."""
    outcome = outcome_of(candidate, trajectory)
    allowed = tolerance(candidate, trajectory, outcome.precision)
    expected = candidate.expected(trajectory)
    require_close(f"a rollout of {trajectory.shape}", trajectory, expected, outcome.advantages, allowed)


def invalid_rows_deleted(candidate: Candidate, trajectory: Trajectory) -> None:
    """Require that invalid rows get 0, may hold NaN, and count as if they were deleted."""
    if not candidate.takes_valid or trajectory.valid.all():
        raise Inapplicable
    corrupted = trajectory._replace(
        rewards=np.where(trajectory.valid, trajectory.rewards, np.nan),
        values=np.where(trajectory.valid, trajectory.values, np.nan),
        next_values=np.where(trajectory.valid, trajectory.next_values, np.nan),
    )
    for each in (trajectory, corrupted):
        actual, _, precision, _ = outcome_of(candidate, each)
        if (actual[~each.valid] != 0.0).any():
            t, i = np.argwhere((actual != 0.0) & ~each.valid)[0].tolist()
            raise Mismatch(f"row {t} of column {i} is not valid and gets {actual[t, i]:.7g}, expected 0", each)
        for i in range(each.rewards.shape[1]):
            rows = each.valid[:, i]
            if rows.any():
                column = each.deleted_invalid(i)
                expected = actual.copy()
                expected[rows, i] = outcome_of(candidate, column).advantages[:, 0]
                allowed = 2.0 * tolerance(candidate, trajectory, precision)
                require_close("invalid rows deleted", each, expected, actual, allowed)


def _keep(flags: Array, rows: slice, columns: slice) -> Array:
    kept = np.zeros_like(flags)
    kept[rows, columns] = flags[rows, columns]
    return kept


def _rows_after(row: int, column: int, shape: tuple[int, ...]) -> Array:
    found = np.zeros(shape, np.bool_)
    found[row + 1 :, column] = True
    return found


def _require_lambda(candidate: Candidate) -> None:
    if candidate.meaning.lam is not None:
        raise Inapplicable("its lambda is declared")


class Property(NamedTuple):
    """Describe a property, and whether it needs trajectories with invalid rows, or large ones."""

    check: Callable[[Candidate, Trajectory], None]
    needs_valid: bool = False
    large: bool = False

    @property
    def name(self) -> str:
        """Return the name of its function."""
        return self.check.__name__

    @property
    def says(self) -> str:
        """Return what it requires, from the docstring of its function."""
        return requirement_of(self.check)


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
    Property(large_rollouts, large=True),
    Property(invalid_rows_deleted, needs_valid=True),
]
