"""The nodes of an ONNX graph as they are written, and what all graphs of cortado have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError

OPSET = 17
IR_VERSION = 8  # of the same time as the opset, so that runtimes of that time read the file


def require_onnx() -> Any:
    """The package ``onnx``; ``ConfigError`` if it is absent."""
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(
            "an export to ONNX needs the package onnx: pip install 'cortado-hep[onnx]'"
        ) from error
    return onnx


@dataclass(eq=False)
class Graph:
    """Nodes in order and constants by name; a call adds a node and gives the name of its output."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __call__(
        self, operator: str, *inputs: str | npt.NDArray[Any], output: str | None = None, **attributes: Any
    ) -> str:
        import onnx

        names = [name if isinstance(name, str) else self._constant(name) for name in inputs]
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name


def value_info(name: str, kind: npt.DTypeLike, shape: Sequence[str | int]) -> Any:
    """An input or output of a graph."""
    import onnx

    return onnx.helper.make_tensor_value_info(name, element_type(kind), shape)


def element_type(kind: npt.DTypeLike) -> int:
    """The number by which ONNX calls a type of numpy."""
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
