"""Observe the state of the process that a backend must not change: random states, default dtypes, threads, grad mode.

Only frameworks that are imported already are observed.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np


def process_state() -> dict[str, str]:
    """Return every setting by name, as text that differs where the setting does."""
    found = {
        "python's random state": _digest(repr(random.getstate())),
        "numpy's global random state": _digest(repr(np.random.get_state(legacy=False))),  # noqa: NPY002 - watched, not used
        "numpy's floating-point error handling": repr(np.geterr()),
    }
    for module, settings in _SETTINGS.items():
        if module in sys.modules:
            found |= {f"{module}'s {name}": value for name, value in settings(sys.modules[module]).items()}
    return found


def changed_process_state(before: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the settings that have changed, as pairs of before and now."""
    now = process_state()
    return {name: (was, now[name]) for name, was in before.items() if now[name] != was}


@contextmanager
def unusual_process_state() -> Iterator[None]:
    """Set another default dtype in imported frameworks and disable gradients; restore both on exit."""
    with ExitStack() as stack:
        for module, enter in _UNUSUAL.items():
            if module in sys.modules:
                enter(sys.modules[module], stack)
        yield


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _torch_settings(torch: Any) -> dict[str, str]:
    return {
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "random state": _digest(repr(torch.get_rng_state().tolist())),
        "thread count": str(torch.get_num_threads()),
        "interop thread count": str(torch.get_num_interop_threads()),
        "grad mode": str(torch.is_grad_enabled()),
        "anomaly mode": str(torch.is_anomaly_enabled()),
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
    }


def _torch_unusual(torch: Any, stack: ExitStack) -> None:
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)
    stack.enter_context(torch.no_grad())


def _paddle_settings(paddle: Any) -> dict[str, str]:
    return {
        "default dtype": str(paddle.get_default_dtype()),
        "device": str(paddle.device.get_device()),
        # A generator's state prints the address of a buffer, which differs from copy to copy.
        "random state": _digest(re.sub("0x[0-9a-f]+", "", repr([str(state) for state in paddle.get_rng_state()]))),
        "grad mode": str(paddle.is_grad_enabled()),
        "dynamic mode": str(paddle.in_dynamic_mode()),
    }


def _paddle_unusual(paddle: Any, stack: ExitStack) -> None:
    stack.callback(paddle.set_default_dtype, paddle.get_default_dtype())
    paddle.set_default_dtype("float64")
    stack.enter_context(paddle.no_grad())


def _jax_settings(jax: Any) -> dict[str, str]:
    names = ("jax_enable_x64", "jax_default_device", "jax_default_matmul_precision", "jax_disable_jit")
    return {name.removeprefix("jax_"): repr(getattr(jax.config, name)) for name in names}


def _jax_unusual(jax: Any, stack: ExitStack) -> None:
    stack.enter_context(jax.enable_x64(not jax.config.jax_enable_x64))


_SETTINGS: dict[str, Callable[[Any], dict[str, str]]] = {
    "torch": _torch_settings,
    "paddle": _paddle_settings,
    "jax": _jax_settings,
}
_UNUSUAL: dict[str, Callable[[Any, ExitStack], None]] = {
    "torch": _torch_unusual,
    "paddle": _paddle_unusual,
    "jax": _jax_unusual,
}
