"""Fuzz environments: observations, rewards, flags, infos and exceptions of every kind, in any combination.

Called by ``benchmarks/fuzz.py environments``. Each environment is trained on in this process and in worker processes,
which must agree: the same fingerprint, or a fault in both.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import gymnasium as gym
import numpy as np
from fuzz_cases import outcome_of, parser, run

from ppocore import PPOConfig, train

CONFIG = PPOConfig(
    total_steps=64, num_envs=2, num_steps=16, minibatch_size=16, update_epochs=1, hidden_sizes=(4,),
    anneal_learning_rate=False,
)  # fmt: skip
Maker = Callable[[float], Any]
"""A function of a number in [-1, 1] that differs from step to step."""

_NUMBERS = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)


def _three(x: float) -> Any:
    return np.array([x, x * x, -x], np.float32)


OBSERVATIONS: dict[str, tuple[gym.Space[Any], Maker]] = {
    "float32": (_NUMBERS, _three),
    "float64 for float32": (_NUMBERS, lambda x: _three(x).astype(np.float64)),
    "a list": (_NUMBERS, lambda x: [x, 0.5, 1]),
    "a tuple": (_NUMBERS, lambda x: (x, 0.5, 1)),
    "big-endian": (_NUMBERS, lambda x: _three(x).astype(">f4")),
    "read-only": (_NUMBERS, lambda x: np.broadcast_to(np.float32(x), (3,))),
    "masked": (_NUMBERS, lambda x: np.ma.masked_array(_three(x), [0, 1, 0])),
    "objects": (_NUMBERS, lambda x: np.array([x, 1, 2.0], object)),
    "strings": (_NUMBERS, lambda x: np.array(["1", "2", "3"])),
    "complex": (_NUMBERS, lambda x: _three(x) * 1j),
    "a scalar": (_NUMBERS, lambda x: x),
    "(1, 3)": (_NUMBERS, lambda x: _three(x)[None]),
    "(3, 1)": (_NUMBERS, lambda x: _three(x)[:, None]),
    "ragged": (_NUMBERS, lambda x: [x, [1.0, 2.0], 3.0]),
    "nothing": (_NUMBERS, lambda x: None),
    "a dict": (_NUMBERS, lambda x: {"x": x}),
    "NaN": (_NUMBERS, lambda x: np.full(3, np.nan if x > 0.9 else x)),
    "infinite": (_NUMBERS, lambda x: np.full(3, np.inf if x > 0.9 else x)),
    "1e300": (_NUMBERS, lambda x: np.full(3, 1e300)),
    "another length": (_NUMBERS, lambda x: np.zeros(4 if x > 0.9 else 3, np.float32)),
    "uint8": (gym.spaces.Box(0, 255, (4,), np.uint8), lambda x: np.full(4, int(100 + 100 * x), np.uint8)),
    "300 for uint8": (gym.spaces.Box(0, 255, (4,), np.uint8), lambda x: np.full(4, 300)),
    "fractions for uint8": (gym.spaces.Box(0, 255, (4,), np.uint8), lambda x: np.full(4, 0.5)),
    "int64": (gym.spaces.Box(-9, 9, (2,), np.int64), lambda x: np.full(2, int(9 * x))),
    "float64": (gym.spaces.Box(-1, 1, (2, 2), np.float64), lambda x: np.full((2, 2), x)),
    "no axis": (gym.spaces.Box(-1, 1, ()), lambda x: np.float32(x)),
    "discrete": (gym.spaces.Discrete(3), lambda x: int(1 + x)),
    "discrete, outside": (gym.spaces.Discrete(3), lambda x: 7 if x > 0.9 else 1),
    "multi-binary": (gym.spaces.MultiBinary(3), lambda x: np.array([1, 0, int(x > 0)], np.int8)),
    "a dict space": (
        gym.spaces.Dict({"a": _NUMBERS, "b": gym.spaces.Discrete(2)}), lambda x: {"a": _three(x), "b": int(x > 0)}
    ),
    "a dict space, one missing": (
        gym.spaces.Dict({"a": _NUMBERS, "b": gym.spaces.Discrete(2)}), lambda x: {"a": _three(x)}
    ),
    "text": (gym.spaces.Text(5), lambda x: "hello"),
}  # fmt: skip
REWARDS: dict[str, Maker] = {
    "a float": float,
    "an int": lambda x: int(3 * x),
    "float32": np.float32,
    "no axis": np.array,
    "a bool": lambda x: x > 0,
    "(1,)": lambda x: np.array([x]),
    "a list": lambda x: [x],
    "(2,)": lambda x: np.array([x, x]),
    "nothing": lambda x: None,
    "a string": lambda x: "1",
    "NaN": lambda x: np.nan if x > 0.9 else x,
    "infinite": lambda x: np.inf if x > 0.9 else x,
    "1e39": lambda x: 1e39,
    "complex": lambda x: x * 1j,
    "decimal": lambda x: Decimal("0.5"),
    "a dict": lambda x: {"r": x},
}
FLAGS: dict[str, Maker] = {
    "a bool": bool,
    "numpy's": lambda x: np.bool_(x),
    "an int": lambda x: int(bool(x)),
    "(1,)": lambda x: np.array([bool(x)]),
    "nothing": lambda x: None,
    "a string": lambda x: "yes",
    "a float": float,
    "NaN": lambda x: np.nan,
}
INFOS: dict[str, Maker] = {
    "empty": lambda x: {},
    "numbers": lambda x: {"a": x, "b": int(x)},
    "arrays": lambda x: {"a": np.zeros(3)},
    "ragged": lambda x: {"a": np.zeros(1 + int(3 * abs(x)))},
    "None at times": lambda x: {"a": None if x > 0 else 1},
    "a string at times": lambda x: {"a": "far" if x > 0 else 0.5},
    "huge": lambda x: {"a": 10**30},
    "nested": lambda x: {"a": {"b": [x, {"c": None}]}},
    "an object": lambda x: {"a": object()},
    "numbers as keys": lambda x: {1: x},
    "nothing": lambda x: None,
    "a list": lambda x: [x],
    "underscores": lambda x: {"_a": x, "a": x},
    "final_obs": lambda x: {"final_obs": x, "final_info": x},
    "a lambda": lambda x: {"a": lambda: x},
    "other keys": lambda x: {f"k{int(9 * x)}": x},
}
EXCEPTIONS: tuple[type[BaseException] | None, ...] = (
    None, None, None, None, None, None, ValueError, KeyError, RuntimeError, MemoryError, StopIteration, SystemExit,
    GeneratorExit, AssertionError, OSError, NotImplementedError,
)  # fmt: skip
"""What an environment raises in the fourth step of an episode; None for nothing."""


class Odd(gym.Env[Any, Any]):
    """Give what was drawn; deterministic from the seed of the reset and the actions."""

    def __init__(self, kinds: tuple[str, ...], error: type[BaseException] | None, actions: int) -> None:
        observation, reward, flag, info = kinds
        self.observation_space, self._observe = OBSERVATIONS[observation]
        self._reward, self._flag, self._info, self._error = REWARDS[reward], FLAGS[flag], INFOS[info], error
        self.action_space = gym.spaces.Box(-1, 1, (2,)) if actions == 0 else gym.spaces.Discrete(actions)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start an episode."""
        super().reset(seed=seed)
        self._t, self._x = 0, float(self.np_random.uniform(-1, 1))
        return self._observe(self._x), self._info(self._x)

    def step(self, action: Any) -> Any:
        """Take a step."""
        self._t += 1
        self._x = float(np.sin(7 * self._x + self._t + np.sum(action)))
        if self._error is not None and self._t == 4:
            raise self._error("as the fuzzer wants")
        ended, x = self._t == 6, self._x
        return self._observe(x), self._reward(x), self._flag(ended), self._flag(False), self._info(x)


