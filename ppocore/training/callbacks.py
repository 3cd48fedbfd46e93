"""Callbacks: look at a run after every iteration, and stop it."""

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
    """How far a run has come."""

    steps: int
    total_steps: int
    iterations: int
    updates: int
    episodes: int
    wall_seconds: float


class Run:
    """What a callback sees of a run.

    Attributes:
        env: the environment's id, or the name of what made the environments.
        backend: the backend's name.
        seed: of every random number.
        config: the settings.
        run_dir: where the run is written, or None.
        start_steps: environment steps that a resumed run had taken before.
        history: one dict of metrics an iteration.
        snapshot: the run after the last whole iteration; to be read, not changed.
        infos: the final ``info`` of each episode that ended in the last iteration, as (environment index, dict).
        stop_reason: why a callback stopped the run, or None.
        result: what the run gave; set when ``on_end`` is called.
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
        history: list[dict[str, Any]],
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
        """The last iteration's line of ``metrics.jsonl``; empty before the first."""
        return self.history[-1] if self.history else {}

    @property
    def progress(self) -> Progress:
        """How far the run has come, after the last whole iteration."""
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
        """The policy of the last whole iteration."""
        assert self.snapshot.policy is not None  # only one that was read from a file has none
        return self.snapshot.policy

    @property
    def complete(self) -> bool:
        """Whether one more rollout would exceed ``total_steps``."""
        return self.snapshot.steps + self.config.rollout_size > self.config.total_steps

    def stop(self, reason: str) -> None:
        """End the run after this iteration; it is saved and can be resumed.

        Args:
            reason: a few words, kept as ``TrainResult.stop_reason``.
        """
        self.stop_reason = str(reason)


class Callback:
    """Base of what looks at a run; each method does nothing here.

    Callbacks are called in order.  One may read everything and stop the run; what it raises ends the run, whose last
    whole iteration is then saved.
    """

    reads_infos = True
    """Whether ``run.infos`` is to be filled for it."""

    def on_start(self, run: Run) -> None:
        """Be called before the first iteration."""

    def on_iteration(self, run: Run) -> None:
        """Be called after every iteration."""

    def on_end(self, run: Run, error: BaseException | None) -> None:
        """Be called once when the run has ended, whatever ended it.

        Args:
            run: with its ``result``.
            error: what ended the run early (`KeyboardInterrupt` for Ctrl-C and SIGTERM), or None.
        """


class FunctionCallback(Callback):
    """Calls a plain function after every iteration."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function

    def on_iteration(self, run: Run) -> None:
        """Call the function."""
        self._function(run)


HOOKS = ("on_start", "on_iteration", "on_end")


def as_callbacks(given: Iterable[Any]) -> list[Callback]:
    """Return callbacks for what a user gave: callbacks as they are, plain functions wrapped.

    Raises:
        UsageError: not an iterable, a class in place of an instance, or neither a callback nor a function.
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
    """Call every callback's ``on_end``; return what ended the run, which may be what the first of them raised.

    A callback that Ctrl-C interrupts is called once more, so that a second Ctrl-C does not lose what it saves.
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
