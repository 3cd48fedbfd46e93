"""Report a run on the console: a progress bar on a terminal, lines of text elsewhere, and a summary at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from ppocore.reporting.base import RunStart
    from ppocore.training import TrainResult


class ConsoleReporter:
    """Write to ``stream``, by default standard error, which leaves standard output to results."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._bar: tqdm[Any] | None = None
        self._live = self._stream.isatty()
        self._total = 0

    def begin(self, start: RunStart) -> None:
        """Print the settings of the run, and show the progress bar."""
        config = start.config
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
                unit=" steps",
                unit_scale=True,
                dynamic_ncols=True,
                file=self._stream,
                leave=False,
                mininterval=0.1,
            )

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Advance the progress bar, or print a line."""
        mean_return = _format(metrics["mean_return"])
        if self._bar is not None:
            self._bar.set_postfix_str(f"return {mean_return} (last 100 episodes)", refresh=False)
            self._bar.update(metrics["steps"] - self._bar.n)
        else:
            self._write(
                f"iteration {metrics['iteration']:>5}  steps {metrics['steps']:>{len(str(self._total))}}  "
                f"episodes {metrics['episodes']:>6}  return {mean_return:>9}  "
                f"{metrics['steps_per_second']:>9,.0f} steps/s  {self._left(metrics)}"
            )

    def _left(self, metrics: dict[str, Any]) -> str:
        # From the time, because a speed that is rounded may be 0.
        seconds = (self._total - metrics["steps"]) * metrics["seconds"] / max(metrics["steps"], 1)
        return f"{tqdm.format_interval(max(seconds, 0.0))} left"

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

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

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
