"""Resume a run: check that a checkpoint is of it, restore its parts, and record what changes."""

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
    config: PPOConfig,
    runtime: dict[str, Any],
    snapshot: Snapshot | None,
) -> None:
    """Write the configuration again where something is another than before."""
    if config == recorded.config and runtime == runtime_as_json(
        recorded.recorded_runtime(), recorded.runtime["backend"]
    ):
        return
    entry = {"steps": 0 if snapshot is None else snapshot.steps, "backend": runtime["backend"]}
    directory.write_configuration(
        RunConfiguration(
            **{**vars(recorded), "config": config, "runtime": runtime, "resumed": [*recorded.resumed, entry]}
        )
    )


def check_same_run(snapshot: Snapshot, config: PPOConfig, seed: int, trainer: Trainer, path: Path) -> None:
    """Refuse a checkpoint of another run."""
    before = snapshot.config()
    held = before.replace(total_steps=config.total_steps)
    if held != config or snapshot.description["seed"] != seed:
        settings, others = config.to_dict(), held.to_dict()
        changed = [name for name in settings if settings[name] != others[name]] or ["seed"]
        raise UsageError(
            f"{changed[0]} in {path}'s config.json is not what its checkpoint says: put it back, or train a new run"
        )
    if snapshot.description["env"] != trainer.collector.name:
        raise UsageError(
            f"the run in {path} is of {snapshot.description['env']}, the environments given are "
            f"{trainer.collector.name}: give those of the run"
        )
    if snapshot.steps > config.total_steps:
        raise UsageError(
            f"the run in {path} has taken {snapshot.steps} steps already, more than steps={config.total_steps}: give "
            "more"
        )
    if before.total_steps != config.total_steps and config.anneals:
        warn(
            f"{config.anneals[0]} is over the whole run: resumed to {config.total_steps} instead of "
            f"{before.total_steps} steps, it is not the run that would have been trained for as many from its beginning"
        )


def restore_run(trainer: Trainer, snapshot: Snapshot, directory: RunDirectory, restart_episodes: bool) -> None:
    """Restore the trainer, its environments and its metrics from a checkpoint."""
    path = directory.path
    # What the metrics hold beyond the checkpoint is of iterations that will be made again.
    history, missing = read_lines(directory.metrics_path, snapshot.iterations)
    try:
        lost = trainer.restore(snapshot, history)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the checkpoint of {path} is not one of such a run: {error}") from error
    if lost:
        index = min(lost)
        which = (
            f"environment {index} cannot be restored ({lost[index]})"
            if len(lost) == 1
            else f"environments {', '.join(map(str, lost))} cannot be restored ({lost[index]})"
        )
        if not restart_episodes:
            raise UsageError(
                f"{which}: the run in {path} cannot be resumed as it would have gone on; to begin their next episodes "
                "instead, which gives another run, pass --restart-episodes"
            )
        warn(f"{which}: their next episodes begin instead, and the run is not the one that it would have been")
    if missing:
        warn(f"metrics.jsonl lacks {len(missing)} iterations, the first of them {missing[0]}: the run itself is whole")
    keep_lines(directory.metrics_path, snapshot.iterations)
