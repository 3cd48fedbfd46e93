"""Compare runs, and find the first iteration and the first tensor that differ: ``ppocore compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ppocore.errors import UsageError
from ppocore.files import open_regular, parse_json, read_lines_of
from ppocore.files.schema import TOP, integer, record, text
from ppocore.runs.configuration import RunConfiguration
from ppocore.runs.directory import METRICS_FILE, read_configuration

_COUNTERS = ("steps", "updates")


@dataclass(frozen=True)
class RecordedRun:
    """Hold the configuration of a run and its metrics by iteration, as read from its directory."""

    path: Path
    configuration: RunConfiguration
    iterations: dict[int, dict[str, Any]]

    @classmethod
    def read(cls, path: str | PathLike[str]) -> RecordedRun:
        """Read a run directory.

        Raises:
            UsageError: not a run directory, or an unreadable line of metrics; the message names the file and the line.
        """
        configuration = read_configuration(path)
        file = Path(path) / METRICS_FILE
        try:
            with open_regular(file) as opened:
                lines = enumerate(read_lines_of(file, opened), 1)
                rows = [_read_line(line, f"{file}, line {number}") for number, line in lines]
        except OSError as error:
            raise UsageError(f"{path} is not a run directory: {file} cannot be read") from error
        if not rows:
            raise UsageError(f"{file} is empty: the run has no complete iteration to compare")
        return cls(Path(path), configuration, {row["iteration"]: row for row in rows})

    @property
    def fingerprint(self) -> str:
        """The fingerprint after the last iteration."""
        fingerprint: str = self.iterations[max(self.iterations)]["fingerprint"]
        return fingerprint

    @property
    def backend(self) -> str:
        """The backend's name."""
        return str(self.configuration.runtime.get("backend", "-"))

    def summary(self) -> dict[str, Any]:
        """Summarize the run in one JSON object, as ``ppocore compare --json`` prints it."""
        configuration = self.configuration
        known = {"env": configuration.env, "backend": self.backend, "seed": configuration.seed}
        return {"run": str(self.path), **known, "iterations": len(self.iterations), "fingerprint": self.fingerprint}


def _read_line(line: bytes, where: str) -> dict[str, Any]:
    """Parse one line of ``metrics.jsonl``."""
    try:
        row: dict[str, Any] = parse_json(line)
    except ValueError as error:  # or a UnicodeDecodeError, which is a ValueError
        raise UsageError(f"{where} is not valid JSON: was it cut off or edited?") from error
    try:
        _ROW(row, TOP)
    except ValueError as error:
        raise UsageError(f"{where} is not an iteration's metrics: {error}") from error
    return row


def _digests(value: Any, name: str) -> Any:
    record(dict.fromkeys(value, text) if isinstance(value, dict) else {})(value, name)


_ROW = record(
    {"iteration": integer(1), **dict.fromkeys(_COUNTERS, integer()), "fingerprint": text, "tensors": _digests},
    others=True,
)


@dataclass(frozen=True)
class Difference:
    """Describe the first iteration after which the states of two runs differ.

    Attributes:
        iteration: counted from 1.
        counters: the counters that differ, of ``steps`` and ``updates``.
        tensors: the names of the tensors that differ, in canonical order: weights from the first layer on, then
            Adam's moments.
        compared: the number of tensors compared.
        equal_from: the iteration from which the runs are equal again until the last, or None. This happens if, for
            example, the last bit of a moment differs but the difference decays before it moves a weight.
    """

    iteration: int
    counters: tuple[str, ...]
    tensors: tuple[str, ...]
    compared: int
    equal_from: int | None

    @property
    def what(self) -> str:
        """A short description of what differs."""
        found = list(self.counters)
        if self.tensors:
            found.append(f"tensor {self.tensors[0]} (first of {len(self.tensors)} that differ, of {self.compared})")
        return ", ".join(found) or "only the fingerprint"

    @property
    def outcome(self) -> str:
        """A short description of how the difference develops."""
        return "not equal in the end" if self.equal_from is None else f"equal again from iteration {self.equal_from} on"


