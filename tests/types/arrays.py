"""What a type checker knows of the functions of arrays: an array in, the same type out. Checked, and never run.

``bash .ci/types`` checks it with mypy; ``pyright`` agrees, with ppocore installed.
"""

from collections.abc import Sequence
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from ppocore import (
    discounted_returns,
    gae,
    lambda_returns,
    masked_whiten,
    n_step_returns,
    normalize,
    successor_values,
    td_residuals,
    token_gae,
    vtrace,
)
from ppocore.advantages import AdvantageEstimate, VTraceEstimate

Numbers = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Tensor:
    """A framework's array, as far as a type checker can tell."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the length of each axis."""
        raise NotImplementedError

    @property
    def dtype(self) -> object:
        """Return the format of an element."""
        raise NotImplementedError


def of_numpy(x: Numbers, flags: Flags) -> None:
    """Give NumPy arrays, by position and by name."""
    estimate = gae(x, x, x, flags, flags, gamma=0.9, lam=0.9, valid=flags, time_axis=1)
    assert_type(estimate, AdvantageEstimate[Numbers])
    assert_type(estimate.advantages, Numbers)
    advantages, returns = gae(rewards=x, values=x, next_values=0.0, terminated=flags, truncated=flags)
    assert_type(advantages, Numbers)
    assert_type(returns, Numbers)
    assert_type(td_residuals(x, x, x, flags, gamma=1), Numbers)
    assert_type(successor_values(x, x[0], valid=flags), Numbers)
    assert_type(discounted_returns(x, 0.0, flags, flags, gamma=0.9), Numbers)
    assert_type(lambda_returns(x, x, flags, flags, gamma=0.9, lam=0.5), Numbers)
    assert_type(n_step_returns(x, x, flags, flags, gamma=0.9, n=3), Numbers)
    assert_type(vtrace(x, x, x, flags, flags, x, gamma=0.9), VTraceEstimate[Numbers])
    assert_type(vtrace(x, x, x, flags, flags, x, gamma=0.9).vs, Numbers)
    assert_type(token_gae(x, x, flags, lam=x, last_values=x[:, 0]).returns, Numbers)
    assert_type(normalize(x, flags), Numbers)
    assert_type(masked_whiten(x, flags, shift_mean=False), Numbers)


def of_a_framework(x: Tensor, flags: Tensor) -> None:
    """Give arrays of a framework."""
    assert_type(gae(x, x, x, flags, flags), AdvantageEstimate[Tensor])
    assert_type(gae(x, x, x, flags, flags).returns, Tensor)
    assert_type(vtrace(x, x, x, flags, flags, x, gamma=0.9).advantages, Tensor)
    assert_type(successor_values(x, x), Tensor)
    assert_type(token_gae(x, x, flags).advantages, Tensor)
    assert_type(normalize(x), Tensor)
    assert_type(masked_whiten(x, flags), Tensor)


def of_lists(x: list[float], rows: Sequence[Tensor], flags: list[bool]) -> None:
    """Give lists, whose result has a type that depends on what is in them."""
    assert_type(gae(x, x, x, flags, flags), AdvantageEstimate[Any])
    assert_type(gae(rows, rows, rows, rows, rows).advantages, Any)
    assert_type(discounted_returns(x, 0.0, flags, flags, gamma=0.9), Any)


def wrongly(x: Numbers, flags: Flags) -> None:
    """Make mistakes that a type checker sees."""
    gae(x, x, x, flags)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    gae(x, x, x, flags, flags, gamma="0.9")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    gae(x, x, x, flags, flags, 0.99, 0.95)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
