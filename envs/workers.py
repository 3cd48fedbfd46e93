"""Step environments in worker processes, which always end and whose errors are always reported."""

from __future__ import annotations

import errno
import functools
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from ppocore.envs.errors import FailedEnvironment
from ppocore.envs.infos import joined, unpickled
from ppocore.envs.replay import Replaying
from ppocore.envs.resets import reset_arguments
from ppocore.envs.worker import INTERRUPTED, allow_interrupts, run_worker
from ppocore.errors import UsageError

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


class _ForItsSpaces(Replaying):
    """Wrap an environment that is only looked at, so that its ``close`` cannot prevent the run."""

    def close(self) -> None:
        """Close the environment, whatever it raises."""
        with suppress(Exception, SystemExit):
            self.env.close()


class _ReplayingMaker:
    """Make the environment of worker ``index``."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], index: int) -> None:
        self._make, self._index, self._parent = make, index, os.getpid()

    def __call__(self) -> gym.Env[Any, Any]:
        if os.getpid() != self._parent:
            return Replaying(self._make(), self._index)
        # This one is made for its spaces, which may take long; the processes are started after it.
        allow_interrupts()
        try:
            return _ForItsSpaces(self._make(), self._index)
        finally:
            _hold_interrupts()


class WorkerVectorEnv(_AsyncVectorEnv):
    """Extend `AsyncVectorEnv`: no autoreset, and arrays that are views of the memory shared with the workers.

    Gymnasium's class waits forever for an exception that could not be pickled, cannot be closed after a worker died,
    leaves its processes running if the constructor fails, and merges infos that cannot be merged.

    Attributes:
        awaited: the worker whose answer is read, or None.
    """

    returns_checked = True

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        self.parent_pipes, self.processes = [], []
        self.awaited: int | None = None
        replaying = [_ReplayingMaker(make, index) for index, make in enumerate(makers)]
        worker = functools.partial(run_worker, len(makers))
        try:
            with _interrupts_held():
                super().__init__(replaying, copy=False, autoreset_mode=AutoresetMode.DISABLED, worker=worker)
        except OSError as error:
            self.close(terminate=True)
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            raise UsageError(
                f"{len(makers)} worker processes need more open files than this process may have: raise the limit with "
                '"ulimit -n", use fewer environments (num_envs=), or vectorization="sync"'
            ) from error
        except BaseException:
            self.close(terminate=True)
            raise

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset every environment, or those in ``options["reset_mask"]``."""
        arguments = reset_arguments(self.num_envs, seed, options)
        masks = zip(arguments, self._ask("reset", list(arguments.values()), list(arguments)), strict=True)
        return self.observations, joined(self.num_envs, {i: mask for i, mask in masks if mask is not None}, {})

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment."""
        answers = self._ask("step", actions, range(self.num_envs))
        rewards, terminated, truncated, masks, infos = zip(*answers, strict=True)
        given = {i: mask for i, mask in enumerate(masks) if mask is not None}
        finals = {i: unpickled(info) for i, info in enumerate(infos) if info is not None}
        flags = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        return self.observations, np.array(rewards, np.float64), *flags, joined(self.num_envs, given, finals)

    def call(self, name: str, *arguments: Any, **named: Any) -> tuple[Any, ...]:
        """Call a method of every environment, or read an attribute."""
        return tuple(self._ask("call", [(name, arguments, named)] * self.num_envs, range(self.num_envs)))

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment, to one value or each to its own."""
        each = values if isinstance(values, list | tuple) else [values] * self.num_envs
        self._ask("set", [(name, value) for value in each], range(self.num_envs))

    def _ask(self, command: str, arguments: Sequence[Any], which: Sequence[int]) -> list[Any]:
        """Send a command to the workers ``which``, and return their answers.

        Raises:
            FailedEnvironment: the first of their failures.
        """
        self._assert_is_running()
        for index, argument in zip(which, arguments, strict=True):
            self.parent_pipes[index].send((command, argument))
        answers = []
        for self.awaited in which:
            answers.append(self.parent_pipes[self.awaited].recv())
        self.awaited = None
        for index, (answer, success) in zip(which, answers, strict=True):
            if not success:
                message, trace = answer
                if message == INTERRUPTED:
                    raise KeyboardInterrupt
                raise FailedEnvironment(index, message) from (WorkerTraceback(trace) if trace else None)
        return [answer for answer, _ in answers]

    def _check_spaces(self) -> None:
        allow_interrupts()  # the workers make their environments now
        expected = self.single_observation_space, self.single_action_space
        try:
            found = self._ask("spaces", [None] * self.num_envs, range(self.num_envs))
        except (EOFError, ConnectionError) as error:
            raise ChildProcessError("a worker process ended while making it; what it printed says why") from error
        for index, spaces in enumerate(found):
            if spaces != expected:
                raise UsageError(
                    f"environment {index} has other spaces than environment 0: {_spaces(spaces)}, not "
                    f"{_spaces(expected)}"
                )

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """See `end_workers`; ``timeout`` is in seconds, and 0 with ``terminate``."""
        seconds = CLOSING_SECONDS if timeout is None else timeout
        end_workers(self, 0.0 if terminate else seconds)


def _spaces(spaces: Any) -> str:
    return " and ".join(" ".join(str(space).split()) for space in spaces)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes with SIGINT held back, so that none prints a traceback before it can handle one."""
    before = _hold_interrupts()
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hold_interrupts() -> set[Any] | None:
    """Hold SIGINT back from this thread, and return what was held back before; None where a system cannot."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None


def end_workers(vector: AsyncVectorEnv[Any, Any], seconds: float | None = None) -> list[str]:
    """Let every worker close its environment, and terminate those that did not within ``seconds``.

    Unlike `AsyncVectorEnv.close`, it works after a worker died, stopped answering, or was interrupted in a step.

    Returns:
        What the environments raised.
    """
    deadline = time.monotonic() + (CLOSING_SECONDS if seconds is None else seconds)
    started = [process for process in vector.processes if process.pid is not None]
    for pipe in vector.parent_pipes:
        with suppress(OSError, AttributeError):  # closed, or None after an exception: that worker has ended
            pipe.send(("close", None))
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
    for process in started:
        process.terminate()
    for process in started:
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    failures = []
    for index, pipe in enumerate(vector.parent_pipes):
        last: Any = (None, True)
        with suppress(Exception):  # closed, None, or at its end
            while pipe.poll(0):
                last = pipe.recv()
        if not last[1] and isinstance(last[0], tuple):  # what it answered to closing
            failures.append(f"environment {index}: {last[0][0]}")
        with suppress(AttributeError):
            pipe.close()
    vector.closed = True
    return failures


def dead_worker(vector: AsyncVectorEnv[Any, Any]) -> tuple[int, int | None] | None:
    """Return the index and the exit code of a worker that died or dies within a second, or None."""
    sentinels = [process.sentinel for process in vector.processes]
    ended = multiprocessing.connection.wait(sentinels, timeout=1.0)
    for index, process in enumerate(vector.processes):
        if process.sentinel in ended:
            process.join()
            return index, process.exitcode
    return None
