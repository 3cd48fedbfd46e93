"""The checks of `PPOConfig`: the types of its fields, their ranges, and which cannot hold together."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ppocore.errors import UsageError

if TYPE_CHECKING:
    from ppocore.config import PPOConfig


def contradictions(config: PPOConfig) -> list[tuple[bool, str]]:
    """Settings that cannot hold together, each with the sentence that says which to change."""
    penalised = "kl" in config.objective
    apart = {
        "critic_learning_rate": config.critic_learning_rate is not None,
        "separate_optimizers": config.separate_optimizers,
        "critic_l2_coef": config.critic_l2_coef > 0.0,
    }
    return [
        (
            config.desired_kl is not None and config.anneal_learning_rate,
            f"desired_kl={config.desired_kl} adapts the learning rate and anneal_learning_rate=True lowers it: "
            "set anneal_learning_rate to False, or desired_kl to none",
        ),
        (
            config.kl_target is not None and not penalised,
            f"kl_target={config.kl_target} adapts a KL penalty but objective={config.objective} has none: set "
            "objective to kl or clip+kl, or kl_target to none",
        ),
        (
            penalised and config.kl_coef == 0.0,
            f"objective={config.objective} has a KL penalty and kl_coef=0.0 switches it off: raise kl_coef, or set "
            "objective to clip or none",
        ),
        (
            config.dual_clip is not None and "clip" not in config.objective,
            f"dual_clip={config.dual_clip} bounds a clipped surrogate but objective={config.objective} has none: set "
            "objective to clip or clip+kl, or dual_clip to none",
        ),
        (
            config.anneal_entropy_coef and config.entropy_decay < 1.0,
            f"anneal_entropy_coef=True and entropy_decay={config.entropy_decay} both lower the entropy bonus: choose "
            "one of them",
        ),
        *(
            (
                config.shared_trunk and given,
                f"{name}={getattr(config, name)} needs a critic of its own and shared_trunk=True leaves it none: set "
                f"shared_trunk to False, or leave {name} out",
            )
            for name, given in apart.items()
        ),
    ]


def require(config: PPOConfig, name: str, holds: bool, rule: str) -> None:
    """Refuse a setting that breaks its ``rule``."""
    if not holds:
        raise UsageError(f"{name}={getattr(config, name)!r} is out of range: it must be {rule}")


def check_types(config: PPOConfig) -> None:
    """Numbers of the right kind; integers are turned into floats, and lists of sizes into tuples."""
    for spec in dataclasses.fields(config):
        value, kind = getattr(config, spec.name), str(spec.type)
        if value is None and "None" in kind:
            continue
        if kind.startswith("tuple"):
            one = _is_integer(value) or not isinstance(value, Iterable)
            sizes = (value,) if one else tuple(value)
            if not all(_is_integer(size) for size in sizes):
                raise TypeError(f"{spec.name}={value!r} must be a sequence of integers")
            object.__setattr__(config, spec.name, tuple(int(size) for size in sizes))
        elif kind == "int":
            if not _is_integer(value):
                raise TypeError(f"{spec.name}={value!r} must be an integer")
            object.__setattr__(config, spec.name, int(value))
        elif kind.startswith("float"):
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{spec.name}={value!r} must be a number")
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise UsageError(f"{spec.name}={value!r} must be finite")
            object.__setattr__(config, spec.name, number)
        elif kind == "bool" and not isinstance(value, bool):
            raise TypeError(f"{spec.name}={value!r} must be True or False")
        elif kind == "str" and not isinstance(value, str):
            raise TypeError(f"{spec.name}={value!r} must be a string")


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
