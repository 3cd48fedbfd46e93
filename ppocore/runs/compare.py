"""Whether runs are equal, and if not, at which iteration and in which tensor they part: ``ppocore compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ppocore.errors import UsageError
from ppocore.runs.configuration import RunConfiguration
from ppocore.runs.directory import METRICS_FILE, read_configuration

_COUNTERS = ("steps", "updates")


@dataclass(frozen=True)
class RecordedRun:
    """What a run directory says of a run: its configuration, and its metrics by iteration."""

    path: Path
    configuration: RunConfiguration
    iterations: dict[int, dict[str, Any]]

    @classmethod
    def read(cls, path: str | PathLike[str]) -> RecordedRun:
        """Read a run directory.

        Raises:
            UsageError: it is none, or a line of its metrics cannot be read; names the file and the line.
        """
        configuration = read_configuration(path)
        file = Path(path) / METRICS_FILE
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise UsageError(f"{path} is not a run directory: {file} cannot be read") from error
        rows = [_read_line(line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]
        if not rows:
            raise UsageError(f"{file} is empty: the run has no whole iteration to compare")
        return cls(Path(path), configuration, {row["iteration"]: row for row in rows})

    @property
    def fingerprint(self) -> str:
        """That of the last iteration."""
        fingerprint: str = self.iterations[max(self.iterations)]["fingerprint"]
        return fingerprint

    @property
    def backend(self) -> str:
        """The backend's name."""
        return str(self.configuration.runtime.get("backend", "-"))

    def summary(self) -> dict[str, Any]:
        """The run in a few words, as ``ppocore compare --json`` prints it."""
        configuration = self.configuration
        known = {"env": configuration.env, "backend": self.backend, "seed": configuration.seed}
        return {"run": str(self.path), **known, "iterations": len(self.iterations), "fingerprint": self.fingerprint}


def _read_line(line: bytes, where: str) -> dict[str, Any]:
    """One line of ``metrics.jsonl``, or a sentence."""
    try:
        loaded = json.loads(line)
    except ValueError as error:  # bytes that are no text are one, too
        raise UsageError(f"{where} is not valid JSON: was it cut off or edited?") from error
    row: dict[str, Any] = loaded if isinstance(loaded, dict) else {}
    kinds = {"iteration": int, **dict.fromkeys(_COUNTERS, int), "fingerprint": str, "tensors": dict}
    for name, kind in kinds.items():
        if not isinstance(row.get(name), kind):
            raise UsageError(f"{where} is not an iteration's metrics: {name!r} is missing or of the wrong type")
    return row


@dataclass(frozen=True)
class Parting:
    """The first iteration after which two runs are not in the same state.

    Attributes:
        iteration: counted from 1.
        counters: those of ``steps`` and ``updates`` that differ.
        tensors: the names of the tensors that differ, in canonical order: weights as the network has them from
            its first layer on, then Adam's moments.
        compared: how many tensors there are.
        equal_from: the iteration from which on the two are equal again up to the last, or None.  A difference in the
            last bit of a moment that decays without having moved a weight leaves nothing behind.
    """

    iteration: int
    counters: tuple[str, ...]
    tensors: tuple[str, ...]
    compared: int
    equal_from: int | None

    @property
    def what(self) -> str:
        """What differs, in a few words."""
        found = list(self.counters)
        if self.tensors:
            found.append(f"tensor {self.tensors[0]} (first of {len(self.tensors)} that differ, of {self.compared})")
        return ", ".join(found) or "nothing but the fingerprint"

    @property
    def outcome(self) -> str:
        """What became of the difference, in a few words."""
        return "not equal in the end" if self.equal_from is None else f"equal again from iteration {self.equal_from} on"


