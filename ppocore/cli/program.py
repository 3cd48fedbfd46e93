"""Run a command, and turn whatever goes wrong into one sentence and an exit status."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

from ppocore.cli.output import Unwritable, complain, settle
from ppocore.cli.parser import parse
from ppocore.cli.settings import FAILED, WRONG_USE
from ppocore.cli.words import in_options
from ppocore.errors import RunError, RunWarning, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for a failure or a difference, 2 for wrong usage."""
    _open_standard_streams()
    try:
        return _run(arguments)
    finally:
        settle()


def _run(arguments: Sequence[str] | None) -> int:
    options = parse(arguments)
    if options is None:  # the help was printed
        return 0

    def say(sentence: str) -> None:
        complain(options.command, in_options(sentence, options.parser))

    warnings.showwarning = _warning_printer(say)
    try:
        status: int = options.run(options)
        return status
    except Unwritable as error:
        if error.reason is not None:
            say(f"standard output cannot be written ({error.reason})")
        return FAILED
    except UsageError as error:
        say(str(error))
        return WRONG_USE
    except RunError as error:
        say(f"the run failed: {error}")
        return FAILED
    except (SystemExit, Exception) as error:
        sentence = _explained(error)
        if sentence is None:  # no run was saved, so that the traceback is the only information
            raise
        say(sentence)
        return WRONG_USE if isinstance(error, OSError) and not hasattr(error, "__notes__") else FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return FAILED


def _explained(error: BaseException) -> str | None:
    """Return a sentence on an error that is not the library's own; None if only its traceback could tell."""
    saved = getattr(error, "__notes__", [])
    reason = f"{type(error).__name__}: {error}"
    if saved:
        return f"the run failed: {reason}; {saved[-1]}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'MemoryError'}): choose smaller networks or rollouts"
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{str(error.filename)[:200]}: "
        return f"{where}{error.strerror}"
    return None


def _open_standard_streams() -> None:
    """Replace standard streams that are closed, and write any character that their encoding lacks escaped."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened, such as a run's metrics, would take its place
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115 (for the whole program)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not one of another kind, such as a notebook's
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def _warning_printer(say: Callable[[str], None]) -> Any:
    """Return a `warnings.showwarning` that says one sentence, and never fails."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        kind = "" if issubclass(category, RunWarning) else f"{category.__name__}: "
        say(f"warning: {kind}{message}")

    return show
