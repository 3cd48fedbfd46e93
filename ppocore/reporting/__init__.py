"""Report the progress of a run; a reporter that fails never ends the run."""

from ppocore.reporting.base import Reporter, ReporterCallback, RunStart, reporter_callbacks
from ppocore.reporting.registry import available_reporters, make_reporters

__all__ = [
    "Reporter",
    "ReporterCallback",
    "RunStart",
    "available_reporters",
    "make_reporters",
    "reporter_callbacks",
]
