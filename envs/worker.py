"""Run one environment in a process of its own, which ends with the process that started it."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.vector.utils import read_from_shared_memory

from ppocore.envs.action_masks import InfoMask
from ppocore.envs.errors import FailedEnvironment, describe
from ppocore.envs.infos import pickled
from ppocore.envs.observations import ObservationRows
from ppocore.envs.results import read_flag, read_info, read_reward, reset_parts, step_parts

INTERRUPTED = "interrupted"
"""The message of a worker whose environment raised KeyboardInterrupt."""
ORPHAN_SECONDS = 5.0
"""Time for a worker to end by itself after its parent process has ended."""


def run_worker(
    count: int, index: int, make: Callable[[], gym.Env[Any, Any]], pipe: Any, parent_pipe: Any, memory: Any, *_: Any
) -> None:
    """Answer the commands of the parent process, each with (result, True) or ((message, traceback), False).

    Args:
        count: number of environments.
        index: the environment's index.
        make: makes the environment.
        pipe: the commands, as (name, argument).
        parent_pipe: the parent's end of it, to be closed here.
        memory: the memory that the observations are written to.
    """
    try:
        parent_pipe.close()
        threading.Thread(target=_end_with_parent, daemon=True).start()
        allow_interrupts()
        worker: _Worker | None = None
        while True:
            command, argument = pipe.recv()
            try:
                if worker is None:
                    worker = _Worker(count, index, make(), memory)
                answer = worker.answer(command, argument), True
            except KeyboardInterrupt:
                answer = (INTERRUPTED, ""), False
            except BaseException as error:  # also SystemExit, which is no way to end a run
                answer = (describe(error), traceback.format_exc()), False
            pipe.send(answer)
            if command == "close":
                return
    except (KeyboardInterrupt, EOFError, OSError):
        return  # the parent process ends, or has ended, and says why


def allow_interrupts() -> None:
    """Let SIGINT through to this thread, which may have been started with it held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Worker:
    """Hold the environment of a worker process."""

    def __init__(self, count: int, index: int, environment: gym.Env[Any, Any], memory: Any) -> None:
        self._index, self._environment = index, environment
        space = environment.observation_space
        self._rows = ObservationRows(space, read_from_shared_memory(space, memory, n=count))
        self._mask_of = InfoMask(environment.action_space)

    def answer(self, command: str, argument: Any) -> Any:
        """Execute a command."""
        if command == "step":
            return self._step(argument)
        if command == "reset":
            return self._reset(argument)
        if command == "call":
            name, arguments, named = argument
            found = self._environment.get_wrapper_attr(name)
            return found(*arguments, **named) if callable(found) else found
        if command == "set":
            return self._environment.set_wrapper_attr(*argument)
        if command == "spaces":
            return self._environment.observation_space, self._environment.action_space
        assert command == "close"
        return self._environment.close()

    def _reset(self, settings: dict[str, Any]) -> Any:
        result = self._environment.reset(**settings)
        try:
            observation, info = reset_parts(result)
            self._rows.write(self._index, observation)
        except ValueError as error:
            raise FailedEnvironment(self._index, f"it {error}") from error
        return self._mask_of(info, self._index) if info else None

    def _step(self, action: Any) -> Any:
        result = self._environment.step(action)
        try:
            observation, reward, terminated, truncated, info = step_parts(result)
            self._rows.write(self._index, observation)
            reward = read_reward(reward)
            terminated, truncated = read_flag("terminated", terminated), read_flag("truncated", truncated)
            info = read_info(info)
        except ValueError as error:
            raise FailedEnvironment(self._index, f"it {error}") from error
        mask = self._mask_of(info, self._index) if info else None
        return reward, terminated, truncated, mask, pickled(info) if info and (terminated or truncated) else None


def _end_with_parent() -> None:
    """End this process some seconds after the parent process has ended, whatever the environment does then.

    An environment that hangs, or a process of its own that holds the pipe open, would keep it for ever.
    """
    parent, process = os.getppid(), multiprocessing.parent_process()
    while os.getppid() == parent and process is not None and process.is_alive():
        multiprocessing.connection.wait([process.sentinel], timeout=1.0)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
