"""List known mistakes about which row is read, and what is left out."""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.defects.registry import mistake
from ppocore.testing.gae.plan import Plan
from ppocore.typing import Array


def _later(array: Array, last: Array) -> Array:
    return np.concatenate([array[1:], last])


def _earlier(array: Array, first: Array) -> Array:
    return np.concatenate([first, array[:-1]])


@mistake("the ends are read one step late: those of the next row", early=True)
def ends_read_one_step_late(p: Plan) -> None:
    p.terminated, p.truncated = (_later(f, np.zeros_like(f[:1])) for f in (p.terminated, p.truncated))


@mistake("", early=True)
def ends_read_one_step_late_(p: Plan) -> None:
    p.terminated, p.truncated = (_later(f, f[-1:]) for f in (p.terminated, p.truncated))


@mistake("", early=True)
def ends_read_one_step_late__(p: Plan) -> None:
    p.terminated, p.truncated = (np.roll(f, -1, axis=0) for f in (p.terminated, p.truncated))


@mistake("the ends are read one step early: those of the row before", early=True)
def ends_read_one_step_early(p: Plan) -> None:
    p.terminated, p.truncated = (_earlier(f, np.zeros_like(f[:1])) for f in (p.terminated, p.truncated))


@mistake("", early=True)
def ends_read_one_step_early_(p: Plan) -> None:
    p.terminated, p.truncated = (_earlier(f, f[:1]) for f in (p.terminated, p.truncated))


@mistake("", early=True)
def ends_read_one_step_early__(p: Plan) -> None:
    p.terminated, p.truncated = (np.roll(f, 1, axis=0) for f in (p.terminated, p.truncated))


@mistake("the recursion is cut one step late, by the end of the next row; the bootstrap reads the right row")
def recursion_cut_one_step_late(p: Plan) -> None:
    p.continues = _later(p.continues, np.ones_like(p.continues[:1]))


@mistake("the recursion is cut one step early, by the end of the row before; the bootstrap reads the right row")
def recursion_cut_one_step_early(p: Plan) -> None:
    p.continues = _earlier(p.continues, np.ones_like(p.continues[:1]))


@mistake("the bootstrap reads the end of the next row; the recursion is cut in the right one")
def bootstrap_reads_the_next_end(p: Plan) -> None:
    p.bootstraps = _later(p.bootstraps, np.ones_like(p.bootstraps[:1]))


@mistake("the bootstrap reads the end of the row before; the recursion is cut in the right one")
def bootstrap_reads_the_end_before(p: Plan) -> None:
    p.bootstraps = _earlier(p.bootstraps, np.ones_like(p.bootstraps[:1]))


@mistake("an end in the last row is not read: what follows is bootstrapped from", early=True)
def end_of_the_last_row_not_read(p: Plan) -> None:
    p.terminated[-1] = p.truncated[-1] = False


@mistake("the flags are read the wrong way round: 1 is taken for an episode that goes on")
def flags_inverted(p: Plan) -> None:
    p.bootstraps, p.continues = ~p.bootstraps, ~p.continues


@mistake("the rewards are read one step late: those of the next row", early=True)
def rewards_read_one_step_late(p: Plan) -> None:
    p.rewards = _later(p.rewards, np.zeros_like(p.rewards[:1]))


@mistake("", early=True)
def rewards_read_one_step_late_(p: Plan) -> None:
    p.rewards = _later(p.rewards, p.rewards[-1:])


@mistake("", early=True)
def rewards_read_one_step_late__(p: Plan) -> None:
    p.rewards = np.roll(p.rewards, -1, axis=0)


@mistake("the rewards are read one step early: those of the row before", early=True)
def rewards_read_one_step_early(p: Plan) -> None:
    p.rewards = _earlier(p.rewards, np.zeros_like(p.rewards[:1]))


@mistake("", early=True)
def rewards_read_one_step_early_(p: Plan) -> None:
    p.rewards = np.roll(p.rewards, 1, axis=0)


@mistake("the reward of the terminating step is dropped", early=True, reads_truncation=True)
def terminal_reward_dropped(p: Plan) -> None:
    p.rewards = np.where(p.terminated, 0.0, p.rewards)


@mistake("the reward of every step that ends an episode is dropped", early=True)
def last_reward_dropped(p: Plan) -> None:
    p.rewards = np.where(p.terminated | p.truncated, 0.0, p.rewards)


@mistake("a truncated step gets the advantage 0", reads_truncation=True)
def truncated_step_gets_0(p: Plan) -> None:
    p.weight = p.weight * ~(p.truncated & ~p.terminated)


@mistake("", reads_truncation=True)
def truncated_step_gets_0_(p: Plan) -> None:
    p.weight = p.weight * ~p.truncated


@mistake("the last row gets the advantage 0")
def last_row_gets_0(p: Plan) -> None:
    p.weight[-1] = 0.0


@mistake("")
def last_row_gets_0_(p: Plan) -> None:
    def zero(plan: Plan, advantages: Array) -> Array:
        return np.concatenate([advantages[:-1], 0.0 * advantages[-1:]])

    p.finish.append(zero)


@mistake("")
def last_row_gets_0__(p: Plan) -> None:
    p.weight[-1] *= ~p.continues[-1]


@mistake("environments run together: they are flattened one after the other, and the next one leaks back")
def environments_joined_end_to_end(p: Plan) -> None:
    p.joined = "end to end"


@mistake("environments run together: steps of different environments are taken for successive ones")
def environments_interleaved(p: Plan) -> None:
    p.joined = "interleaved"
