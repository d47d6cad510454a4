"""Graphs written by hand, one call per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.ops import OPS
from costlens.ir.types import TensorType


class Draft:
    """A graph being written; every value is named after its node."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, TensorType] = {}
        self.inputs: list[str] = []
        self.weights: dict[str, Weight] = {}
        self.constants: dict[str, TensorType] = {}

    def input(self, shape: Sequence[int], dtype: str = "float32") -> str:
        """A model input, with its node."""
        name = self.node("input", (), f"in{len(self.inputs)}", shape=tuple(shape), dtype=dtype)
        self.inputs.append(name)
        return name

    def weight(self, shape: Sequence[int], dtype: str = "float32", owner: str = "dense") -> str:
        """A trainable variable."""
        name = f"w{len(self.weights)}"
        self.values[name] = TensorType(tuple(shape), dtype)
        self.weights[name] = Weight(name, f"{owner}/{name}", self.values[name], True, owner)
        return name

    def constant(self, shape: Sequence[int], dtype: str = "float32") -> str:
        """A captured array."""
        name = f"c{len(self.constants)}"
        self.values[name] = self.constants[name] = TensorType(tuple(shape), dtype)
        return name

    def node(
        self,
        op: str,
        operands: Sequence[str],
        layer: str,
        call: int = 1,
        repeat: int = 1,
        **attrs: Any,
    ) -> str:
        """A node of a layer call; returns its first output."""
        name = f"{layer}/{op}{len(self.nodes)}"
        types = OPS[op].infer(tuple(self.values[v] for v in operands), attrs)
        outputs = tuple(f"{name}:{i}" if i else name for i in range(len(types)))
        self.values.update(zip(outputs, types, strict=True))
        origin = Origin("Layer", layer, call)
        self.nodes.append(Node(name, op, tuple(operands), outputs, attrs, (layer,), repeat, origin))
        return name

    def graph(self, *outputs: str) -> Graph:
        """What has been written."""
        return Graph(
            "draft",
            tuple(self.inputs),
            outputs,
            tuple(self.nodes),
            dict(self.values),
            dict(self.weights),
            dict(self.constants),
        )
