"""Find the environment that caused an error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from gymnasium.vector import AsyncVectorEnv, VectorEnv


class FailedEnvironment(Exception):
    """Report an error of environment ``index``; its cause holds the traceback of a worker process, if any."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def describe(error: Exception) -> str:
    """Return the message of an exception, with its type if it is not ours."""
    return str(error) if isinstance(error, FailedEnvironment) else f"{type(error).__name__}: {error}"


def failing_environment(vector: VectorEnv[Any, Any, Any], error: Exception) -> int | None:
    """Return the index of the environment that raised, or None if it is not known."""
    if isinstance(error, FailedEnvironment):
        return error.index
    base = vector.unwrapped
    for index, pipe in enumerate(getattr(base, "parent_pipes", ())):
        if pipe is None:  # AsyncVectorEnv's mark of the worker whose exception it raises
            return index
    # SyncVectorEnv calls its environments in turn: find the one whose method is in the traceback.
    environments = getattr(base, "envs", ())
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        for index, environment in enumerate(environments):
            if environment is owner:
                return index
        trace = trace.tb_next
    return None


def unresponsive_worker(vector: AsyncVectorEnv[Any, Any]) -> int | None:
    """Return the index of the first worker that has not answered, or None."""
    for index, pipe in enumerate(vector.parent_pipes):
        with suppress(OSError, AttributeError):
            if not pipe.poll(0):
                return index
    return None