@dataclass(frozen=True)
class Comparison:
    """Compare each run with the first.

    Attributes:
        runs: all runs.
        settings: for each run but the first, the settings that differ: name to (value in the first run, in this run).
        first_differences: for each run but the first, its first difference from the first run in the iterations that
            both have, or None.
    """

    runs: list[RecordedRun]
    settings: list[dict[str, tuple[Any, Any]]]
    first_differences: list[Difference | None]

    @property
    def equal(self) -> bool:
        """Whether every run equals the first after every iteration."""
        return not any(self.first_differences)

    def summary(self) -> dict[str, Any]:
        """Summarize the comparison in one JSON object, as ``ppocore compare --json`` prints it."""
        compared = []
        for run, settings, difference in zip(self.runs[1:], self.settings, self.first_differences, strict=True):
            found = None
            if difference is not None:
                found = {
                    "iteration": difference.iteration,
                    "tensor": difference.tensors[0] if difference.tensors else None,
                    "tensors": list(difference.tensors),
                    "counters": list(difference.counters),
                    "equal_from": difference.equal_from,
                }
            compared.append(
                {
                    "run": str(run.path),
                    "common_iterations": len(_common(self.runs[0], run)),
                    "differences": {name: list(pair) for name, pair in settings.items()},
                    "difference": found,
                }
            )
        return {"equal": self.equal, "runs": [run.summary() for run in self.runs], "comparisons": compared}

    def lines(self) -> list[str]:
        """Return the comparison as lines of text."""
        first = self.runs[0]
        width = max(len(str(run.path)) for run in self.runs)
        lines = [f"{run.path!s:<{width}}  {run.backend:<8} {run.fingerprint}" for run in self.runs]
        for run, settings, difference in zip(self.runs[1:], self.settings, self.first_differences, strict=True):
            if settings:
                listed = ", ".join(f"{name} ({mine} and {its})" for name, (mine, its) in settings.items())
                lines.append(f"{first.path} and {run.path} differ in {listed}: different results are expected")
            common = len(_common(first, run))
            if not len(first.iterations) == len(run.iterations) == common:
                lengths = f"{len(first.iterations)} and {len(run.iterations)} iterations"
                lines.append(f"{first.path} and {run.path} have {lengths}: the {common} that both have are compared")
            if difference is None:
                lines.append(f"{run.path} equals {first.path} after each of {common} iterations")
            else:
                where = f"{run.path} first differs from {first.path} at iteration {difference.iteration} of {common}"
                lines.append(f"{where}: {difference.what}; {difference.outcome}")
        return lines


def compare(paths: Sequence[str | PathLike[str]]) -> Comparison:
    """Compare every run with the first.

    Args:
        paths: two or more run directories.

    Raises:
        UsageError: fewer than two paths, a path that is not a readable run directory, or runs without a common
            iteration.
    """
    if len(paths) < 2:
        raise UsageError("a comparison takes two runs or more: give another run directory")
    first, *others = runs = [RecordedRun.read(path) for path in paths]
    for run in others:
        if not _common(first, run):
            raise UsageError(f"{first.path} and {run.path} have no iteration in common: compare other runs")
    return Comparison(
        runs,
        [_different_settings(first.configuration, run.configuration) for run in others],
        [_first_difference(first, run) for run in others],
    )


def _common(first: RecordedRun, other: RecordedRun) -> list[int]:
    return sorted(set(first.iterations) & set(other.iterations))


def _different_settings(first: RunConfiguration, other: RunConfiguration) -> dict[str, tuple[Any, Any]]:
    """Return the settings that affect the result and differ, by name."""
    flat = [_result_settings(configuration) for configuration in (first, other)]
    names = dict.fromkeys(name for run in flat for name in run)
    pairs = {name: (flat[0].get(name), flat[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _result_settings(configuration: RunConfiguration) -> dict[str, Any]:
    """Return the settings that affect the result; of the runtime, only ``vectorization="vector"`` does."""
    own_seeds = configuration.runtime.get("vectorization") == "vector"
    return {
        "env": configuration.env,
        "env_given_as": configuration.env_given_as,
        "env_kwargs": configuration.env_kwargs,
        "seed": configuration.seed,
        "own_network": configuration.own_network,
        **configuration.config.to_dict(),
        **({"vectorization": "vector"} if own_seeds else {}),
    }


def _first_difference(first: RecordedRun, other: RecordedRun) -> Difference | None:
    common = _common(first, other)
    differing = [i for i in common if first.iterations[i]["fingerprint"] != other.iterations[i]["fingerprint"]]
    if not differing:
        return None
    mine, its = first.iterations[differing[0]], other.iterations[differing[0]]
    names = list(dict.fromkeys([*mine["tensors"], *its["tensors"]]))
    return Difference(
        iteration=differing[0],
        counters=tuple(name for name in _COUNTERS if mine[name] != its[name]),
        tensors=tuple(name for name in names if mine["tensors"].get(name) != its["tensors"].get(name)),
        compared=len(names),
        equal_from=next((i for i in common if i > differing[-1]), None),
    )
