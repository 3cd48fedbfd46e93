"""Convert a distribution's actions to the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ppocore.distributions import CONTINUOUS_POLICIES, KINDS, DiagonalGaussian, make_distribution
from ppocore.errors import UsageError
from ppocore.spaces.action_spaces import ActionSpace, BoxAction
from ppocore.typing import Array

__all__ = ["CONTINUOUS_POLICIES", "ActionAdapter"]


class ActionAdapter:
    """Convert sampled actions to the actions that the environment takes.

    The samples are what is stored and learned from (37 details, continuous 4); the environment gets:

    ================= ==================================================================================
    Discrete          the choice, counted from the space's ``start``
    MultiDiscrete     the choices, counted from ``start``, in the space's shape
    MultiBinary       the bits, in the space's shape
    Box, gaussian     the numbers, clipped to the bounds
    Box, squashed     their hyperbolic tangent, scaled from (-1, 1) to the bounds
    Box, beta         the numbers, scaled from (0, 1) to the bounds
    ================= ==================================================================================

    Args:
        space: an action space; `ppocore.envs.action_space` makes it from Gymnasium's.
        continuous_policy: the kind of distribution over the actions of a Box.

    Attributes:
        space: the space.
        kind: the kind of distribution, as `NetworkSpec.action_kind`.
        size: number of choices, components, bits or continuous dimensions.
        choices: number of choices of each component of a MultiDiscrete space; otherwise empty.
        distribution: the distribution over its actions.
        mask_size: number of flags in one mask; 0 for a Box.

    Raises:
        UsageError: a continuous policy for a space that is not a Box, or a bounded one for a Box without bounds.
    """

    def __init__(self, space: ActionSpace, continuous_policy: str = DiagonalGaussian.kind) -> None:
        if continuous_policy not in CONTINUOUS_POLICIES:
            raise UsageError(
                f"continuous_policy={continuous_policy!r} is unknown: use one of {', '.join(CONTINUOUS_POLICIES)}"
            )
        if continuous_policy != DiagonalGaussian.kind and not isinstance(space, BoxAction):
            raise UsageError(
                f"continuous_policy={continuous_policy} is for Box action spaces, this one is {space}: leave it out"
            )
        if KINDS[continuous_policy].is_bounded and isinstance(space, BoxAction) and not space.has_bounds:
            raise UsageError(
                f"continuous_policy={continuous_policy} needs an action space with bounds on both sides, this one is "
                f"{space}: use continuous_policy={DiagonalGaussian.kind}, or give the Box bounds"
            )
        self.space = space
        self.kind = space.distribution_kind or continuous_policy
        self.size, self.choices = space.size, space.component_choices
        self.distribution = make_distribution(self.kind, self.size, self.choices)
        self.mask_size = self.distribution.mask_size

    @cached_property
    def mask_starts(self) -> Array:
        """Return the index of each component's first flag in a mask."""
        return np.cumsum([0, *self.distribution.mask_sections[:-1]])

    def __call__(self, actions: Array) -> Array:
        """Convert sampled actions (B,) or (B, size) to actions (B,) or (B, *shape) of the environment."""
        return self.space.from_samples(actions, self.distribution)

    def to_dict(self) -> dict[str, Any]:
        """Return the space, and for a Box the policy, as JSON can hold them."""
        policy = {"policy": self.kind} if self.space.distribution_kind is None else {}
        return {**self.space.to_dict(), **policy}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ActionAdapter:
        """Invert `to_dict`; a Box without a policy is from a file of the first version, which had the Gaussian only.

        Raises:
            KeyError, TypeError, ValueError: ``fields`` do not describe an action space.
        """
        return cls(ActionSpace.from_dict(fields), fields.get("policy", DiagonalGaussian.kind))
