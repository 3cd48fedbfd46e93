"""Policies as distributions over actions, in NumPy: what acting, storing and the NumPy backend need.

A distribution knows the layout of its parameters ``(B, P)`` and of its actions ``(B, *A)``.  It holds no
parameters itself: they come from a network, in any backend.  Each class also states the gradients of its
log-probability, entropy and divergence, which the NumPy backend uses and the tests hold against autograd.
"""

from ppocore.distributions.base import MASKED, Array, Distribution, Pullback
from ppocore.distributions.beta import Beta
from ppocore.distributions.discrete import Bernoulli, Categorical, MultiCategorical, log_softmax
from ppocore.distributions.gaussian import DiagonalGaussian, SquashedGaussian

__all__ = [
    "MASKED",
    "Array",
    "Bernoulli",
    "Beta",
    "Categorical",
    "DiagonalGaussian",
    "Distribution",
    "MultiCategorical",
    "Pullback",
    "SquashedGaussian",
    "log_softmax",
]