def drawn(seed: int, number: int) -> tuple[tuple[str, ...], type[BaseException] | None, int]:
    """Draw an environment: mostly of ordinary parts, so that what is odd is reached."""
    draw = random.Random(f"{seed} {number}")
    kinds = tuple(
        draw.choice(list(known)) if draw.random() < 0.45 else next(iter(known))
        for known in (OBSERVATIONS, REWARDS, FLAGS, INFOS)
    )
    return kinds, draw.choice(EXCEPTIONS), draw.choice((0, 2, 3))


def case(seed: int, number: int) -> tuple[str, str]:
    """Train on one environment, in this process and in others."""
    kinds, error, actions = drawn(seed, number)
    make = functools.partial(Odd, kinds, error, actions)
    outcomes = [
        outcome_of(
            lambda how=how: f"trained: {train(make, CONFIG, seed=1, runtime={'vectorization': how}).fingerprint}"
        )
        for how in ("sync", "async")
    ]
    tried = f"{', '.join(kinds)}, {error.__name__ if error else 'no error'}, {actions} actions"
    failed = [outcome for outcome in outcomes if outcome.startswith("!")]
    if failed:
        return tried, failed[0]
    worked = [outcome if outcome.startswith("trained") else outcome.split(":")[0] for outcome in outcomes]
    if worked[0] != worked[1]:
        return tried, f"! sync and async differ: {outcomes[0][:200]} / {outcomes[1][:200]}"
    return tried, outcomes[0]


def main(arguments: list[str]) -> int:
    """Run the cases; return the exit status."""
    options = parser(__doc__.splitlines()[0], 300).parse_args(arguments)
    return run(functools.partial(case, options.seed), options)
