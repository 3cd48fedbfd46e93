"""Report a run on the console: a progress bar on a terminal, lines of text elsewhere, and a summary at the end."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from ppocore.reporting.base import RunStart
    from ppocore.training import TrainResult

# By the least width of the terminal in columns: each leaves the bar a third of the line or more.
_BARS = (
    (
        100,
        "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps  return <return> (last 100)  <rate> steps/s  <left> left",
    ),
    (70, "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}  return <return>  <rate>/s  <left> left"),
    (45, "{percentage:3.0f}%|{bar}| return <return>  <left> left"),
    (0, "{percentage:3.0f}% return <return>"),
)
_SECONDS_BETWEEN_LINES = 1.0


class ConsoleReporter:
    """Write to ``stream``, by default standard error, which leaves standard output to results.

    Where that is not a terminal, at most one line a second is written, and one for the last iteration.

    Args:
        stream: where to write.
        as_options: whether to show the settings that were given as options of the command line.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        as_options: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream: TextIO | None = sys.stderr if stream is None else stream  # None if the program has none
        self._as_options, self._clock = as_options, clock
        self._bar: tqdm[Any] | None = None
        self._live = self._stream is not None and self._stream.isatty()
        self._total = 0
        self._written: float | None = None  # when a line was last written
        self._unwritten: dict[str, Any] | None = None  # the last metrics, if their line was left out

    def begin(self, start: RunStart) -> None:
        """Print the settings of the run, and show the progress bar."""
        config = start.config
        if start.preset:
            self._write(start.preset)
        if start.given:
            self._write(f"given: {_as_options(start.given) if self._as_options else _as_arguments(start.given)}")
        where = "not saved (no run directory)" if start.run_dir is None else f"saved in {start.run_dir}"
        self._write(
            f"{start.env} on the {start.backend} backend, seed {start.seed}, {config.precision} precision: "
            f"{config.total_steps:,} steps, {config.num_envs} environments x {config.num_steps} steps per iteration; "
            f"{where}" + (f"; resumed after {start.steps:,} steps" if start.steps else "")
        )
        self._total = config.total_steps
        if self._live:
            self._bar = tqdm(
                total=config.total_steps,
                initial=start.steps,
                unit_scale=True,
                dynamic_ncols=True,
                file=self._stream,
                leave=False,
                mininterval=0.1,
                bar_format=_BARS[-1][1].replace("<return>", "-"),
            )

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Advance the progress bar, or print a line."""
        if self._bar is not None:
            layout = next(layout for least, layout in _BARS if self._columns() >= least)
            for field, shown in (
                ("<return>", _format(metrics["mean_return"])),
                ("<rate>", str(tqdm.format_sizeof(metrics["steps_per_second"]))),
                ("<left>", self._left(metrics)),
            ):
                layout = layout.replace(field, shown)
            self._bar.bar_format = layout
            self._bar.update(metrics["steps"] - self._bar.n)
            return
        now = self._clock()
        if self._written is None or now - self._written >= _SECONDS_BETWEEN_LINES:
            self._write_metrics(metrics)
            self._written, self._unwritten = now, None
        else:
            self._unwritten = metrics

    def _write_metrics(self, metrics: dict[str, Any]) -> None:
        self._write(
            f"iteration {metrics['iteration']:>5}  steps {metrics['steps']:>{len(str(self._total))}}  "
            f"episodes {metrics['episodes']:>6}  return {_format(metrics['mean_return']):>9}  "
            f"{metrics['steps_per_second']:>9,.0f} steps/s  {self._left(metrics)} left"
        )

    def _left(self, metrics: dict[str, Any]) -> str:
        # From the time, because a speed that is rounded may be 0.
        seconds = (self._total - metrics["steps"]) * metrics["seconds"] / max(metrics["steps"], 1)
        return str(tqdm.format_interval(min(max(seconds, 0.0), 1e9)))

    def close(self) -> None:
        """Remove the progress bar, and print the line of the last iteration if it was left out."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._unwritten is not None:
            self._write_metrics(self._unwritten)
            self._unwritten = None

    def end(self, result: TrainResult) -> None:
        """Print a summary of the run."""
        how = "interrupted after" if result.interrupted else "done:"
        if result.stop_reason is not None:
            how = f"stopped ({result.stop_reason}) after"
        self._write(
            f"{how} {result.steps:,} steps, {result.episodes:,} episodes in {result.wall_seconds:.1f} s "
            f"({result.steps / max(result.wall_seconds, 1e-9):,.0f} steps/s)"
        )
        self._write(f"mean return of the last 100 training episodes: {_format(result.mean_return)}")
        if result.run_dir is not None:
            self._write(f"policy saved in {result.run_dir}; try: ppocore evaluate {result.run_dir}")
        self._write(f"fingerprint {result.fingerprint}")

    def _write(self, text: str) -> None:
        """Write a line, on a terminal broken between words."""
        if self._stream is None:
            return
        if self._live:
            text = textwrap.fill(
                text, max(self._columns(), 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        print(text, file=self._stream, flush=True)

    def _columns(self) -> int:
        assert self._stream is not None
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):  # a terminal of a program, without a size
            return 80


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _as_arguments(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _as_options(given: Mapping[str, Any]) -> str:
    """Return settings as they are written on the command line."""
    parts = []
    for name, value in given.items():
        option = "steps" if name == "total_steps" else name.replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, tuple | list) else ["none" if value is None else value]
            parts.append(" ".join([f"--{option}", *map(str, values)]))
    return " ".join(parts)
