"""Graphs and studies drawn by hand: no framework, any name, every op checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlens.frontends import Source
from costlens.ir.check import check
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType
from costlens.study import Study

CONV = {"strides": (1, 1), "dilation": (1, 1), "groups": 1, "channels_last": True}
VALID = {**CONV, "padding": ((0, 0), (0, 0))}


class Sketch:
    """A graph in the making. A layer is a path, or a tuple of names that may hold a ``/``."""

    def __init__(self, name: str = "sketch") -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.values: dict[str, TensorType] = {}
        self.inputs: list[str] = []
        self.weights: dict[str, Weight] = {}
        self.constants: dict[str, TensorType] = {}
        self.notes: tuple[str, ...] = ()

    def input(self, shape: Shape, layer: str = "image", dtype: str = "float32") -> str:
        """A model input."""
        value = self.op("input", (), layer, kind="InputLayer", shape=shape, dtype=dtype)
        self.inputs.append(value)
        return value

    def weight(
        self, shape: Shape, owner: str, trainable: bool = True, dtype: str = "float32"
    ) -> str:
        """A variable of the layer ``owner``."""
        value = f"w{len(self.weights)}"
        self.values[value] = TensorType(shape, dtype)
        self.weights[value] = Weight(
            value, f"{owner}/{value}", self.values[value], trainable, owner
        )
        return value

    def constant(self, shape: Shape, dtype: str = "float32") -> str:
        """A captured array."""
        value = f"c{len(self.constants)}"
        self.values[value] = self.constants[value] = TensorType(shape, dtype)
        return value

    def op(
        self,
        op: str,
        operands: Sequence[str],
        layer: str | tuple[str, ...],
        call: int = 1,
        repeat: int = 1,
        kind: str = "Layer",
        **attrs: Any,
    ) -> str:
        """One op call of a layer call; the id of its first output."""
        scope = (layer,) if isinstance(layer, str) and "/" not in layer else layer
        scope = tuple(scope.split("/")) if isinstance(scope, str) else scope
        types = OPS[op].infer(tuple(self.values[v] for v in operands), attrs)
        name = f"{'/'.join(scope)}/{op}:{len(self.nodes)}"
        outputs = tuple(f"{name}.{i}" for i in range(len(types)))
        self.values.update(zip(outputs, types, strict=True))
        origin = Origin(kind, "/".join(scope), call)
        self.nodes.append(Node(name, op, tuple(operands), outputs, attrs, scope, repeat, origin))
        return outputs[0]

    def graph(self, *outputs: str) -> Graph:
        """What was drawn, with every invariant checked."""
        return check(
            Graph(
                self.name,
                tuple(self.inputs),
                outputs,
                tuple(self.nodes),
                self.values,
                self.weights,
                self.constants,
                self.notes,
            )
        )

    def study(self, *outputs: str) -> Study:
        """What was drawn, analysed, as if it came from a script."""
        return Study(self.graph(*outputs), Source("model.py:net", "3.0.0", "none"))


def dense(s: Sketch, x: str, units: int, layer: str | tuple[str, ...], call: int = 1) -> str:
    """A Dense layer: a contraction and a bias."""
    path = layer if isinstance(layer, str) else "/".join(layer)
    wide = s.values[x].shape[-1]
    kernel, bias = s.weight((wide, units), path), s.weight((units,), path)
    y = s.op("einsum", (x, kernel), layer, call, kind="Dense", equation="ab,bc->ac")
    return s.op("binary", (y, bias), layer, call, kind="Dense", fn="add")
