"""Handle SIGTERM and SIGHUP like Ctrl-C, so that a run is saved that is terminated or whose terminal is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """Report that SIGTERM or SIGHUP was received."""


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP, in the main thread.

    A signal that the program handles itself, or ignores, as under ``nohup``, is left alone.
    """
    ours: list[int] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
