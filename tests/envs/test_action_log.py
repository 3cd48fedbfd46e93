"""The log of actions: what it gives back, what it copies, and what it keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore.envs.replay import ActionLog, Episodes, Joined, action_log, are_possible, stored_dtype
from ppocore.spaces import BoxAction, DiscreteAction, MultiBinaryAction, MultiDiscreteAction


class Counting(ActionLog):
    """Counts the rows that are copied."""

    copied = 0

    def _grown(self, like, count, rows=None):
        self.copied += count
        return super()._grown(like, count, rows)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=30))
def test_each_episode_has_the_actions_since_its_start(iterations):
    """Against lists; a snapshot that was taken does not change later."""
    log, step, episodes, taken = ActionLog(), 0, [[], [], []], []
    for rows, ended in iterations:
        for _ in range(rows):
            actions = [(7 * step + i) % 11 for i in range(3)]
            log.append(np.array(actions))
            for episode, action in zip(episodes, actions, strict=True):
                episode.append(action)
            step += 1
        episodes = [[] if end else episode for end, episode in zip(ended, episodes, strict=True)]
        parts = log.since([step - len(episode) for episode in episodes])
        taken.append((parts, [list(episode) for episode in episodes]))
    for parts, expected in taken:
        assert [part.tolist() for part in parts] == expected


@pytest.mark.parametrize("lengths", [(10**9, 10**9), (10**9, 37), (5000, 4096), (1, 1)])
def test_the_cost_of_an_iteration_does_not_grow(lengths):
    """However long the episodes are, no more rows are copied than twice those appended; the parts are views."""
    log, starts, steps = Counting(np.int8), [0, 0], 20_000
    for step in range(1, steps + 1):
        log.append(np.zeros(2, np.int64))
        starts = [step if step % length == 0 else start for start, length in zip(starts, lengths, strict=True)]
        if step % 32 == 0:
            parts = log.since(starts)
            assert all(part.base is not None for part in parts)
    assert log.copied <= 2 * steps


def test_an_episode_that_is_too_long_is_dropped_until_the_next_one(monkeypatch):
    monkeypatch.setattr(action_log, "LIMIT_BYTES", 2 * 8 * 100)  # two environments, eight bytes an action
    log, most = ActionLog(), 0
    for step in range(1, 1001):
        log.append(np.full(2, step))
        parts = log.since([0, step - step % 100])
        assert parts[0].tolist() == (list(range(1, step + 1)) if step <= 100 else [])
        assert parts[1].tolist() == list(range(step - step % 100 + 1, step + 1))
        most = max(most, len(log._rows))
    assert log.limit == 100
    assert most <= 512
    log.append(np.full(2, 1001))
    assert [part.tolist() for part in log.since([1000, 1000])] == [[1001], [1001]]


def test_the_actions_are_joined_only_when_they_are_written():
    episodes = Episodes([4, 5, 6], [0, 0, 1], [2, 1, 9], 9, [np.array([1, 2]), np.array([3]), np.array([], int)])
    tensors = episodes.to_tensors()
    assert isinstance(tensors["actions"], Joined)
    assert np.asarray(tensors["actions"]).tolist() == [1, 2, 3]
    assert tensors["dropped"].tolist() == [2] == Episodes.from_tensors(tensors, 3).dropped
    again = Episodes.from_tensors(tensors, 3)
    assert [part.tolist() for part in again.actions] == [[1, 2], [3], []]
    assert "dropped" not in episodes._replace(lengths=[2, 1, 0]).to_tensors()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"counts": np.ones(3)}, "tensor counts has dtype float64, expected int64"),
        ({"counts": np.array([0, -1, 0])}, "tensor counts has the entry -1, expected at least 0"),
        ({"lengths": np.array([2, 1])}, r"tensor lengths has shape \(2,\), expected \(3\)"),
        ({"steps": np.array(8)}, "tensor steps has the entry 8, expected at least 9"),
        ({"dropped": np.array([3])}, r"dropped=\[3\] are not indices of 3 environments"),
        ({"dropped": np.array([0])}, "the number of actions is not the sum of the episodes' lengths"),
    ],
)
def test_impossible_episodes_are_refused(change, said):
    episodes = Episodes([4, 5, 6], [0, 0, 1], [2, 1, 9], 9, [np.array([1, 2]), np.array([3]), np.array([], int)])
    with pytest.raises(ValueError, match=said):
        Episodes.from_tensors({**episodes.to_tensors(), **change}, 3)


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (DiscreteAction(2), "uint8"),
        (DiscreteAction(256), "uint8"),
        (DiscreteAction(257), "uint16"),
        (DiscreteAction(5, -2), "int16"),
        (MultiDiscreteAction((2,), "int64", (3, 70000), (0, 0)), "uint32"),
        (MultiBinaryAction((3,), "int8"), "uint8"),
        (BoxAction((1,), "float32", (-1.0,), (1.0,)), "float32"),
    ],
)
def test_actions_are_stored_in_a_dtype_that_holds_them(space, dtype):
    assert stored_dtype(space) == dtype


@pytest.mark.parametrize(
    ("space", "possible", "impossible"),
    [
        (DiscreteAction(3, -1), [-1, 0, 1], [2, -2, 255]),
        (MultiDiscreteAction((2,), "int64", (2, 3), (0, 5)), [[0, 5], [1, 7]], [[2, 5], [0, 4], [0, 8]]),
        (MultiBinaryAction((2,), "int8"), [[0, 1]], [[2, 0]]),
        (BoxAction((1,), "float32", (-1.0,), (1.0,)), [[0.5]], [[np.nan], [np.inf]]),
    ],
)
def test_actions_that_a_file_cannot_have(space, possible, impossible):
    assert are_possible(np.array(possible), space)
    assert are_possible(np.array(possible)[:0], space)
    for action in impossible:
        assert not are_possible(np.array([*possible, action]), space)


@pytest.mark.parametrize("bounds", [((1.0,), (0.0,)), ((np.inf,), (np.inf,)), ((-np.inf,), (-np.inf,))])
def test_bounds_that_no_action_fits_are_refused(bounds):
    with pytest.raises(ValueError, match="a lower bound is above its upper bound"):
        BoxAction((1,), "float32", *bounds)
