"""A failing example as Python that can be pasted and run."""

from __future__ import annotations

import importlib
from typing import Any

from ppocore.testing.backends.problems import Problem


def reproduction(name_or_factory: Any, check: str, problem: Problem, precision: str, device: str) -> str:
    """Code that calls one property with one problem, and so raises what was raised.

    A factory that cannot be imported by its own name is expected to be called ``factory`` where the code runs.
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
    """Lines after which ``factory`` is the factory."""
    if isinstance(name_or_factory, str):
        return f"from ppocore.registry import backend_factory\n\nfactory = backend_factory({name_or_factory!r})\n"
    module, name = getattr(name_or_factory, "__module__", ""), getattr(name_or_factory, "__qualname__", "")
    if name.isidentifier():
        try:
            if getattr(importlib.import_module(module), name, None) is name_or_factory:
                return f"from {module} import {name} as factory\n"
        except ImportError:
            pass
    return "# factory: what was given to check_backend\n"
