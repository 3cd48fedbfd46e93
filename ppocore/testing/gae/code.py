"""Write the calls of a candidate as Python code that runs when it is pasted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.signature import Call
from ppocore.testing.gae.trajectories import Trajectory


def code_of(candidate: Candidate, trajectory: Trajectory, function: Callable[..., Any]) -> str:
    """Return code that calls a function with a trajectory, in its own signature and framework.

    Args:
        candidate: how it is called.
        trajectory: the arguments.
        function: whose name the code calls.
    """
    name, imported = name_of(function)
    lines = [*candidate.framework.imports(), *imported, ""]
    calls = candidate.signature.packing(trajectory)
    if (candidate.signature.layout == "column" and len(calls) > 1) or candidate.signature.layout == "episode":
        for number, call in enumerate(calls):
            lines += [f"# {candidate.signature.layout} {number}", *_call(candidate, call, name)]
    else:
        lines += _call(candidate, calls[0], name)
    return "\n".join(lines)


def _call(candidate: Candidate, call: Call, name: str) -> list[str]:
    lines = []
    for argument in call.arguments:
        value = argument.value
        if not isinstance(value, np.ndarray | np.generic):
            continue
        array = np.asarray(value)
        if array.dtype.kind == "b" and candidate.flags != "bool":
            array = array.astype(np.float64 if candidate.flags == "float" else np.int64)
        lines.append(f"{argument.role} = {candidate.framework.code(candidate.framework.rounded(array))}")
    for argument in call.arguments:
        if not isinstance(argument.value, np.ndarray | np.generic):
            lines.append(f"{argument.role} = {argument.value!r}")
    passed = [
        f"{argument.keyword}={argument.role}" if argument.keyword else argument.role for argument in call.arguments
    ]
    return [*lines, f"print({name}({', '.join(passed)}))"]


def name_of(function: Callable[..., Any]) -> tuple[str, list[str]]:
    """Return what a function is called in code, and the line that imports it, if there is one."""
    qualified = str(getattr(function, "__qualname__", ""))
    module = str(getattr(function, "__module__", ""))
    last = str(getattr(function, "__name__", "candidate"))
    if "<" in qualified or not all(part.isidentifier() for part in qualified.split(".")):
        return (last, []) if last.isidentifier() else ("candidate", [])
    first = qualified.partition(".")[0]
    found: Any = sys.modules.get(module)
    if module == "__main__" or getattr(found, first, None) is None:
        return last, []
    for part in qualified.split("."):
        found = getattr(found, part, None)
    return (qualified, [f"from {module} import {first}"]) if found is function else (last, [])
