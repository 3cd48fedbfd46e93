"""Map the kinds of actions to their distributions."""

from __future__ import annotations

from ppocore.distributions.base import Distribution
from ppocore.distributions.beta import Beta
from ppocore.distributions.discrete import Bernoulli, Categorical, MultiCategorical
from ppocore.distributions.gaussian import DiagonalGaussian, SquashedGaussian
from ppocore.errors import UsageError

KINDS: dict[str, type[Distribution]] = {
    distribution.kind: distribution
    for distribution in (MultiCategorical, Categorical, Bernoulli, DiagonalGaussian, SquashedGaussian, Beta)
}
"""The class of each `NetworkSpec.action_kind`."""

CONTINUOUS_POLICIES = tuple(kind for kind, distribution in KINDS.items() if distribution.is_continuous)
"""The kinds that act in a Box."""


def distribution_class(kind: str) -> type[Distribution]:
    """Look up the class of a kind.

    Raises:
        UsageError: there is no such kind; the message lists those that exist.
    """
    if kind not in KINDS:
        raise UsageError(f"action_kind={kind!r} is unknown: use one of {', '.join(KINDS)}")
    return KINDS[kind]


def make_distribution(kind: str, size: int, choices: tuple[int, ...] = ()) -> Distribution:
    """Make the distribution of a kind.

    Args:
        kind: a key of `KINDS`.
        size: number of choices, of components, of bits, or of continuous dimensions.
        choices: number of choices of each component, for a kind that has several; otherwise empty.

    Raises:
        UsageError: there is no such kind, or ``choices`` does not match ``size``.
    """
    return distribution_class(kind).for_actions(size, choices)
