"""The errors a user can cause, told apart from programming mistakes.

::

    UsageError(ValueError)                      a setting, a name or a combination that cannot be run: raised before
    |                                           anything is created; the command line exits with status 2
    +-- MissingBackendError(UsageError, ImportError)  a backend whose framework is missing or too old
    RunError(RuntimeError)                      a run that began and cannot go on: raised once what it had is saved;
    |                                           the command line exits with status 1
    +-- OutputError(RunError)                   what the run ended with cannot be written
    +-- EnvironmentFault(RunError, ValueError)  an environment raised, hung, died or broke its contract
    +-- NonFiniteError(RunError, ValueError)    the loss or a gradient was not finite; `Backend.update` raises it
    RunWarning(RuntimeWarning)                  warned of, not raised: a run goes on that a person should look at

Functions that take arrays raise plain `ValueError` and `TypeError`.
"""

from __future__ import annotations

import warnings
from typing import Any


class UsageError(ValueError):
    """A setting, a name or a combination that cannot be run; one sentence that says what to change."""


class MissingBackendError(UsageError, ImportError):
    """A backend whose framework is not installed; the sentence names the extra to install."""


class RunWarning(RuntimeWarning):
    """Something that did not end the run, and that a person should know."""


class RunError(RuntimeError):
    """A run that began and cannot go on."""


class OutputError(RunError):
    """What the run ended with cannot be written; the sentence says how to go on."""


class EnvironmentFault(RunError, ValueError):
    """An environment broke its contract; the sentence names the environment, the step and the seed."""


class NonFiniteError(RunError, ValueError):
    """The loss or a gradient is not finite; the update was not applied.

    ``failed_update``, where it is known, is what the step can be repeated from
    (`ppocore.training.failed_update.FailedUpdate`).
    """

    failed_update: Any = None


def warn(sentence: str) -> None:
    """Warn, by a `RunWarning`, of something that does not end the run."""
    warnings.warn(sentence, RunWarning, stacklevel=3)
