"""Observations that are pictures, and first layers that nobody means, are worth a warning."""

import warnings

import pytest

from ppocore.errors import RunWarning
from ppocore.networks import NetworkSpec
from ppocore.spaces import BoxObservation, DictObservation, DiscreteObservation, ObservationMapping
from ppocore.training.large_input import warn_of_large_input


def warned(space, *hidden_sizes):
    mapping = ObservationMapping(space)
    spec = NetworkSpec(mapping.size, "discrete", 2, hidden_sizes=hidden_sizes)
    warn_of_large_input(mapping, spec)


@pytest.mark.parametrize("shape", [(210, 160, 3), (84, 84), (4, 84, 84), (32, 32, 1)])
def test_a_picture_is_named_with_what_to_do(shape):
    for space in (
        BoxObservation(shape),
        DictObservation((("a", DiscreteObservation(2)), ("b", BoxObservation(shape)))),
    ):
        with pytest.warns(RunWarning, match="is a picture.*ResizeObservation.*network=") as caught:
            warned(space, 64, 64)
        assert f"shape {shape} " in str(caught[0].message)
        assert len(caught) == 1


def test_a_first_layer_of_more_than_fifty_million_weights_is_named():
    with pytest.warns(RunWarning, match="the first layer has 51,200,000 weights, for observations of 100,000 numbers"):
        warned(BoxObservation((100_000,)), 512)


@pytest.mark.parametrize(
    ("space", "width"),
    [(BoxObservation((7, 7, 3)), 64), (BoxObservation((100_000,)), 500), (BoxObservation((31, 400)), 64)],
)
def test_others_are_not(space, width):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warned(space, width)
