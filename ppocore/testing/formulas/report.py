"""Report what the check of a formula found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ppocore.testing.formulas.subject import Case
from ppocore.testing.report import Report


@dataclass(frozen=True)
class FormulaFailure:
    """Hold the smallest case on which a property does not hold.

    Attributes:
        message: what is wrong, as a clause.
        case: the arguments by name.
        code: Python code that calls the function with them, as it takes them and in its framework.
        expected, actual: the result that was compared, as text; empty if none was.
    """

    message: str
    case: Case
    code: str
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True)
class FormulaReport(Report):
    """Hold the results of one candidate; ``str(report)`` is a table, the smallest counterexample and the diagnosis.

    Attributes:
        check: name of the check.
    """

    check: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of JSON types."""
        return {"check": self.check, **super().to_dict()}
