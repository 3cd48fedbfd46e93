"""Proximal policy optimization in NumPy; the network, the loss and the optimizer plug in.

Importing this package imports NumPy and nothing else. What needs more is imported when its name is first used,
and a framework when a backend that needs it is asked for.
"""

import sys
from importlib import import_module
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Not lazily: ppocore.normalize and ppocore.vtrace would become the modules of these names once one is imported.
from ppocore.advantages import (
    discounted_returns,
    gae,
    lambda_returns,
    n_step_returns,
    successor_values,
    td_residuals,
    token_gae,
    vtrace,
)
from ppocore.normalize import (
    ObservationNormalizer,
    RewardScaler,
    RunningMeanStd,
    explained_variance,
    masked_whiten,
    normalize,
)

if TYPE_CHECKING:
    from ppocore.api import resume, train
    from ppocore.config import PPOConfig
    from ppocore.evaluation import evaluate
    from ppocore.files.version import __version__
    from ppocore.policy import Policy
    from ppocore.presets import preset
    from ppocore.registry import available_backends, register_backend
    from ppocore.training import Callback, RolloutBuffer, Run, Runtime, TrainResult

__all__ = [
    "Callback",
    "ObservationNormalizer",
    "PPOConfig",
    "Policy",
    "RewardScaler",
    "RolloutBuffer",
    "Run",
    "RunningMeanStd",
    "Runtime",
    "TrainResult",
    "__version__",
    "available_backends",
    "discounted_returns",
    "evaluate",
    "explained_variance",
    "gae",
    "lambda_returns",
    "masked_whiten",
    "n_step_returns",
    "normalize",
    "preset",
    "register_backend",
    "resume",
    "successor_values",
    "td_residuals",
    "token_gae",
    "train",
    "vtrace",
]

_HOME = {
    "__version__": "files.version",
    "Callback": "training.callbacks",
    "Run": "training.callbacks",
    "Runtime": "training.runtime",
    "evaluate": "evaluation",
    "preset": "presets",
    "PPOConfig": "config",
    "Policy": "policy",
    "RolloutBuffer": "training.buffer",
    "TrainResult": "training.result",
    "available_backends": "registry",
    "register_backend": "registry",
    "resume": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    ours = [name for name in globals() if name.startswith("__") or f"{__name__}.{name}" in sys.modules]
    return sorted({*ours, *__all__})


class _Beside:
    """Find ``backends/`` and ``envs/`` beside this folder, as in a checkout; installed, they lie inside it."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        """Return the package's spec, for these two names alone."""
        parent, _, child = name.rpartition(".")
        if parent != __name__ or child not in ("backends", "envs"):
            return None
        file = Path(__file__).resolve().parent.parent / child / "__init__.py"
        return spec_from_file_location(name, file) if file.is_file() else None


sys.meta_path.append(_Beside)  # the last to be asked