@dataclass(frozen=True)
class Comparison:
    """Runs, each held against the first.

    Attributes:
        runs: all of them.
        differences: for each but the first, the settings that are not the first run's: name to (the first's, its).
        partings: for each but the first, where it parts from the first in the iterations that both have, or None.
    """

    runs: list[RecordedRun]
    differences: list[dict[str, tuple[Any, Any]]]
    partings: list[Parting | None]

    @property
    def equal(self) -> bool:
        """Whether no run parts from the first, not even for a while."""
        return not any(self.partings)

    def summary(self) -> dict[str, Any]:
        """The comparison in one JSON object, as ``ppocore compare --json`` prints it."""
        compared = []
        for run, differences, parting in zip(self.runs[1:], self.differences, self.partings, strict=True):
            found = None
            if parting is not None:
                found = {
                    "iteration": parting.iteration,
                    "tensor": parting.tensors[0] if parting.tensors else None,
                    "tensors": list(parting.tensors),
                    "counters": list(parting.counters),
                    "equal_from": parting.equal_from,
                }
            compared.append(
                {
                    "run": str(run.path),
                    "common_iterations": len(_common(self.runs[0], run)),
                    "differences": {name: list(pair) for name, pair in differences.items()},
                    "parting": found,
                }
            )
        return {"equal": self.equal, "runs": [run.summary() for run in self.runs], "comparisons": compared}

    def lines(self) -> list[str]:
        """The comparison as a person reads it."""
        first = self.runs[0]
        width = max(len(str(run.path)) for run in self.runs)
        lines = [f"{run.path!s:<{width}}  {run.backend:<8} {run.fingerprint}" for run in self.runs]
        for run, differences, parting in zip(self.runs[1:], self.differences, self.partings, strict=True):
            if differences:
                listed = ", ".join(f"{name} ({mine} and {its})" for name, (mine, its) in differences.items())
                lines.append(f"{first.path} and {run.path} differ in {listed}: that alone may part them")
            common = len(_common(first, run))
            if not len(first.iterations) == len(run.iterations) == common:
                lengths = f"{len(first.iterations)} and {len(run.iterations)} iterations"
                lines.append(f"{first.path} and {run.path} have {lengths}: the {common} that both have are compared")
            if parting is None:
                lines.append(f"{run.path} equals {first.path} after each of {common} iterations")
            else:
                where = f"{run.path} parts from {first.path} at iteration {parting.iteration} of {common}"
                lines.append(f"{where}: {parting.what}; {parting.outcome}")
        return lines


def compare(paths: Sequence[str | PathLike[str]]) -> Comparison:
    """Hold every run against the first.

    Args:
        paths: two run directories or more.

    Raises:
        UsageError: fewer than two, one that is no run directory or cannot be read, or two without a common iteration.
    """
    if len(paths) < 2:
        raise UsageError("a comparison takes two runs or more: give another run directory")
    first, *others = runs = [RecordedRun.read(path) for path in paths]
    for run in others:
        if not _common(first, run):
            raise UsageError(f"{first.path} and {run.path} have no iteration in common")
    return Comparison(
        runs,
        [_differences(first.configuration, run.configuration) for run in others],
        [_parting(first, run) for run in others],
    )


def _common(first: RecordedRun, other: RecordedRun) -> list[int]:
    return sorted(set(first.iterations) & set(other.iterations))


def _differences(first: RunConfiguration, other: RunConfiguration) -> dict[str, tuple[Any, Any]]:
    """Return what decides the result and is configured differently, by name."""
    flat = [_deciding(configuration) for configuration in (first, other)]
    names = dict.fromkeys(name for run in flat for name in run)
    pairs = {name: (flat[0].get(name), flat[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _deciding(configuration: RunConfiguration) -> dict[str, Any]:
    """Return what decides the result: of the runtime only whether environments draw their own random numbers."""
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


def _parting(first: RecordedRun, other: RecordedRun) -> Parting | None:
    common = _common(first, other)
    differing = [i for i in common if first.iterations[i]["fingerprint"] != other.iterations[i]["fingerprint"]]
    if not differing:
        return None
    mine, its = first.iterations[differing[0]], other.iterations[differing[0]]
    names = list(dict.fromkeys([*mine["tensors"], *its["tensors"]]))
    return Parting(
        iteration=differing[0],
        counters=tuple(name for name in _COUNTERS if mine[name] != its[name]),
        tensors=tuple(name for name in names if mine["tensors"].get(name) != its["tensors"].get(name)),
        compared=len(names),
        equal_from=next((i for i in common if i > differing[-1]), None),
    )
