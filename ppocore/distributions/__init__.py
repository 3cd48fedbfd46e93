"""Provide policies as distributions over actions, in NumPy: for acting, for storing and for the NumPy backend.

A distribution knows the layout of its parameters ``(B, P)`` and of its actions ``(B, *A)``. It holds no parameters
itself: they come from a network, in any backend. Each class also states the gradients of its log-probability, entropy
and divergence, which the NumPy backend uses and the tests hold against autograd.
"""

from ppocore.distributions.base import MASKED, Distribution, Pullback
from ppocore.distributions.beta import Beta
from ppocore.distributions.discrete import Bernoulli, Categorical, MultiCategorical, log_softmax
from ppocore.distributions.gaussian import DiagonalGaussian, SquashedGaussian
from ppocore.distributions.kinds import CONTINUOUS_POLICIES, KINDS, distribution_class, make_distribution

__all__ = [
    "CONTINUOUS_POLICIES",
    "KINDS",
    "MASKED",
    "Bernoulli",
    "Beta",
    "Categorical",
    "DiagonalGaussian",
    "Distribution",
    "MultiCategorical",
    "Pullback",
    "SquashedGaussian",
    "distribution_class",
    "log_softmax",
    "make_distribution",
]
