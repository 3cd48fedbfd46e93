"""List known mistakes about what is bootstrapped, and where the recursion is cut."""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.defects.registry import mistake
from ppocore.testing.gae.plan import Plan


@mistake(
    "a truncated episode is treated as terminated: its last step is not bootstrapped from next_values",
    choice="truncation='in_rewards' if its caller adds the bootstrap to the reward",
    reads_truncation=True,
)
def truncation_treated_as_termination(p: Plan) -> None:
    p.bootstraps &= ~p.truncated


@mistake("termination is ignored: the value after a terminal step is bootstrapped from")
def termination_ignored(p: Plan) -> None:
    p.bootstraps |= p.terminated


@mistake("no end is noticed: the value after a terminal step is bootstrapped from, and the next episode leaks back")
def ends_ignored(p: Plan) -> None:
    p.bootstraps[...] = p.continues[...] = True


@mistake(
    "a truncated step is bootstrapped from the value of its own state and not of its successor", reads_truncation=True
)
def own_value_at_truncation(p: Plan) -> None:
    p.successors = np.where(p.truncated, p.values, p.successors)


@mistake(
    "a truncated step, and the open last row, is bootstrapped from the value of its own state and not of its successor",
    reads_truncation=True,
)
def own_value_wherever_cut(p: Plan) -> None:
    p.successors = np.where(p.truncated, p.values, p.successors)
    p.successors[-1] = p.values[-1]


@mistake(
    "a step that is flagged as truncated is bootstrapped from its own value, even where it terminated",
    reads_truncation=True,
)
def own_value_whenever_flagged(p: Plan) -> None:
    p.successors = np.where(p.truncated, p.values, p.successors)
    p.bootstraps |= p.truncated


@mistake("the last row is bootstrapped from the value of its own state and not of its successor")
def own_value_in_the_last_row(p: Plan) -> None:
    p.successors[-1] = p.values[-1]


@mistake("a truncated step is bootstrapped from the value of the observation after the reset", reads_truncation=True)
def value_after_the_reset(p: Plan) -> None:
    p.successors[:-1] = p.values[1:]


@mistake(
    "truncation is not read: the next row, of another episode, gives the bootstrap, and its advantages leak back",
    reads_truncation=True,
)
def truncation_not_read(p: Plan) -> None:
    p.successors[:-1] = p.values[1:]
    p.continues |= p.truncated & ~p.terminated


@mistake(
    "every step is bootstrapped from the value of the next row, even where its episode ended", reads_truncation=True
)
def next_row_read_after_an_end(p: Plan) -> None:
    p.successors[:-1] = p.values[1:]
    p.bootstraps[...] = True


@mistake("a step that is both terminated and truncated is bootstrapped", reads_truncation=True)
def both_flags_bootstrapped(p: Plan) -> None:
    p.bootstraps |= p.terminated & p.truncated


@mistake("the bootstrap of a truncated step is not discounted", reads_truncation=True)
def undiscounted_bootstrap(p: Plan) -> None:
    p.discount = np.where(p.truncated & ~p.terminated, 1.0, p.discount)


@mistake("", reads_truncation=True)
def undiscounted_bootstrap_(p: Plan) -> None:
    p.discount = np.where(p.truncated, 1.0, p.discount)
    p.successors = np.where(p.truncated, p.values, p.successors)


@mistake(
    "the last row is not bootstrapped: what follows the rollout is taken to be worth nothing", reads_truncation=True
)
def no_bootstrap_after_the_last_row(p: Plan) -> None:
    p.bootstraps[-1] = False


@mistake("an episode that is not over in the last row is not bootstrapped, though a truncated one is")
def no_bootstrap_of_an_unfinished_episode(p: Plan) -> None:
    p.bootstraps[-1] &= p.truncated[-1]


@mistake("the recursion is not cut at a truncation: the next episode's advantages leak back", reads_truncation=True)
def recursion_not_cut_at_truncation(p: Plan) -> None:
    p.continues |= p.truncated & ~p.terminated


@mistake("the recursion is not cut at any end, though terminal steps are not bootstrapped")
def recursion_never_cut(p: Plan) -> None:
    p.continues[...] = True
