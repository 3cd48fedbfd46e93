"""Whatever an environment returns or raises: a run, or one sentence, and the same from every way of stepping it."""

from __future__ import annotations

import asyncio
import threading

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from ppocore import PPOConfig, train
from ppocore.errors import RunError, UsageError

CONFIG = PPOConfig(total_steps=24, num_envs=2, num_steps=6, minibatch_size=6, update_epochs=1, hidden_sizes=(4,))
NUMBERS, PIXELS = Box(-np.inf, np.inf, (3,), np.float32), Box(0, 255, (3,), np.uint8)
ONE_HOT = Discrete(5, start=-2)
PARTS = Dict(a=Tuple([Discrete(3), Box(-9, 9, (2,))]), b=MultiDiscrete([2, 4]))


def parts(a=1, box=(0.5, -0.5), b=(1, 3)):
    return {"a": (a, np.array(box)), "b": b}


# The space, an observation made of three numbers in [0, 1) and the step, and whether it is of the space.
OBSERVATIONS = {
    "as it should be": (NUMBERS, lambda x, t: x.astype(np.float32), True),
    "float64": (NUMBERS, lambda x, t: x, True),
    "a list": (NUMBERS, lambda x, t: x.tolist(), True),
    "integers": (NUMBERS, lambda x, t: (9 * x).astype(int), True),
    "objects": (NUMBERS, lambda x, t: np.array([1, 2.5, True], object), True),
    "long double": (Box(-1, 1, (3,), np.longdouble), lambda x, t: x.astype(np.longdouble), True),
    "half": (Box(-1, 1, (3,), np.float16), lambda x, t: x, True),
    "one number": (Box(-1, 1, ()), lambda x, t: x[0], True),
    "whole floats as pixels": (PIXELS, lambda x, t: np.floor(255 * x), True),
    "true and false as pixels": (PIXELS, lambda x, t: x > 0.5, True),
    "a choice": (ONE_HOT, lambda x, t: np.int32(-2 + t), True),
    "a whole float as a choice": (ONE_HOT, lambda x, t: 2.0, True),
    "parts": (PARTS, lambda x, t: parts(), True),
    "one more part": (PARTS, lambda x, t: {**parts(), "c": object()}, True),
    "fractions as pixels": (PIXELS, lambda x, t: x + 0.01, False),
    "256 as pixels": (PIXELS, lambda x, t: np.full(3, 256), False),
    "-1 as pixels": (PIXELS, lambda x, t: [-1, 0, 0], False),
    "NaN as integers": (Box(-9, 9, (3,), np.int64), lambda x, t: np.full(3, np.nan), False),
    "2**63 as integers": (Box(-9, 9, (3,), np.int64), lambda x, t: np.full(3, 2.0**63), False),
    "2 as bools": (Box(0, 1, (3,), np.bool_), lambda x, t: [2, 0, 0], False),
    "NaN later": (NUMBERS, lambda x, t: np.where(t == 2, np.nan, x), False),
    "too large for float32": (NUMBERS, lambda x, t: x + 1e39, False),
    "too large, in a float64 space": (Box(-np.inf, np.inf, (3,), np.float64), lambda x, t: x - 1e39, False),
    "one number for three": (NUMBERS, lambda x, t: 0.5, False),
    "a row": (NUMBERS, lambda x, t: x[None], False),
    "a column": (NUMBERS, lambda x, t: x[:, None], False),
    "another shape later": (NUMBERS, lambda x, t: x[: 3 - (t == 2)], False),
    "complex": (NUMBERS, lambda x, t: x * 1j, False),
    "strings": (NUMBERS, lambda x, t: ["1", "2", "3"], False),
    "None": (NUMBERS, lambda x, t: None, False),
    "a dict": (NUMBERS, lambda x, t: {"x": x}, False),
    "masked": (NUMBERS, lambda x, t: np.ma.masked_array(x, [0, 0, 1]), False),
    "a choice that is not there": (ONE_HOT, lambda x, t: 3, False),
    "a part that is not there": (PARTS, lambda x, t: {"a": (1, x[:2])}, False),
    "a part of another shape": (PARTS, lambda x, t: parts(b=(1, 2, 3)), False),
    "a part out of its space": (PARTS, lambda x, t: parts(a=3), False),
}
REWARDS = {
    "a float": (lambda x: x, True),
    "an int": (lambda x: 2, True),
    "a bool": (lambda x: True, True),
    "float32": (lambda x: np.float32(x), True),
    "shape ()": (np.asarray, True),
    "shape (1,)": (lambda x: np.array([x]), True),
    "shape (2,)": (lambda x: np.array([x, x]), False),
    "shape (1, 1)": (lambda x: np.array([[x]]), False),
    "empty": (lambda x: np.zeros(0), False),
    "a list": (lambda x: [x], False),
    "None": (lambda x: None, False),
    "a string": (lambda x: "1.0", False),
    "complex": (lambda x: 1j, False),
    "NaN": (lambda x: np.nan, False),
    "infinite": (lambda x: -np.inf, False),
    "too large for float32": (lambda x: 1e39, False),
    "too large for a float": (lambda x: 10**400, False),
    "strings in an array": (lambda x: np.array(["1"]), False),
    "masked": (lambda x: np.ma.masked, False),
}
FLAGS = {
    "a bool": (bool, True),
    "NumPy's": (np.bool_, True),
    "0 and 1": (int, True),
    "shape (1,)": (lambda end: np.array([end]), True),
    "a float": (float, True),
    "a list": (lambda end: [end], False),
    "a string": (str, False),
    "NaN": (lambda end: np.nan, False),
    "two": (lambda end: 2, False),
    "shape (2,)": (lambda end: np.array([end, end]), False),
    "None": (lambda end: None, False),
}
INFOS = {
    "nothing": (lambda n: {}, True),
    "None for a number": (lambda n: {"x": None if n % 2 else n}, True),
    "a string for a number": (lambda n: {"x": "goal" if n % 2 else 1.5}, True),
    "arrays of many lengths": (lambda n: {"path": np.zeros(n)}, True),
    "a dict for a number": (lambda n: {"x": {"y": n} if n % 2 else n}, True),
    "a large integer": (lambda n: {"x": 10**30}, True),
    "what cannot be pickled": (lambda n: {"lock": threading.Lock(), "f": lambda: None}, True),
    "keys of all kinds": (lambda n: {n: 1, ("a", n): 2, "_x": 3, "x": 4}, True),
    "None": (lambda n: None, True),
    "a list": (lambda n: [], False),
    "a wrong mask": (lambda n: {"action_mask": [True]}, False),
}


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("in\ntwo lines")
        self.lock = threading.Lock()


