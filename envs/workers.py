"""Gymnasium's asynchronous vector environment, sure to end its processes and to report their errors."""

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
from ppocore.envs.replay.replaying import Replaying

CLOSING_SECONDS = 10.0
"""How long the workers have to close their environments before they are terminated."""


class WorkerTraceback(Exception):
    """The traceback of a worker process, as text."""

    def __str__(self) -> str:
        return f"in the worker process:\n{self.args[0]}"


if TYPE_CHECKING:
    _AsyncVectorEnv = AsyncVectorEnv[Any, Any]
else:  # generic only since Gymnasium 1.4
    _AsyncVectorEnv = AsyncVectorEnv


def _quiet_worker(*arguments: Any) -> None:
    """Gymnasium's own, which ends without a traceback where the process that it worked for was killed."""
    with suppress(BrokenPipeError, ConnectionResetError):
        _async_worker(*arguments)


class _ReplayingMaker:
    """Makes the environment of worker `index`."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], index: int) -> None:
        self._make, self._index = make, index

    def __call__(self) -> gym.Env[Any, Any]:
        return Replaying(self._make(), self._index)


class WorkerVectorEnv(ReadsMasks, _AsyncVectorEnv):
    """`AsyncVectorEnv` without autoreset, whose arrays are views of the memory shared with the workers.

    Gymnasium's own waits without limit for an exception that could not be sent, cannot be closed once a
    worker is dead, and keeps its processes when the constructor fails.
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
        # An exception is pickled on its way here; one that cannot be never arrives.
        reports: dict[int, tuple[str, str]] = {}
        for _ in failed:
            with suppress(Exception):
                index, kind, value, trace = self.error_queue.get(timeout=2.0)
                reports[index] = (f"{kind.__name__}: {value}", trace)
        index = min(reports, default=failed[0])
        message, trace = reports.get(index, ("an exception that cannot be pickled", ""))
        raise FailedEnvironment(index, message) from (WorkerTraceback(trace) if trace else None)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """See `end_workers`; `timeout` in seconds, and none at all with `terminate`."""
        seconds = CLOSING_SECONDS if timeout is None else timeout
        end_workers(self, 0.0 if terminate else seconds)


def end_workers(vector: AsyncVectorEnv[Any, Any], seconds: float | None = None) -> None:
    """Lets every worker close its environment and ends those that did not within `seconds`.

    Unlike `AsyncVectorEnv.close`, it does not depend on a worker being alive, answering, or having been waited
    for in an interrupted step.
    """
    deadline = time.monotonic() + (CLOSING_SECONDS if seconds is None else seconds)
    for pipe in vector.parent_pipes:
        with suppress(OSError, AttributeError):  # closed, or None after an exception: that worker is gone
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
    """The index and exit code of a worker that has died, waiting a moment for one that is about to."""
    sentinels = [process.sentinel for process in vector.processes]
    ended = multiprocessing.connection.wait(sentinels, timeout=1.0)
    for index, process in enumerate(vector.processes):
        if process.sentinel in ended:
            process.join()
            return index, process.exitcode
    return None
