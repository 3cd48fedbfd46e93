"""Make, save, resume and compare runs: the run directory, its configuration, its checkpoints and its policy."""

from ppocore.runs.checkpoint_file import encode_checkpoint, read_checkpoint
from ppocore.runs.compare import Comparison, compare
from ppocore.runs.configuration import RunConfiguration, Saving, runtime_as_json
from ppocore.runs.directory import (
    RunDirectory,
    UnusedDirectory,
    located,
    os_errors_as_usage_errors,
    read_configuration,
)
from ppocore.runs.environment import RunEnvironment, environment_of
from ppocore.runs.failed_updates import encode_bundle, read_bundle, replay, replay_lines
from ppocore.runs.resuming import check_same_environments, check_same_settings, record_changes, restore_run
from ppocore.runs.saver import Evaluation, Saver
from ppocore.runs.trust import trusted_wrappers, without_class_paths, without_import

__all__ = [
    "Comparison",
    "Evaluation",
    "RunConfiguration",
    "RunDirectory",
    "RunEnvironment",
    "Saver",
    "Saving",
    "UnusedDirectory",
    "check_same_environments",
    "check_same_settings",
    "compare",
    "encode_bundle",
    "encode_checkpoint",
    "environment_of",
    "located",
    "os_errors_as_usage_errors",
    "read_bundle",
    "read_checkpoint",
    "read_configuration",
    "record_changes",
    "replay",
    "replay_lines",
    "restore_run",
    "runtime_as_json",
    "trusted_wrappers",
    "without_class_paths",
    "without_import",
]
