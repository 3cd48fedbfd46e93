"""Write a failing example as Python code that reproduces the failure."""

from __future__ import annotations

import importlib
from typing import Any

from ppocore.testing.backends.problems import Problem


def reproduction(name_or_factory: Any, check: str, problem: Problem, precision: str, device: str) -> str:
    """Write code that checks one property on one problem, and so raises the same error.

    The code of a factory that cannot be imported by its name expects it in a variable ``factory``.
    """
    return (
        "import numpy as np\n\n"
        "from ppocore.backend import Minibatch, Objective\n"
        "from ppocore.networks import NetworkSpec\n"
        "from ppocore.testing import Problem, random_problem\n"
        "from ppocore.testing.backends import properties\n"
        f"{_import(name_or_factory)}\n"
        f"{problem.code()}"
        f"properties.{check}(factory, problem, precision={precision!r}, device={device!r})\n"
    )


def _import(name_or_factory: Any) -> str:
    """Write code that imports the factory as ``factory``."""
    if isinstance(name_or_factory, str):
        return f"from ppocore.registry import backend_factory\n\nfactory = backend_factory({name_or_factory!r})\n"
    module, name = getattr(name_or_factory, "__module__", ""), getattr(name_or_factory, "__qualname__", "")
    if name.isidentifier():
        try:
            if getattr(importlib.import_module(module), name, None) is name_or_factory:
                return f"from {module} import {name} as factory\n"
        except ImportError:
            pass
    return "# factory: the argument of check_backend\n"
