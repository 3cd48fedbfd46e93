"""Define the model's input for each part of an observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ppocore.export.graph import Graph
from ppocore.spaces import (
    ArraySpace,
    BoxObservation,
    ChoiceSpace,
    DiscreteObservation,
    MultiBinaryObservation,
    MultiDiscreteObservation,
)
from ppocore.typing import Array


class Input(NamedTuple):
    """Describe the input for a kind of space.

    Attributes:
        dtype: dtype of the input.
        flatten: function of a graph, an input and its space that adds the flattened input and returns the names of its
            float64 parts, (batch, n) each.
        draw: function that draws a random batch for a space; numbers have the given mean and standard deviation.
    """

    dtype: type[np.generic]
    flatten: Callable[[Graph, str, Any], list[str]]
    draw: Callable[[np.random.Generator, int, Any, Array, Array], Array]


def input_name(path: tuple[Any, ...]) -> str:
    """Name the input for the part of an observation at a path."""
    return ".".join(["observation", *map(str, path)])


def input_of(space: ArraySpace) -> Input:
    """Look up the input for a space."""
    return _INPUTS[type(space)]


def _numbers(graph: Graph, value: str, space: ArraySpace) -> list[str]:
    return [graph.reshape(graph.cast(value, np.float64), (-1, space.size))]


def _one_hot(graph: Graph, value: str, space: ChoiceSpace) -> list[str]:
    counted = graph.reshape(value, (-1, len(space.components)))
    parts = []
    for i, (n, start) in enumerate(space.components):
        column = graph.columns(counted, i, i + 1)
        one_hot = graph.add("Equal", column, graph.constant(np.arange(start, start + n)[None]))
        parts.append(graph.cast(one_hot, np.float64))
    return parts


def _draw_numbers(rng: np.random.Generator, count: int, space: ArraySpace, mean: Array, deviation: Array) -> Array:
    numbers = rng.normal(mean, 3.0 * deviation, (count, space.size))
    return numbers.reshape(count, *space.shape).astype(np.float32)


def _draw_bits(rng: np.random.Generator, count: int, space: ArraySpace, mean: Array, deviation: Array) -> Array:
    return rng.integers(0, 2, (count, *space.shape), dtype=np.int8)


def _draw_choices(rng: np.random.Generator, count: int, space: ChoiceSpace, mean: Array, deviation: Array) -> Array:
    choices, start = np.array(space.components).T
    drawn: Array = rng.integers(0, choices, (count, len(choices))) + start
    return drawn.reshape(count, *space.shape)


_INPUTS: dict[type[ArraySpace], Input] = {
    BoxObservation: Input(np.float32, _numbers, _draw_numbers),
    MultiBinaryObservation: Input(np.int8, _numbers, _draw_bits),
    DiscreteObservation: Input(np.int64, _one_hot, _draw_choices),
    MultiDiscreteObservation: Input(np.int64, _one_hot, _draw_choices),
}