RAISED = [
    SystemExit(0),
    SystemExit,
    GeneratorExit,
    StopIteration,
    BrokenPipeError,
    EOFError,
    MemoryError,
    asyncio.CancelledError,
    TimeoutError("x" * 10**5),
    UnicodeError("größe \udcff"),
    Unpicklable,
]
RESULTS = {
    "as it should be": (tuple, True),
    "a list": (list, True),
    "the old four": (
        lambda result: (*result[:2], result[2] or result[3], result[4]) if len(result) == 5 else result,
        None,
    ),
    "one more": (lambda result: (*result, 0), False),
    "None": (lambda result: None, False),
    "the observation": (lambda result: result[0], False),
}


class Odd(gym.Env):
    action_space = Discrete(2)

    def __init__(self, observation="as it should be", reward="a float", flag="a bool", info="nothing", **odd):
        self.observation_space, self.observe, _ = OBSERVATIONS[observation]
        self.reward, self.flag, self.info = REWARDS[reward][0], FLAGS[flag][0], INFOS[info][0]
        self.result = RESULTS[odd.get("result", "as it should be")][0]
        self.raised, self.at = odd.get("raised"), odd.get("at")
        self.last = self.n = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self._raise("reset")
        return self.result((self._observation(), self.info(self.n)))

    def step(self, action):
        self.t += 1
        self.n += 1
        self._raise("step")
        end = self.t == 4
        return self.result((self._observation(), self.reward(0.25 * action), self.flag(end), False, self.info(self.n)))

    def close(self):
        self._raise("close")

    def _observation(self):
        return self.observe(self.np_random.random(3), self.t)

    def _raise(self, where):
        if self.raised is not None and where == self.at and (where == "close" or self.n > 4):
            raise self.raised


