"""A limit to how long a call may take."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

from ppocore.errors import UsageError


class TookTooLong(Exception):
    """The call took longer than it may."""


class Alarm:
    """A context in which `TookTooLong` is raised after ``seconds``; does nothing if they are None.

    It interrupts whatever the main thread executes or waits for, but not the inside of a library in C.

    Raises:
        UsageError: no signals on this system or in this thread.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        if seconds is not None and (
            not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread()
        ):
            raise UsageError("env_timeout needs the main thread of a POSIX system: leave it out")

    def __enter__(self) -> None:
        if self._seconds is not None:
            self._before: Any = signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)


def _ring(number: int, frame: Any) -> None:
    raise TookTooLong
