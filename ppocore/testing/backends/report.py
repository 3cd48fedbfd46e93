"""What `ppocore.testing.check_backend` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Failure:
    """The smallest failing example.

    Attributes:
        message: what was raised.
        code: Python that raises it again.
        quantity, expected, actual: what was compared and both sides of it, empty where nothing was.
    """

    message: str
    code: str
    quantity: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True)
class PropertyResult:
    """One property in one precision.

    Attributes:
        name: of the property, a function in `ppocore.testing.backends.properties`.
        precision: ``exact`` or ``float32``.
        examples: problems on which it held.
        errors: the largest error of each quantity.
        unit: of the errors.
        bound: on the errors; 0 where they are counts of what must not be.
        failure: None if it held everywhere.
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
        """Whether it held on every example, of which there must be one."""
        return self.failure is None and self.examples > 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
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
    """Every property of one backend; as text, a table and the code of each failure."""

    backend: str
    device: str
    max_examples: int
    seed: int
    results: tuple[PropertyResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> list[PropertyResult]:
        """The properties that did not hold, the most elementary first."""
        return [result for result in self.results if not result.passed]

    def raise_if_failed(self) -> None:
        """Do nothing if every property held.

        Raises:
            AssertionError: with the whole report.
        """
        if not self.passed:
            raise AssertionError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
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
            lines += ["", *_explained(result)]
        failed = len(self.failures)
        outcome = f"{failed} of {len(self.results)} properties failed" if failed else "every property held"
        return "\n".join([*lines, "", f"{self.backend} on {self.device}: {outcome}"])


def _explained(result: PropertyResult) -> list[str]:
    if result.failure is None:
        return [f"{result.name} ({result.precision}): no example was found that says anything about it"]
    return [
        f"{result.name} ({result.precision}) failed; the smallest example found:",
        f"  {result.failure.message}",
        "reproduce it with:",
        "",
        result.failure.code.rstrip(),
    ]
