"""Read the network that a file describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppocore.files.schema import tensor
from ppocore.networks.spec import NetworkSpec
from ppocore.spaces import ActionSpace
from ppocore.typing import Array


def read_spec(description: Mapping[str, Any], tensors: Mapping[str, Array], finite: bool = True) -> NetworkSpec:
    """Read the network of a file, and compare it with the tensors and the spaces before anything is allocated.

    Args:
        description: of the file, which has passed its schema.
        tensors: the tensors by name.
        finite: whether the weights must be finite.

    Raises:
        KeyError, TypeError, ValueError: they do not fit together.
    """
    spec = NetworkSpec.from_dict(description["network"])
    for name, shape in spec.shapes().items():
        tensor(tensors, name, shape, "float32", finite=finite, nan=not finite)
    if "action_space" in description:
        space = ActionSpace.from_dict(description["action_space"])
        if (space.size, space.component_choices) != (spec.action_size, spec.choices):
            raise ValueError("the action space does not fit the network's output")
    return spec
