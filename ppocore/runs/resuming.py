"""Resume a run: check that the checkpoint belongs to it, restore it, and record changed settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ppocore.config import PPOConfig
from ppocore.errors import UsageError, warn
from ppocore.reporting.jsonl import keep_lines, read_lines
from ppocore.runs.configuration import RunConfiguration, runtime_as_json
from ppocore.runs.directory import RunDirectory
from ppocore.training import Snapshot, Trainer


def record_changes(
    directory: RunDirectory,
    recorded: RunConfiguration,
    made: RunConfiguration,
    config: PPOConfig,
    runtime: dict[str, Any],
    snapshot: Snapshot | None,
) -> None:
    """Update ``config.json`` if the settings, the runtime or what makes the environments differ from those recorded.

    ``made`` is the recorded configuration with how the environments are made now.
    """
    before = recorded.recorded_runtime()
    if made == recorded and config == recorded.config and runtime == runtime_as_json(before, str(before.backend)):
        return
    entry = {"steps": 0 if snapshot is None else snapshot.steps, "backend": runtime["backend"]}
    directory.write_configuration(
        RunConfiguration(**{**vars(made), "config": config, "runtime": runtime, "resumed": [*recorded.resumed, entry]})
    )


def check_same_settings(snapshot: Snapshot, config: PPOConfig, seed: int, path: Path) -> None:
    """Check that a checkpoint has the settings and the seed of the run being resumed.

    Raises:
        UsageError: they differ, or it is beyond ``total_steps``.
    """
    before = snapshot.config()
    saved = before.replace(total_steps=config.total_steps)
    if saved != config or snapshot.description["seed"] != seed:
        settings, others = config.to_dict(), saved.to_dict()
        changed = [name for name in settings if settings[name] != others[name]] or ["seed"]
        raise UsageError(
            f"{changed[0]} in {path}'s config.json differs from its checkpoint: restore it, or train a new run"
        )
    if snapshot.steps > config.total_steps:
        raise UsageError(
            f"the run in {path} has already taken {snapshot.steps} steps, more than steps={config.total_steps}: give "
            "a larger number"
        )
    if before.total_steps != config.total_steps and config.anneals:
        warn(
            f"{config.anneals[0]} depends on the number of steps: a run resumed to {config.total_steps} instead of "
            f"{before.total_steps} steps differs from one trained with {config.total_steps} from the start"
        )


def check_same_environments(snapshot: Snapshot, trainer: Trainer, path: Path) -> None:
    """Check that a checkpoint is of the environments of the run being resumed.

    Raises:
        UsageError: it is of others.
    """
    if snapshot.description["env"] != trainer.collector.name:
        raise UsageError(
            f"the run in {path} is of {snapshot.description['env']}, but the environments given are "
            f"{trainer.collector.name}: give those of the run"
        )


def restore_run(trainer: Trainer, snapshot: Snapshot, directory: RunDirectory, restart_episodes: bool) -> None:
    """Restore the trainer, its environments and its metrics from a checkpoint.

    Raises:
        UsageError: the checkpoint does not fit the run, or an environment cannot be restored and
            ``restart_episodes`` is not set.
    """
    path = directory.path
    # Metrics after the checkpoint are dropped, because the run repeats these iterations.
    history, missing = read_lines(directory.metrics_path, snapshot.iterations)
    try:
        lost = trainer.restore(snapshot, history)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"the checkpoint in {path} does not fit the run: {error}") from error
    if lost:
        index = min(lost)
        which = (
            f"environment {index} cannot be restored ({lost[index]})"
            if len(lost) == 1
            else f"environments {', '.join(map(str, lost))} cannot be restored ({lost[index]})"
        )
        if not restart_episodes:
            raise UsageError(
                f"{which}: the run in {path} cannot be resumed exactly; to start new episodes instead, with which the "
                "result differs from that of an uninterrupted run, pass restart_episodes=True"
            )
        warn(f"{which}: new episodes start instead, and the result differs from that of an uninterrupted run")
    if missing:
        absent = snapshot.iterations - len(history)
        warn(f"metrics.jsonl lacks {absent} iterations, the first of them {missing[0]}: the run is unaffected")
    keep_lines(directory.metrics_path, snapshot.iterations)
