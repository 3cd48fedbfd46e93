"""List known mistakes that the numbers of floating-point rewards do not show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppocore.testing.gae.defects.registry import DEFECTS, Defect
from ppocore.testing.gae.plan import reference_gae
from ppocore.typing import Array


def _integer_rewards_truncate_the_result(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array, gamma: float, lam: float
) -> tuple[Array, Array]:
    found, _ = reference_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    advantages = np.zeros_like(rewards)  # wrong: the dtype of the rewards
    advantages[...] = found
    return advantages.astype(np.float64), advantages + values


def _written_to(role: str) -> Callable[..., tuple[Array, Array]]:
    def candidate(
        rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array, gamma: float, lam: float
    ) -> tuple[Array, Array]:
        result = reference_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
        if role == "rewards":
            rewards += (gamma * np.where(truncated & ~terminated, next_values, 0.0)).astype(rewards.dtype)
        elif role == "values":
            values -= result[1]
        elif role == "next_values":
            next_values *= ~terminated
        else:
            terminated |= truncated
        return result

    candidate.__name__ = candidate.__qualname__ = f"{role}_written_to"
    return candidate


def written_to(role: str) -> Defect:
    """Return the mistake of writing to an argument."""
    name = f"{role} written to".replace("_", " ")
    return DEFECTS.get(name) or Defect(name, f"the caller's {role} are written to, in place", _written_to(role))


def _reset_rows_kept(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array, gamma: float, lam: float,
    valid: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    return reference_gae(rewards, values, next_values, terminated, truncated, gamma, lam)  # wrong: valid is not read


def _invalid_rows_masked_too_late(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array, gamma: float, lam: float,
    valid: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    advantages, returns = reference_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    kept = True if valid is None else valid
    return np.where(kept, advantages, 0.0), np.where(kept, returns, 0.0)  # wrong: too late


for _function, _says in (
    (_integer_rewards_truncate_the_result, "integer rewards make an integer result, which cuts the fractions off"),
    *((_written_to(_role), f"the caller's {_role} are written to, in place") for _role in ("rewards", "values")),
    *(
        (_written_to(_role), f"the caller's {_role} are written to, in place")
        for _role in ("next_values", "terminated")
    ),
    (_reset_rows_kept, "rows that are not valid, such as those that only reset, are kept as real transitions"),
    (
        _invalid_rows_masked_too_late,
        "rows that are not valid are multiplied by 0 after the recursion has gone through them",
    ),
):
    _name = _function.__name__.strip("_")
    _function.__name__ = _function.__qualname__ = _name
    _function.__doc__ = _says
    DEFECTS[_name.replace("_", " ")] = Defect(_name.replace("_", " "), _says, _function)
INTEGERS = DEFECTS["integer rewards truncate the result"]
OF_INVALID_ROWS = (DEFECTS["reset rows kept"], DEFECTS["invalid rows masked too late"])
