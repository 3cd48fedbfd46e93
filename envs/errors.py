"""Find the environment that caused an error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

from gymnasium.vector import AsyncVectorEnv, VectorEnv

from ppocore.envs.timeout import TimeLimitExceeded

LONGEST = 500
"""Number of characters of an environment's own message that are repeated."""


class FailedEnvironment(Exception):
    """Report an error of environment ``index``; its cause holds the traceback of a worker process, if any."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an exception is meant for the run: Ctrl-C, SIGTERM, or the time limit of a call."""
    return isinstance(error, KeyboardInterrupt | TimeLimitExceeded)


def raise_failed(error: BaseException, index: int) -> NoReturn:
    """Raise what environment ``index`` raised as its failure, whatever it is.

    An environment that calls ``sys.exit()``, or lets a cancelled task through, must not end the run as if it were done.
    """
    if is_interrupt(error):
        raise error
    raise FailedEnvironment(index, describe(error)) from error


def describe(error: BaseException) -> str:
    """Return the message of an exception in one line, with its type if it is not ours."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # of its own __str__
        message = ""
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}..."
    if isinstance(error, FailedEnvironment):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def failing_environment(vector: VectorEnv[Any, Any, Any], error: BaseException) -> int | None:
    """Return the index of the environment that raised, or None if it is not known."""
    if isinstance(error, FailedEnvironment):
        return error.index
    row = getattr(error, "row", None)  # of an observation that is not in its space
    if isinstance(row, int):
        return row
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
    awaited = getattr(vector, "awaited", None)  # of the workers made here, whose earlier answers were read
    if awaited is not None:
        return int(awaited)
    for index, pipe in enumerate(vector.parent_pipes):
        with suppress(OSError, AttributeError):
            if not pipe.poll(0):
                return index
    return None
