"""Observe a run after every iteration, and stop it, with callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppocore.config import PPOConfig
from ppocore.errors import UsageError, warn
from ppocore.policy import Policy
from ppocore.training.result import TrainResult
from ppocore.training.snapshot import Snapshot


class Progress(NamedTuple):
    """Hold the counters of a run."""

    steps: int
    total_steps: int
    iterations: int
    updates: int
    episodes: int
    wall_seconds: float


class Run:
    """Give callbacks access to a run.

    Attributes:
        env: the environment's id, or the name of the callable, vector environment or collector.
        backend: the backend's name.
        seed: the seed of every random number.
        config: the settings.
        run_dir: the run directory, or None.
        start_steps: environment steps before the run was resumed.
        history: a sequence with one dict of metrics per iteration.
        snapshot: the run after the last complete iteration; must not be changed.
        infos: the final ``info`` of each episode that ended in the last iteration, as (environment index, dict).
        stop_reason: why a callback stopped the run, or None.
        result: the result of the run; set before ``on_end`` is called.
    """

    def __init__(
        self,
        *,
        env: str,
        backend: str,
        seed: int,
        config: PPOConfig,
        run_dir: Path | None,
        snapshot: Snapshot,
        history: Sequence[dict[str, Any]],
    ) -> None:
        self.env, self.backend, self.seed, self.config, self.run_dir = env, backend, seed, config, run_dir
        self.snapshot = snapshot
        self.history = history
        self.start_steps = snapshot.steps
        self.infos: list[tuple[int, dict[str, Any]]] = []
        self.stop_reason: str | None = None
        self.result: TrainResult | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        """The last iteration's line of ``metrics.jsonl``; empty before the first iteration."""
        return self.history[-1] if self.history else {}

    @property
    def progress(self) -> Progress:
        """The counters after the last complete iteration."""
        counters = self.snapshot.counters
        return Progress(
            steps=counters["steps"],
            total_steps=self.config.total_steps,
            iterations=counters["iterations"],
            updates=counters["updates"],
            episodes=counters["episodes"],
            wall_seconds=float(self.metrics.get("seconds", 0.0)),
        )

    @property
    def policy(self) -> Policy:
        """The policy after the last complete iteration."""
        assert self.snapshot.policy is not None  # only a snapshot read from a file has none
        return self.snapshot.policy

    @property
    def complete(self) -> bool:
        """Whether another rollout would exceed ``total_steps``."""
        return self.snapshot.steps + self.config.rollout_size > self.config.total_steps

    def stop(self, reason: str) -> None:
        """Stop the run after this iteration; it is saved and can be resumed.

        Args:
            reason: a short description for ``TrainResult.stop_reason``.
        """
        self.stop_reason = str(reason)


class Callback:
    """Observe a run; the methods of this base class do nothing.

    Callbacks are called in order. A callback may read everything and stop the run. An exception that it raises ends
    the run, after the last complete iteration has been saved.
    """

    reads_infos = True
    """Whether the callback needs ``run.infos``."""

    def on_start(self, run: Run) -> None:
        """Handle the start of the run, before its first iteration."""

    def on_iteration(self, run: Run) -> None:
        """Handle the end of an iteration."""

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Handle the end of the run; called once, also after an error.

        Args:
            run: the run, with its ``result``.
            error: the exception that ended the run early (`KeyboardInterrupt` for Ctrl-C, SIGTERM, SIGHUP), or None.
        """


class FunctionCallback(Callback):
    """Call a function after every iteration."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function

    def on_iteration(self, run: Run) -> None:
        """Call the function."""
        self._function(run)


HOOKS = ("on_start", "on_iteration", "on_end")


def as_callbacks(given: Iterable[Any]) -> list[Callback]:
    """Return a list of callbacks, with functions wrapped in a `FunctionCallback`.

    Raises:
        UsageError: not an iterable, a class instead of an instance, or neither a callback nor a function.
    """
    if callable(given) or not isinstance(given, Iterable):
        raise UsageError(f"callbacks={given!r} must be a list of callbacks: put it into one, [{_name(given)}]")
    return [_as_callback(callback) for callback in given]


def _as_callback(callback: Any) -> Callback:
    if isinstance(callback, type):
        raise UsageError(f"callback {callback.__name__} is a class: give an instance, {callback.__name__}()")
    if isinstance(callback, Callback):
        return callback
    found = [name for name in HOOKS if callable(getattr(callback, name, None))]
    if found:
        missing = [name for name in HOOKS if name not in found]
        if not missing:
            return callback  # type: ignore[no-any-return]  # it has all of a Callback's methods
        raise UsageError(f"callback {callback!r} has no method {missing[0]}: derive its class from ppocore.Callback")
    if callable(callback):
        return FunctionCallback(callback)
    raise UsageError(f"callback {callback!r} is neither a ppocore.Callback nor a function of one argument, the run")


def end_callbacks(callbacks: Sequence[Callback], run: Run, error: BaseException | None) -> BaseException | None:
    """Call every callback's ``on_end``; return ``error``, or else the first exception that a callback raised.

    A callback interrupted by Ctrl-C is called a second time, so that a second Ctrl-C does not prevent saving.
    """
    for callback in callbacks:
        for _ in range(2):
            try:
                callback.on_end(run, error)
            except KeyboardInterrupt as raised:
                error = error or raised
                continue
            except BaseException as raised:
                if error is None:
                    error = raised
                else:
                    warn(f"{type(callback).__name__} failed when the run ended ({type(raised).__name__}: {raised})")
            break
    return error


def _name(given: Any) -> str:
    return str(getattr(given, "__name__", "callback"))
