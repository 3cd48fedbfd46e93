"""Limit the time of a call."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

from ppocore.errors import UsageError


class TimeLimitExceeded(Exception):
    """Report a call that exceeded its time limit."""


class Alarm:
    """Raise `TimeLimitExceeded` in the context after ``seconds``, if they are not None.

    It interrupts what the main thread executes or waits for, but not a call into a C library.

    Raises:
        UsageError: there are no signals on this system or in this thread.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        if seconds is not None and (
            not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread()
        ):
            raise UsageError(f"env_timeout={seconds:g} needs the main thread of a POSIX system: leave it out")

    def __enter__(self) -> None:
        if self._seconds is not None:
            self._before: Any = signal.signal(signal.SIGALRM, _raise_time_limit)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)


def _raise_time_limit(number: int, frame: Any) -> None:
    raise TimeLimitExceeded