def outcome(vectorization, odd):
    try:
        result = train(Odd, CONFIG, env_kwargs=odd, runtime={"vectorization": vectorization})
    except (UsageError, RunError) as error:
        return str(error)
    return result.fingerprint, result.mean_return


def is_fine(odd):
    kinds = {"observation": OBSERVATIONS, "reward": REWARDS, "flag": FLAGS, "info": INFOS, "result": RESULTS}
    return odd.get("at") in (None, "close") and all(
        table[odd[name]][-1] is True for name, table in kinds.items() if name in odd
    )


def check(odd):
    sync, other = outcome("sync", odd), outcome("async", odd)
    assert sync == other
    assert isinstance(sync, tuple) == is_fine(odd)
    if isinstance(sync, str):
        assert "environment 0 " in sync
        assert "\n" not in sync
        assert len(sync) < 1200
    return sync


ODD = st.fixed_dictionaries(
    {},
    optional={
        "observation": st.sampled_from(sorted(OBSERVATIONS)),
        "reward": st.sampled_from(sorted(REWARDS)),
        "flag": st.sampled_from(sorted(FLAGS)),
        "info": st.sampled_from(sorted(INFOS)),
    },
)


@pytest.mark.filterwarnings("ignore:.*failed while closing")
@settings(max_examples=25, deadline=None)
@given(ODD)
def test_any_odd_environment_trains_or_is_refused_alike(odd):
    check(odd)


@pytest.mark.parametrize("name", [name for name in OBSERVATIONS if name != "as it should be"])
def test_observations(name):
    check({"observation": name})


@pytest.mark.parametrize("name", list(REWARDS))
def test_rewards(name):
    found = check({"reward": name})
    if name in ("shape (2,)", "shape (1, 1)"):
        assert f"gave a reward of {name}, expected one number" in found
    if name in ("shape ()", "shape (1,)", "float32"):  # rewards of 0 and 0.25 are the same in all of them
        assert found == check({})


@pytest.mark.parametrize("name", list(FLAGS))
def test_flags(name):
    found = check({"flag": name})
    if is_fine({"flag": name}):
        assert found == check({})


@pytest.mark.parametrize("name", list(INFOS))
def test_infos(name):
    found = check({"info": name})
    if is_fine({"info": name}):
        assert found == check({})


@pytest.mark.parametrize("name", list(RESULTS))
def test_results(name):
    if name == "the old four":
        assert "returned 4 values from step, expected (observation, reward, terminated" in check({"result": name})
    else:
        check({"result": name})


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: repr(raised)[:30])
@pytest.mark.parametrize("at", ["reset", "step"])
def test_what_is_raised_is_a_fault_with_its_place(raised, at):
    found = check({"raised": raised, "at": at})
    name = raised.__name__ if isinstance(raised, type) else type(raised).__name__
    assert f"environment 0 failed in {at}, step " in found
    assert f"): {name}" in found


@pytest.mark.parametrize("raised", [LookupError("no such joint"), SystemExit])
def test_what_closing_raises_does_not_cost_the_result(raised):
    with pytest.warns(
        RuntimeWarning, match="Odd failed while closing: environment 0: (LookupError: no such joint|System)"
    ):
        found = check({"raised": raised, "at": "close"})
    assert found == check({})


def test_the_same_whole_float_is_the_same_observation():
    """Casts that lose nothing give what the right dtype gives."""
    assert check({"observation": "float64"}) == check({}) == check({"observation": "a list"})


class Sharing(Odd):
    """All environments write their observations to one array."""

    buffer = np.zeros(3, np.float32)

    def _observation(self):
        self.buffer[:] = super()._observation()
        return self.buffer


class SharingParts(Odd):
    buffer = np.zeros(3, np.float32)

    def __init__(self):
        super().__init__()
        self.observation_space = Dict(x=NUMBERS)

    def _observation(self):
        self.buffer[:] = super()._observation()
        return {"x": self.buffer}


@pytest.mark.parametrize("sharing", [Sharing, SharingParts])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_one_array_for_all_environments_is_read_before_the_next_one_writes_to_it(sharing, vectorization):
    shared = train(sharing, CONFIG, runtime={"vectorization": vectorization})
    assert (shared.fingerprint, shared.mean_return) == outcome("sync", {})
