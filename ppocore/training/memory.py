"""Refuse, before anything is allocated, a run that this machine's memory cannot hold."""

from __future__ import annotations

import os
from math import prod

from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec

_PER_WEIGHT = 3 * (4 + 8) + 8  # itself and two moments, stored and computed with, and a gradient
_PER_STEP = 48  # what a rollout keeps besides observations
_PER_ENVIRONMENT = 2_000  # a small one


def check_memory(config: PPOConfig, spec: NetworkSpec | None = None) -> None:
    """Check that the memory a run needs at least is not more than the machine has.

    Args:
        config: the settings.
        spec: the network, once it is known.

    Raises:
        UsageError: it is more; the message says how much.
    """
    rollout = config.num_envs * _PER_ENVIRONMENT + config.rollout_size * _PER_STEP
    network = 0
    if spec is not None:
        rollout += config.rollout_size * spec.observation_size * 4
        network = sum(prod(shape) for shape in spec.shapes().values()) * _PER_WEIGHT
        network += config.minibatch_size * max((spec.observation_size, *config.hidden_sizes)) * 8
    available = machine_memory()
    if available is None or rollout + network <= available:
        return
    sizes = " ".join(map(str, config.hidden_sizes))
    which = (
        f"a network with hidden_sizes={sizes}"
        if network > rollout
        else f"a rollout of num_envs={config.num_envs} x num_steps={config.num_steps} steps"
    )
    raise UsageError(
        f"{which} needs at least {_gib(rollout + network)} of memory, and this machine has {_gib(available)}: choose "
        "smaller ones"
    )


def machine_memory() -> int | None:
    """Return the bytes of memory that this machine has; None if it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.0f} GiB" if size < 2**100 else "more than 2^70 GiB"
