"""Policy-and-value networks: their shapes, names and initial weights, and the NumPy forward pass used for acting."""

from ppocore.networks.initialization import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, orthogonal
from ppocore.networks.spec import ACTIVATION_FUNCTIONS, ActingNetwork, NetworkSpec, check_outputs, compute_dtype

__all__ = [
    "ACTIVATION_FUNCTIONS",
    "HIDDEN_GAIN",
    "POLICY_GAIN",
    "VALUE_GAIN",
    "ActingNetwork",
    "NetworkSpec",
    "check_outputs",
    "compute_dtype",
    "orthogonal",
]
