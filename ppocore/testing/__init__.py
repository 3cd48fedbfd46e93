"""Check advantage functions, normalization and backends, from this package or another.

The checks and the strategies need hypothesis (``pip install 'ppocore[check]'``), which is imported when one of them is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppocore.testing.backends.check import check_backend
    from ppocore.testing.backends.problems import Problem
    from ppocore.testing.backends.random_problems import random_problem
    from ppocore.testing.backends.report import BackendReport, PropertyResult
    from ppocore.testing.backends.strategies import edge_problems, network_specs, objectives, runs_of_steps
    from ppocore.testing.formulas.report import FormulaReport
    from ppocore.testing.gae.adapters import (
        adapt,
        agents,
        batch_major,
        episode_lists,
        flags_as,
        from_dones,
        shifted_rewards,
        single_columns,
        token_level,
        trailing_axis,
        truncation_in_rewards,
    )
    from ppocore.testing.gae.check import check_gae, check_returns, gae_suite
    from ppocore.testing.gae.defects import DEFECTS
    from ppocore.testing.gae.oracle import explicit_sum
    from ppocore.testing.gae.report import GAEReport
    from ppocore.testing.gae.trajectories import Trajectory, trajectories
    from ppocore.testing.language.check import check_kl_rewards, check_masked_whitening, check_token_gae
    from ppocore.testing.normalization import (
        check_frozen_statistics,
        check_reward_scaling,
        check_running_std,
        check_whitening,
    )
    from ppocore.testing.report import UndeclaredChoice
    from ppocore.testing.strategies import action_masks, configurations, minibatches, policies
    from ppocore.testing.vtrace.check import check_vtrace

__all__ = [
    "DEFECTS",
    "BackendReport",
    "FormulaReport",
    "GAEReport",
    "Problem",
    "PropertyResult",
    "Trajectory",
    "UndeclaredChoice",
    "action_masks",
    "adapt",
    "agents",
    "batch_major",
    "check_backend",
    "check_frozen_statistics",
    "check_gae",
    "check_kl_rewards",
    "check_masked_whitening",
    "check_returns",
    "check_reward_scaling",
    "check_running_std",
    "check_token_gae",
    "check_vtrace",
    "check_whitening",
    "configurations",
    "edge_problems",
    "episode_lists",
    "explicit_sum",
    "flags_as",
    "from_dones",
    "gae_suite",
    "minibatches",
    "network_specs",
    "objectives",
    "policies",
    "random_problem",
    "runs_of_steps",
    "shifted_rewards",
    "single_columns",
    "token_level",
    "trailing_axis",
    "trajectories",
    "truncation_in_rewards",
]

_MODULES = {
    "DEFECTS": "gae.defects",
    "GAEReport": "gae.report",
    "Trajectory": "gae.trajectories",
    "check_frozen_statistics": "normalization",
    "FormulaReport": "formulas.report",
    "check_gae": "gae.check",
    "check_returns": "gae.check",
    "check_vtrace": "vtrace.check",
    **dict.fromkeys(("check_kl_rewards", "check_masked_whitening", "check_token_gae"), "language.check"),
    "check_reward_scaling": "normalization",
    "check_running_std": "normalization",
    "check_whitening": "normalization",
    "explicit_sum": "gae.oracle",
    "gae_suite": "gae.check",
    "trajectories": "gae.trajectories",
    **dict.fromkeys(
        (
            "adapt",
            "agents",
            "batch_major",
            "episode_lists",
            "flags_as",
            "from_dones",
            "shifted_rewards",
            "single_columns",
            "token_level",
            "trailing_axis",
            "truncation_in_rewards",
        ),
        "gae.adapters",
    ),
    "UndeclaredChoice": "report",
    "BackendReport": "backends.report",
    **dict.fromkeys(("action_masks", "configurations", "minibatches", "policies"), "strategies"),
    "Problem": "backends.problems",
    "PropertyResult": "backends.report",
    "check_backend": "backends.check",
    "edge_problems": "backends.strategies",
    "network_specs": "backends.strategies",
    "objectives": "backends.strategies",
    "random_problem": "backends.random_problems",
    "runs_of_steps": "backends.strategies",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
