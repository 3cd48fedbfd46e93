"""Warn of observations that a fully connected network will hardly learn from."""

from __future__ import annotations

from ppocore.errors import warn
from ppocore.networks import NetworkSpec
from ppocore.spaces import BoxObservation, ObservationMapping

MANY_WEIGHTS = 50_000_000
"""Weights of the first layer from which on a network is too large to be meant."""
PICTURE_SIDE = 32
"""Two axes of at least this length are those of a picture."""

_ADVICE = (
    "make the observation smaller with wrappers (gymnasium.wrappers.GrayscaleObservation, ResizeObservation), choose "
    "one of features, or give a convolutional network of your own, with TorchBackend(network=...) for example"
)


def warn_of_large_input(mapping: ObservationMapping, spec: NetworkSpec) -> None:
    """Issue a `RunWarning` for a picture, or for a first layer with more weights than can be meant."""
    for _, leaf in mapping.leaves:
        if isinstance(leaf, BoxObservation) and sum(side >= PICTURE_SIDE for side in leaf.shape) >= 2:
            warn(
                f"an observation of shape {leaf.shape} is a picture, and a fully connected network takes its "
                f"{leaf.size:,} numbers one by one, without knowing which are neighbors: {_ADVICE}"
            )
            return
    weights = spec.observation_size * (spec.hidden_sizes[0] if spec.hidden_sizes else 1)
    if weights > MANY_WEIGHTS:
        warn(
            f"the first layer has {weights:,} weights, for observations of {spec.observation_size:,} numbers, and will "
            f"learn slowly: {_ADVICE}"
        )
