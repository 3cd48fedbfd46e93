"""What one of many environments did wrong, on its way to the fault that names it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from gymnasium.vector import AsyncVectorEnv, VectorEnv


class FailedEnvironment(Exception):
    """What environment `index` did wrong; the cause holds a worker process's traceback, where there was one."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def sentence(error: Exception) -> str:
    """What an exception says, in one line."""
    return str(error) if isinstance(error, FailedEnvironment) else f"{type(error).__name__}: {error}"


def failing_environment(vector: VectorEnv[Any, Any, Any], error: Exception) -> int | None:
    """The index of the environment that raised, where it can be told."""
    if isinstance(error, FailedEnvironment):
        return error.index
    base = vector.unwrapped
    for index, pipe in enumerate(getattr(base, "parent_pipes", ())):
        if pipe is None:  # how AsyncVectorEnv marks the worker whose exception it passes on
            return index
    # SyncVectorEnv calls its environments one by one: look for the one whose method is in the traceback.
    environments = getattr(base, "envs", ())
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        for index, environment in enumerate(environments):
            if environment is owner:
                return index
        trace = trace.tb_next
    return None


def unanswering(vector: AsyncVectorEnv[Any, Any]) -> int | None:
    """The index of the first worker that has not answered; None if all have."""
    for index, pipe in enumerate(vector.parent_pipes):
        with suppress(OSError, AttributeError):
            if not pipe.poll(0):
                return index
    return None
