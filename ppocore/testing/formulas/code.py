"""Write the calls of a candidate as Python code that runs when it is pasted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.interface import Call
from ppocore.testing.formulas.subject import Case
from ppocore.testing.gae.code import name_of


def code_of(candidate: Candidate, case: Case) -> str:
    """Return code that calls the candidate with a case, as it takes it and in its framework."""
    name, imported = name_of(candidate.function)
    lines = [*candidate.framework.imports(), *imported, ""]
    subject = candidate.subject
    calls = candidate.interface.calls(subject.arguments(case), subject.shape(case))
    for number, call in enumerate(calls):
        if len(calls) > 1:
            lines.append(f"# {candidate.interface.layout.removesuffix('s')} {number}")
        lines += _call(candidate, call, name)
    return "\n".join(lines)


def _call(candidate: Candidate, call: Call, name: str) -> list[str]:
    lines = [f"{argument.role} = {_value(candidate, value)}" for argument, value in call.arguments]
    passed = [f"{a.keyword}={a.role}" if a.keyword else a.role for a, _ in call.arguments]
    return [*lines, f"print({name}({', '.join(passed)}))"]


def _value(candidate: Candidate, value: Any) -> str:
    if not isinstance(value, np.ndarray | np.generic):
        return f"float('{value}')" if isinstance(value, float) and math.isinf(value) else repr(value)
    array = np.asarray(value)
    if array.dtype.kind == "b" and candidate.flags != "bool":
        array = array.astype(np.float64 if candidate.flags == "float" else np.int64)
    return candidate.framework.code(candidate.framework.rounded(array))
