"""Report the results of `ppocore.testing.check_backend`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Failure:
    """Hold the smallest failing example.

    Attributes:
        message: the error that was raised.
        code: Python code that raises it again.
        quantity, expected, actual: what was compared and both sides of it; empty if no numbers were compared.
    """

    message: str
    code: str
    quantity: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True)
class PropertyResult:
    """Hold the result of one property in one precision.

    Attributes:
        name: name of the property, a function in `ppocore.testing.backends.properties`.
        precision: ``exact`` or ``float32``.
        examples: number of problems on which it held.
        errors: largest error of each quantity.
        unit: unit of the errors.
        bound: upper bound of the errors; 0 where they count numbers that must not differ.
        failure: the smallest failing example; None if it held on every problem.
    """

    name: str
    precision: str
    examples: int
    errors: dict[str, float]
    unit: str
    bound: float
    failure: Failure | None

    @property
    def passed(self) -> bool:
        """Tell whether it held on every problem, of which there must be at least one."""
        return self.failure is None and self.examples > 0

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {
            "name": self.name,
            "precision": self.precision,
            "passed": self.passed,
            "examples": self.examples,
            "errors": dict(self.errors),
            "unit": self.unit,
            "bound": self.bound,
            "failure": None if self.failure is None else dict(vars(self.failure)),
        }


@dataclass(frozen=True)
class BackendReport:
    """Hold the results of one backend; ``str(report)`` is a table and code that reproduces each failure."""

    backend: str
    device: str
    max_examples: int
    seed: int
    results: tuple[PropertyResult, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every property held."""
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> list[PropertyResult]:
        """Return the properties that did not hold, the most elementary first."""
        return [result for result in self.results if not result.passed]

    def raise_if_failed(self) -> None:
        """Raise the report as an error if a property failed.

        Raises:
            AssertionError: A property failed; the message is the whole report.
        """
        if not self.passed:
            raise AssertionError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {
            "backend": self.backend,
            "device": self.device,
            "passed": self.passed,
            "max_examples": self.max_examples,
            "seed": self.seed,
            "properties": [result.to_dict() for result in self.results],
        }

    def __str__(self) -> str:
        lines = [f"{'property':<24}{'precision':<11}{'':<8}{'examples':>8}  largest error"]
        for result in self.results:
            errors = ", ".join(f"{name} {error:.3g}" for name, error in result.errors.items())
            unit = f" {result.unit}" if errors and result.unit else ""
            verdict = "passed" if result.passed else "FAILED"
            row = f"{result.name:<24}{result.precision:<11}{verdict:<8}{result.examples:>8}  {errors}{unit}"
            lines.append(row.rstrip())
        for result in self.failures:
            lines += ["", *_explain(result)]
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "every property held"
        return "\n".join([*lines, "", f"{self.backend} on {self.device}: {outcome}"])


def _explain(result: PropertyResult) -> list[str]:
    if result.failure is None:
        return [f"{result.name} ({result.precision}): it could not be checked on any example"]
    return [
        f"{result.name} ({result.precision}) failed; the smallest example found:",
        f"  {result.failure.message}",
        "reproduce it with:",
        "",
        result.failure.code.rstrip(),
    ]
