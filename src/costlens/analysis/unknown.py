"""What is not known of an op call: which of its figures are lower bounds, and why."""

from __future__ import annotations

from collections.abc import Iterable

from costlens.cost.registry import UNCOUNTED
from costlens.ir.graph import Graph, Node

_SIZES = frozenset({"activation_bytes", "bytes_moved", "peak_memory_bytes"})
_NONE: frozenset[str] = frozenset()


def unknown_figures(graph: Graph, node: Node) -> frozenset[str]:
    """The figures of a node that are lower bounds; empty where all are exact."""
    unsized = _handles_text(graph, node) or (node.op == "unknown" and not node.outputs)
    return UNCOUNTED.get(node.op, _NONE) | (_SIZES if unsized else _NONE)


def unknown_of(graph: Graph, nodes: Iterable[Node]) -> frozenset[str]:
    """The figures that are lower bounds when these nodes are summed."""
    return _NONE.union(*(unknown_figures(graph, node) for node in nodes))


def reason(graph: Graph, node: Node) -> str:
    """Why a node's figures are not all known; empty where they are."""
    if node.op == "unknown":
        return str(node.attrs["reason"])
    if node.op == "opaque":
        return f"the FLOPs of {node.attrs['fn']} depend on the algorithm"
    return "text has no fixed size" if _handles_text(graph, node) else ""


def _handles_text(graph: Graph, node: Node) -> bool:
    values = graph.values
    return any(values[value].dtype == "string" for value in (*node.outputs, *node.operands))
