"""Step environments in worker processes, which always end and whose errors are always reported."""

from __future__ import annotations

import multiprocessing.connection
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import _async_worker

from ppocore.envs.action_masks import ReadsMasks
from ppocore.envs.errors import FailedEnvironment
from ppocore.envs.replay import Replaying

CLOSING_SECONDS = 10.0
"""Time for the workers to close their environments before they are terminated."""


class WorkerTraceback(Exception):
    """Hold the traceback of a worker process as text."""

    def __str__(self) -> str:
        return f"in the worker process:\n{self.args[0]}"


if TYPE_CHECKING:
    _AsyncVectorEnv = AsyncVectorEnv[Any, Any]
else:  # generic only since Gymnasium 1.4
    _AsyncVectorEnv = AsyncVectorEnv


def _quiet_worker(*arguments: Any) -> None:
    """Run Gymnasium's worker, without a traceback if the parent process was killed."""
    with suppress(BrokenPipeError, ConnectionResetError):
        _async_worker(*arguments)


class _ReplayingMaker:
    """Make the environment of worker ``index``."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], index: int) -> None:
        self._make, self._index = make, index

    def __call__(self) -> gym.Env[Any, Any]:
        return Replaying(self._make(), self._index)


class WorkerVectorEnv(ReadsMasks, _AsyncVectorEnv):
    """Extend `AsyncVectorEnv`: no autoreset, and arrays that are views of the memory shared with the workers.

    Gymnasium's class waits forever for an exception that could not be pickled, cannot be closed after a worker died,
    and leaves its processes running if the constructor fails.
    """

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        self.parent_pipes, self.processes = [], []
        try:
            replaying = [_ReplayingMaker(make, index) for index, make in enumerate(makers)]
            super().__init__(replaying, copy=False, autoreset_mode=AutoresetMode.DISABLED, worker=_quiet_worker)
        except BaseException:
            self.close(terminate=True)
            raise

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        failed = [index for index, success in enumerate(successes) if not success]
        if not failed:
            return
        # An exception that cannot be pickled never arrives.
        reports: dict[int, tuple[str, str]] = {}
        for _ in failed:
            with suppress(Exception):
                index, kind, value, trace = self.error_queue.get(timeout=2.0)
                reports[index] = (f"{kind.__name__}: {value}", trace)
        index = min(reports, default=failed[0])
        message, trace = reports.get(index, ("an exception that cannot be pickled", ""))
        raise FailedEnvironment(index, message) from (WorkerTraceback(trace) if trace else None)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """See `end_workers`; ``timeout`` is in seconds, and 0 with ``terminate``."""
        seconds = CLOSING_SECONDS if timeout is None else timeout
        end_workers(self, 0.0 if terminate else seconds)


def end_workers(vector: AsyncVectorEnv[Any, Any], seconds: float | None = None) -> None:
    """Let every worker close its environment, and terminate those that did not within ``seconds``.

    Unlike `AsyncVectorEnv.close`, it works after a worker died, stopped answering, or was interrupted in a step.
    """
    deadline = time.monotonic() + (CLOSING_SECONDS if seconds is None else seconds)
    for pipe in vector.parent_pipes:
        with suppress(OSError, AttributeError):  # closed, or None after an exception: that worker has ended
            pipe.send(("close", None))
    for process in vector.processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for process in vector.processes:
        process.terminate()
    for process in vector.processes:
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    for pipe in vector.parent_pipes:
        with suppress(AttributeError):
            pipe.close()
    vector.closed = True


def dead_worker(vector: AsyncVectorEnv[Any, Any]) -> tuple[int, int | None] | None:
    """Return the index and the exit code of a worker that died or dies within a second, or None."""
    sentinels = [process.sentinel for process in vector.processes]
    ended = multiprocessing.connection.wait(sentinels, timeout=1.0)
    for index, process in enumerate(vector.processes):
        if process.sentinel in ended:
            process.join()
            return index, process.exitcode
    return None
