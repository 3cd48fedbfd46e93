"""Build an ONNX graph node by node."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppocore.typing import Array


class Graph:
    """Build an ONNX graph, which needs onnx.

    Every method that adds a value returns its name. Names are numbered, so that equal calls give equal bytes.
    """

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: Any, shape: tuple[int, ...]) -> str:
        """Add an input (batch, *shape)."""
        self._inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: Any, shape: tuple[int, ...]) -> None:
        """Add an output (batch, *shape) with a value."""
        self._nodes.append(self._helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(self._value(name, dtype, shape))

    def constant(self, array: Array) -> str:
        """Add a constant."""
        name = f"constant{len(self._constants)}"
        self._constants.append(self._numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator."""
        name = f"value{len(self._nodes)}"
        # The node needs a name as well: older runtimes confuse nodes without one.
        self._nodes.append(self._helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def cast(self, value: str, dtype: Any) -> str:
        """Add a conversion to another dtype."""
        return self.add("Cast", value, to=self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, value: str, shape: tuple[int, ...]) -> str:
        """Add a reshape; -1 stands for the batch."""
        return self.add("Reshape", value, self.constant(np.array(shape, np.int64)))

    def columns(self, value: str, start: int, stop: int, axis: int = 1) -> str:
        """Add a slice along one axis."""
        bounds = (self.constant(np.array([bound], np.int64)) for bound in (start, stop, axis))
        return self.add("Slice", value, *bounds)

    def clip(self, value: str, low: Any, high: Any) -> str:
        """Add a clip to bounds."""
        return self.add("Clip", value, self.constant(np.array(low)), self.constant(np.array(high)))

    def encode(self, producer: str, version: str, description: str, opset: int, ir_version: int) -> bytes:
        """Encode the model as bytes."""
        graph = self._helper.make_graph(
            self._nodes, producer, self._inputs, self._outputs, self._constants, doc_string=description
        )
        model = self._helper.make_model(
            graph,
            producer_name=producer,
            producer_version=version,
            opset_imports=[self._helper.make_opsetid("", opset)],
            ir_version=ir_version,
        )
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _value(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        element = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._helper.make_tensor_value_info(name, element, ["batch", *shape])
