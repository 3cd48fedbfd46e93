"""Describe policy-and-value networks: shapes, names and initial weights, and the NumPy forward pass for acting."""

from ppocore.networks.acting import ACTIVATION_FUNCTIONS, ActingNetwork
from ppocore.networks.chunks import in_chunks
from ppocore.networks.initialization import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, orthogonal
from ppocore.networks.reading import read_spec
from ppocore.networks.spec import NetworkSpec, check_network, compute_dtype

__all__ = [
    "ACTIVATION_FUNCTIONS",
    "HIDDEN_GAIN",
    "POLICY_GAIN",
    "VALUE_GAIN",
    "ActingNetwork",
    "NetworkSpec",
    "check_network",
    "compute_dtype",
    "in_chunks",
    "orthogonal",
    "read_spec",
]
