"""Define the errors that a user can cause, as distinct from programming errors.

::

    UsageError(ValueError)                      a setting, a name or a combination that cannot be used: raised before
    |                                           anything is created; the command line exits with status 2
    +-- MissingBackendError(UsageError, ImportError)  a backend whose framework is missing or too old
    RunError(RuntimeError)                      a run that failed: raised after its last complete iteration is saved;
    |                                           the command line exits with status 1
    +-- OutputError(RunError)                   the result of a run cannot be written
    +-- EnvironmentFault(RunError, ValueError)  an environment raised, hung, died or broke its contract
    +-- NonFiniteError(RunError, ValueError)    the loss or a gradient was not finite; `Backend.update` raises it
    RunWarning(RuntimeWarning)                  a warning: the run continues but needs attention

Functions that take arrays raise plain `ValueError` and `TypeError`.
"""

from __future__ import annotations

import warnings
from typing import Any


class UsageError(ValueError):
    """Report a setting, a name or a combination that cannot be used; the message says what to change."""


class MissingBackendError(UsageError, ImportError):
    """Report a backend whose framework is missing or too old; the message names the extra to install."""


class RunWarning(RuntimeWarning):
    """Warn of a problem that does not end the run."""


class RunError(RuntimeError):
    """Report a run that failed after it had started."""


class OutputError(RunError):
    """Report that the result of a run cannot be written; the message says how to resume it."""


class EnvironmentFault(RunError, ValueError):
    """Report an environment that broke its contract; the message names the environment, the step and the seed."""


class NonFiniteError(RunError, ValueError):
    """Report a loss or a gradient that is not finite; the update was not applied.

    ``failed_update``, if known, is a `ppocore.training.failed_update.FailedUpdate` to replay the step from.
    """

    failed_update: Any = None


def warn(sentence: str) -> None:
    """Issue a `RunWarning`."""
    warnings.warn(sentence, RunWarning, stacklevel=3)
