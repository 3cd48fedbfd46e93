"""Let a run be saved undisturbed after Ctrl-C, although it is pressed again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any


class SecondInterruptWaits:
    """Answer a second Ctrl-C, while the run is saved, with a sentence; the third one interrupts saving, too.

    A context manager, which has no effect outside the main thread or if the program has its own handler.
    """

    def __init__(self) -> None:
        self._ours = False
        self._interrupts = 0

    def __enter__(self) -> SecondInterruptWaits:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._ours = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def forget(self) -> None:
        """Treat the next Ctrl-C as the first, as when a callback handled one and the run goes on."""
        self._interrupts = 0

    def _handle(self, number: int, frame: Any) -> None:
        self._interrupts += 1
        if self._interrupts == 2:
            # Not by print, which the signal may have interrupted.
            with suppress(AttributeError, OSError, ValueError):
                os.write(sys.stderr.fileno(), b"ppocore: the run is being saved; press Ctrl-C again to abandon that\n")
            return
        raise KeyboardInterrupt
