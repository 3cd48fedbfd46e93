"""Say what the JSON in each kind of file may be: networks, spaces, optimizer steps, runs and their configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.files.schema import (
    DEPTH,
    RNG,
    Check,
    flag,
    integer,
    listing,
    nullable,
    number,
    one_of,
    record,
    shown,
    tensor,
    text,
)
from ppocore.typing import Array

_SIZE = integer(1, 2**31 - 1)
_START = integer(-(2**63))
SHAPE = listing(integer(0, 2**31 - 1), longest=32)


def _dtype(kinds: str) -> Check:
    """Return a check for the name of a dtype of some kinds, as NumPy writes them."""

    def check(value: Any, name: str) -> Any:
        try:
            known = isinstance(value, str) and np.dtype(value).name == value and np.dtype(value).kind in kinds
        except (TypeError, ValueError, SyntaxError):
            known = False
        if not known:
            raise ValueError(f"{name} is {shown(value)}, expected the dtype of such a space")
        return value

    return check


def _bound(value: Any, name: str) -> Any:
    return value if value in ("inf", "-inf") and isinstance(value, str) else number()(value, name)


def _kinds(kinds: dict[str, dict[str, Check]], optional: dict[str, Check] | None = None) -> Check:
    """Return a check for an object whose ``kind`` decides on its other entries."""
    kind = one_of(*kinds)

    def check(value: Any, name: str) -> Any:
        record({"kind": kind}, others=True)(value, name)
        return record({"kind": kind, **kinds[value["kind"]]}, optional)(value, name)

    return check


_CHOICES = {"shape": SHAPE, "choices": listing(_SIZE, longest=10**6), "start": listing(_START, longest=10**6)}

ACTION_SPACE = _kinds(
    {
        "discrete": {"n": _SIZE, "start": _START},
        "multi_discrete": {**_CHOICES, "dtype": _dtype("iu")},
        "multi_binary": {"shape": SHAPE, "dtype": _dtype("iub")},
        "box": {"shape": SHAPE, "dtype": _dtype("f"), "low": listing(_bound), "high": listing(_bound)},
    },
    {"policy": one_of("gaussian", "squashed_gaussian", "beta")},
)


def _space(depth: int) -> Check:
    """Return a check for observation spaces whose parts are nested to at most a depth."""

    def part(value: Any, name: str) -> Any:
        if depth == 0:
            raise ValueError(f"the observation space is nested more than {DEPTH} deep")
        return _space(depth - 1)(value, name)

    def named(value: Any, name: str) -> Any:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
            raise ValueError(f"{name} is {shown(value)}, expected a key and its space")
        return part(value[1], f"{name}[1]")

    return _kinds(
        {
            "box": {"shape": SHAPE},
            "discrete": {"n": _SIZE, "start": _START},
            "multi_discrete": _CHOICES,
            "multi_binary": {"shape": SHAPE},
            "dict": {"spaces": listing(named, longest=10**5)},
            "tuple": {"spaces": listing(part, longest=10**5)},
        }
    )


OBSERVATION_SPACE = _space(DEPTH)

NETWORK = record(
    {
        "observation_size": _SIZE,
        "action_kind": one_of("categorical", "multi_categorical", "bernoulli", "gaussian", "squashed_gaussian", "beta"),
        "action_size": _SIZE,
        "hidden_sizes": listing(_SIZE, longest=1000),
    },
    {
        "activation": one_of("tanh", "relu"),
        "shared_trunk": flag,
        "log_std_init": number(),
        "choices": listing(_SIZE, longest=10**6),
        "learn_log_std": flag,
    },
)

POLICY = {"network": NETWORK, "action_space": ACTION_SPACE}
"""The entries that every policy has, in files of their own and in checkpoints."""

BEST = nullable(record({"return": number(), "steps": integer()}))

SETTINGS = record({"total_steps": integer(1)}, others=True)
"""The settings; `PPOConfig` checks each, and gives those that an older version did not have their defaults."""

RUN = record(
    {
        "network": nullable(NETWORK),
        "action_space": ACTION_SPACE,
        "observation_space": OBSERVATION_SPACE,
        "env": text,
        "seed": integer(high=2**1024),
        "config": SETTINGS,
        "counters": record({name: integer() for name in ("steps", "iterations", "updates", "episodes")}),
        "learner": record({"kl_coef": number(0.0), "rate": number(above=0.0), "minibatches": RNG}),
        "actions": RNG,
        "best": BEST,
    },
    others=True,
)

CONFIGURATION = record(
    {"env": text, "seed": integer(high=2**1024), "config": SETTINGS},
    {
        "env_given_as": one_of("id", "callable", "vector", "collector"),
        "own_network": flag,
        "runtime": record({}, others=True),  # `Runtime` checks each field
        "saving": record({}, {name: integer() for name in ("every", "keep", "evaluate_episodes")}),
        "resumed": listing(record({}, others=True)),
        "continued": listing(record({}, others=True)),
    },
    others=True,
)

_POSITIVE, _COEFFICIENT = number(above=0.0), number(0.0)

BUNDLE = record(
    {
        "network": NETWORK,
        "objective": record(
            {"clip_range": _POSITIVE},
            {
                "value_clip_range": nullable(_POSITIVE),
                "entropy_coef": _COEFFICIENT,
                "value_coef": _COEFFICIENT,
                "clip": flag,
                "dual_clip": nullable(number(above=1.0)),
                "kl_coef": _COEFFICIENT,
                "critic_l2_coef": _COEFFICIENT,
            },
        ),
        "step": record(
            {"learning_rate": _COEFFICIENT},
            {
                "max_grad_norm": nullable(_POSITIVE),
                "critic_learning_rate": nullable(_COEFFICIENT),
                "separate": flag,
                "freeze_actor": flag,
                "hold_actor": flag,
            },
        ),
        "adam_epsilon": number(1e-300, 1e280),  # whose grid float64 can hold
        "update": integer(1),
        "backend": text,
        "precision": one_of("exact", "float32"),
    },
    others=True,
)


def check_moments(tensors: Mapping[str, Array], shape: tuple[int, ...], prefix: str) -> None:
    """Check the running moments of a normalizer in a file.

    Raises:
        ValueError: they are none.
    """
    tensor(tensors, "count", (), "int64", least=0, prefix=prefix)
    tensor(tensors, "mean", shape, "float64", prefix=prefix)
    tensor(tensors, "squares", shape, "float64", least=0.0, prefix=prefix)
