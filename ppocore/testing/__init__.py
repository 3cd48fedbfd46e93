"""Checks for code that is not part of this package: whether somebody's backend computes what PPO says.

`check_backend` and the strategies need hypothesis (``pip install 'ppocore[test]'``); it is imported when the first
of them is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend_strategies import edge_problems, network_specs, objectives, runs_of_steps
    from .check import check_backend
    from .problems import Problem, random_problem
    from .report import BackendReport, PropertyResult

__all__ = [
    "BackendReport",
    "Problem",
    "PropertyResult",
    "check_backend",
    "edge_problems",
    "network_specs",
    "objectives",
    "random_problem",
    "runs_of_steps",
]

_HOME = {
    "BackendReport": "report",
    "Problem": "problems",
    "PropertyResult": "report",
    "check_backend": "check",
    "edge_problems": "backend_strategies",
    "network_specs": "backend_strategies",
    "objectives": "backend_strategies",
    "random_problem": "problems",
    "runs_of_steps": "backend_strategies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
