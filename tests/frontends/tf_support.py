"""Functions of tensors, traced as the call of a layer and lowered operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costlens.frontends.abstract import abstract_keras
from costlens.frontends.keras_live import TABLE
from costlens.frontends.keras_trace import trace
from costlens.frontends.layercall import Constant, LayerCall, Opaque, Tensor, Tree, leaves
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.run import lower
from costlens.frontends.tf_graph import View, program_of
from costlens.ir.check import check
from costlens.ir.graph import Graph, Node
from costlens.ir.types import TensorType
from tests.frontends.lowering.ops_support import In


def checked(key: str, lowering: Lowering) -> Lowering:
    """A lowering whose every output has the type that TensorFlow says."""

    def checking(b: Builder, call: LayerCall) -> Tree:
        made = lowering(b, call)
        given = made if isinstance(made, (list, tuple)) else [made]
        for x, (shape, dtype) in zip(given, call.expected, strict=False):
            if isinstance(x, Tensor):
                assert x.dtype == dtype, f"{key}: {x.type} instead of {dtype}"
                same = len(shape) == x.rank and all(
                    n is None or n == m for n, m in zip(shape, x.shape, strict=True)
                )
                assert same, f"{key}: {x.type} instead of {shape}"
        assert len(given) >= len(call.expected), f"{key}: {len(given)} outputs"
        return made

    return checking if key.startswith("tf:") else lowering


CHECKED: Mapping[str, Lowering] = {key: checked(key, fn) for key, fn in TABLE.items()}
"""The table, each traced operation compared with TensorFlow."""


def lowered(function: Callable[..., Any], *inputs: In) -> Graph:
    """The graph of a function of tensors of these types, as a layer's call would be read."""
    types = [TensorType(x.shape, x.dtype) for x in inputs]
    with abstract_keras():
        traced = trace(function, tuple(types), {})
        view = View(
            layer=_no_layer,
            leaf=lambda x: x if isinstance(x, (int, float, str, bool)) else Opaque(str(type(x))),
            variable=lambda v: Constant(TensorType(tuple(v.shape), str(v.dtype)), id(v)),
            readable=lambda layer: False,
            container=lambda layer: False,
        )
        program = program_of(traced, view, "function", "Functional")
    graph = check(lower(program, CHECKED, types))
    flat = [x for x in leaves(traced.outputs) if hasattr(x, "dtype")]
    for value, x in zip(graph.outputs, flat, strict=not unknown_in(graph)):
        found = graph.values[value]
        assert found.dtype == x.dtype.name, f"{found} instead of {x}"
        assert x.shape.is_compatible_with(found.shape), f"{found} instead of {x}"
    return graph


def _no_layer(layer: Any) -> Any:
    raise Unreadable(f"{layer} is called")


def steps_in(graph: Graph) -> list[Node]:
    """The nodes of a graph without its inputs."""
    return [node for node in graph.nodes if node.op != "input"]


def unknown_in(graph: Graph) -> list[str]:
    """Why nodes are unknown."""
    return [str(node.attrs["reason"]) for node in graph.nodes if node.op == "unknown"]
