"""List the known mistakes of advantage code, each as a small wrong implementation.

A diagnosis compares a candidate with each of them. All are called with (rewards, values, next_values, terminated,
truncated, gamma, lam), arrays (T, N), and return advantages and returns; the wrong line is marked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ppocore.testing.gae.reference import Arguments, Pair, recursion, recursion_with_decay, reference_gae
from ppocore.typing import Array


class Defect(NamedTuple):
    """Describe a known mistake.

    Attributes:
        name: name in reports.
        says: what is wrong, as a clause.
        function: an implementation that makes the mistake.
    """

    name: str
    says: str
    function: Callable[..., Pair]


DEFECTS: dict[str, Defect] = {}


def _defect(says: str, reads_valid: bool = False) -> Callable[[Callable[[Arguments], Pair]], Callable[..., Pair]]:
    """Register a mistake under its function's name, with the signature of a candidate.

    Args:
        says: what is wrong, as a clause.
        reads_valid: whether the registered function takes ``valid``.
    """

    def add(function: Callable[[Arguments], Pair]) -> Callable[..., Pair]:
        def without_valid(
            rewards: Array,
            values: Array,
            next_values: Array,
            terminated: Array,
            truncated: Array,
            gamma: float,
            lam: float,
        ) -> Pair:
            return function(Arguments(rewards, values, next_values, terminated, truncated, gamma, lam))

        def with_valid(
            rewards: Array,
            values: Array,
            next_values: Array,
            terminated: Array,
            truncated: Array,
            gamma: float,
            lam: float,
            valid: Array | None = None,
        ) -> Pair:
            return function(Arguments(rewards, values, next_values, terminated, truncated, gamma, lam, valid))

        candidate = with_valid if reads_valid else without_valid
        candidate.__name__ = candidate.__qualname__ = function.__name__
        candidate.__doc__ = says
        name = function.__name__.replace("_", " ")
        DEFECTS[name] = Defect(name, says, candidate)
        return candidate

    return add


@_defect("a truncated episode is treated as terminated: its last step is not bootstrapped from next_values")
def truncation_treated_as_termination(x: Arguments) -> Pair:
    continues = ~(x.ended)
    # wrong: bootstraps only where the episode continues
    return recursion(x.rewards, x.values, x.next_values, continues, continues, x.gamma, x.lam)


@_defect("termination is ignored: the value after a terminal step is bootstrapped from")
def termination_ignored(x: Arguments) -> Pair:
    always = np.ones_like(x.terminated)
    return recursion(x.rewards, x.values, x.next_values, always, ~x.ended, x.gamma, x.lam)  # wrong: always


@_defect("no end is noticed: the value after a terminal step is bootstrapped from, and the next episode leaks back")
def ends_ignored(x: Arguments) -> Pair:
    always = np.ones_like(x.terminated)
    return recursion(x.rewards, x.values, x.next_values, always, always, x.gamma, x.lam)  # wrong: both


@_defect("the recursion is not cut at a truncation: the next episode's advantages leak back")
def recursion_not_cut_at_truncation(x: Arguments) -> Pair:
    # wrong: cut at terminations only
    return recursion(x.rewards, x.values, x.next_values, ~x.terminated, ~x.terminated, x.gamma, x.lam)


@_defect("the recursion is not cut at any end, though terminal steps are not bootstrapped")
def recursion_never_cut(x: Arguments) -> Pair:
    # wrong: never cut
    return recursion(x.rewards, x.values, x.next_values, ~x.terminated, np.ones_like(x.terminated), x.gamma, x.lam)


@_defect("a truncated step is bootstrapped from the value of its own state and not of its successor")
def own_value_at_truncation(x: Arguments) -> Pair:
    successor = np.where(x.truncated, x.values, x.next_values)  # wrong: V(s[t])
    return recursion(x.rewards, x.values, successor, ~x.terminated, ~x.ended, x.gamma, x.lam)


@_defect("a truncated step is bootstrapped from the value of the observation after the reset")
def value_after_the_reset(x: Arguments) -> Pair:
    successor = np.concatenate([x.values[1:], x.next_values[-1:]])  # wrong: row t + 1 is another episode
    return recursion(x.rewards, x.values, successor, ~x.terminated, ~x.ended, x.gamma, x.lam)


@_defect("truncation is not read: the next row, of another episode, gives the bootstrap, and its advantages leak back")
def truncation_not_read(x: Arguments) -> Pair:
    successor = np.concatenate([x.values[1:], x.next_values[-1:]])  # wrong: row t + 1 may be another episode's
    return recursion(x.rewards, x.values, successor, ~x.terminated, ~x.terminated, x.gamma, x.lam)  # wrong: not cut


@_defect("the ends are read one step late: those of the next row")
def ends_read_one_step_late(x: Arguments) -> Pair:
    # wrong: t + 1
    late = [np.concatenate([flags[1:], np.zeros_like(flags[:1])]) for flags in (x.terminated, x.truncated)]
    return recursion(x.rewards, x.values, x.next_values, ~late[0], ~(late[0] | late[1]), x.gamma, x.lam)


@_defect("the ends are read one step early: those of the row before")
def ends_read_one_step_early(x: Arguments) -> Pair:
    # wrong: t - 1
    early = [np.concatenate([np.zeros_like(flags[:1]), flags[:-1]]) for flags in (x.terminated, x.truncated)]
    return recursion(x.rewards, x.values, x.next_values, ~early[0], ~(early[0] | early[1]), x.gamma, x.lam)


@_defect("the reward of the terminating step is dropped")
def terminal_reward_dropped(x: Arguments) -> Pair:
    kept = np.where(x.terminated, 0.0, x.rewards)  # wrong: the agent received it
    return recursion(kept, x.values, x.next_values, ~x.terminated, ~x.ended, x.gamma, x.lam)


@_defect("the reward of every step that ends an episode is dropped")
def last_reward_dropped(x: Arguments) -> Pair:
    ended = x.ended
    # wrong: the agent received it
    return recursion(np.where(ended, 0.0, x.rewards), x.values, x.next_values, ~x.terminated, ~ended, x.gamma, x.lam)


@_defect("environments run together: they are flattened one after the other, and the next one leaks back")
def environments_joined_end_to_end(x: Arguments) -> Pair:
    def flat(array: Array) -> Array:
        return array.T.reshape(-1, 1)  # wrong: one sequence of N * T steps

    ended = x.ended
    r, v, next_v, bootstraps, continues = map(flat, (x.rewards, x.values, x.next_values, ~x.terminated, ~ended))
    joined, _ = recursion(r, v, next_v, bootstraps, continues, x.gamma, x.lam)
    advantages = joined.reshape(x.rewards.shape[::-1]).T
    return advantages, advantages + x.values


@_defect("environments run together: steps of different environments are taken for successive ones")
def environments_interleaved(x: Arguments) -> Pair:
    def flat(array: Array) -> Array:
        return array.reshape(-1, 1)  # wrong: row t of environment i is followed by row t of environment i + 1

    ended = x.ended
    r, v, next_v, bootstraps, continues = map(flat, (x.rewards, x.values, x.next_values, ~x.terminated, ~ended))
    joined, _ = recursion(r, v, next_v, bootstraps, continues, x.gamma, x.lam)
    advantages = joined.reshape(x.rewards.shape)
    return advantages, advantages + x.values


@_defect("the last row is not bootstrapped: what follows the rollout is taken to be worth nothing")
def no_bootstrap_after_the_last_row(x: Arguments) -> Pair:
    bootstraps = ~x.terminated
    bootstraps[-1] = False  # wrong
    return recursion(x.rewards, x.values, x.next_values, bootstraps, ~x.ended, x.gamma, x.lam)


@_defect("an episode that is not over in the last row is not bootstrapped, though a truncated one is")
def no_bootstrap_of_an_unfinished_episode(x: Arguments) -> Pair:
    bootstraps = ~x.terminated
    bootstraps[-1] = x.truncated[-1] & ~x.terminated[-1]  # wrong
    return recursion(x.rewards, x.values, x.next_values, bootstraps, ~x.ended, x.gamma, x.lam)


@_defect("gamma and lambda are swapped")
def gamma_and_lambda_swapped(x: Arguments) -> Pair:
    ended = x.ended
    return recursion(x.rewards, x.values, x.next_values, ~x.terminated, ~ended, gamma=x.lam, lam=x.gamma)  # wrong


@_defect("lambda is applied inside the residual")
def lambda_applied_to_the_residual(x: Arguments) -> Pair:
    shrunk = x.lam * x.next_values  # wrong
    return recursion(x.rewards, x.values, shrunk, ~x.terminated, ~x.ended, x.gamma, x.lam)


@_defect("the recursion is discounted by lambda alone, without gamma")
def gamma_missing_in_the_recursion(x: Arguments) -> Pair:
    return recursion_with_decay(x, x.lam)  # wrong: decays by lam


@_defect("the recursion is discounted by gamma alone, without lambda")
def lambda_missing_in_the_recursion(x: Arguments) -> Pair:
    return recursion_with_decay(x, x.gamma)  # wrong: decays by gamma


@_defect("integer rewards make an integer result, which cuts the fractions off")
def integer_rewards_truncate_the_result(x: Arguments) -> Pair:
    advantages = np.zeros_like(x.rewards)  # wrong: the dtype of the rewards
    following = np.zeros(x.rewards.shape[1])
    ended = x.ended
    for t in reversed(range(len(x.rewards))):
        delta = x.rewards[t] + x.gamma * np.where(x.terminated[t], 0.0, x.next_values[t]) - x.values[t]
        following = delta + x.gamma * x.lam * np.where(ended[t], 0.0, following)
        advantages[t] = following
    advantages = advantages.astype(np.float64)
    return advantages, advantages + x.values


@_defect("the caller's rewards are written to: the bootstrap is added in place")
def rewards_written_to(x: Arguments) -> Pair:
    cut_short = x.truncated & ~x.terminated
    rewards = x.rewards
    rewards += (x.gamma * np.where(cut_short, x.next_values, 0.0)).astype(rewards.dtype)  # wrong: the caller's array
    ended = x.ended
    return recursion(rewards, x.values, x.next_values, ~ended, ~ended, x.gamma, x.lam)


@_defect("a step that is both terminated and truncated is bootstrapped")
def both_flags_bootstrapped(x: Arguments) -> Pair:
    bootstraps = ~x.terminated | x.truncated  # wrong: termination wins
    return recursion(x.rewards, x.values, x.next_values, bootstraps, ~x.ended, x.gamma, x.lam)


@_defect("rows that are not valid, such as those that only reset, are kept as real transitions", reads_valid=True)
def reset_rows_kept(x: Arguments) -> Pair:
    return reference_gae(*x[:7])  # wrong: valid is not read


@_defect("rows that are not valid are multiplied by 0 after the recursion has gone through them", reads_valid=True)
def invalid_rows_masked_too_late(x: Arguments) -> Pair:
    advantages, returns = reference_gae(*x[:7])
    return np.where(x.valid, advantages, 0.0), np.where(x.valid, returns, 0.0)  # wrong: too late
