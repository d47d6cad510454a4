"""Graph → networkx.MultiDiGraph, at op or layer level, costs as typed attributes.

Node attributes are str, int or float only, and an unknown one is left out, so that every file
format takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

from costlens.analysis.rows import Row
from costlens.analysis.tree import share
from costlens.cost.cost import Cost
from costlens.errors import InputError
from costlens.ir.graph import Graph
from costlens.units import printable, shape

LEVELS = ("op", "layer")

Attribute = str | int | float


def to_networkx(
    graph: Graph, costs: Sequence[Cost], rows: Sequence[Row], level: str = "op"
) -> nx.MultiDiGraph[str]:
    """One node per op call (``op``) or per row (``layer``), one edge per tensor that flows.

    Node ids are the op's name, or the layer's path with ``#call`` from the second call on. Edges
    carry ``value``, ``shape``, ``dtype`` and ``bytes``.
    """
    if level == "op":
        return _ops(graph, costs)
    if level == "layer":
        return _layers(graph, rows)
    raise InputError("--level", f"{level!r} is not a level", f"Levels: {', '.join(LEVELS)}.")


def _ops(graph: Graph, costs: Sequence[Cost]) -> nx.MultiDiGraph[str]:
    made: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=graph.name)
    total = sum(cost.macs for cost in costs)
    counted: set[str] = set()
    for node, cost in zip(graph.nodes, costs, strict=True):
        made.add_node(
            node.name,
            label=printable(f"{node.op} {node.name}"),
            op=node.op,
            layer=node.origin.layer,
            type=node.origin.kind,
            call=node.origin.call,
            repeat=node.repeat,
            output_shape=shape(graph.values[node.outputs[0]].shape) if node.outputs else "",
            macs=cost.macs,
            macs_valid=cost.macs_valid,
            flops=cost.flops,
            bytes_moved=cost.bytes_moved,
            share_macs=share(cost.macs, total),
            params=sum(
                graph.weights[v].params
                for v in dict.fromkeys(node.operands)
                if v in graph.weights and v not in counted
            ),
        )
        counted.update(node.operands)
    for node in graph.nodes:
        for value in node.operands:
            source = graph.producer.get(value)
            if source is not None:
                made.add_edge(source.name, node.name, **_edge(graph, value))
    return made


def _layers(graph: Graph, rows: Sequence[Row]) -> nx.MultiDiGraph[str]:
    made: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=graph.name)
    total = sum(row.macs for row in rows)
    for row in rows:
        made.add_node(layer_id(row.path, row.call), **_row(row, total))
    seen: set[tuple[str, str, str]] = set()
    for node in graph.nodes:
        target = layer_id(node.origin.layer, node.origin.call)
        for value in node.operands:
            source = graph.producer.get(value)
            if source is None or source.origin == node.origin:
                continue
            start = layer_id(source.origin.layer, source.origin.call)
            if (start, target, value) not in seen:
                seen.add((start, target, value))
                made.add_edge(start, target, **_edge(graph, value))
    return made


def layer_id(path: str, call: int) -> str:
    """The node id of a row: its path, and ``#call`` from the second call on."""
    return path if call <= 1 else f"{path}#{call}"


def _kind(row: Row) -> str:
    return row.type if row.call <= 1 else f"{row.type}, call {row.call}"


def _row(row: Row, total_macs: int) -> Mapping[str, Attribute]:
    return {
        "label": printable(f"{row.path} ({_kind(row)})"),
        "layer": row.path,
        "type": row.type,
        "call": row.call,
        "scope": "/".join(row.scope),
        "output_shape": shape(row.output_shapes[0]) if row.output_shapes else "",
        "params": row.params,
        "trainable_params": row.trainable_params,
        "weight_bytes": row.weight_bytes,
        "macs": row.macs,
        "macs_valid": row.macs_valid,
        "flops": row.flops,
        "activation_bytes": row.activation_bytes,
        "bytes_moved": row.bytes_moved,
        "share_macs": share(row.macs, total_macs),
    }


def _edge(graph: Graph, value: str) -> Mapping[str, Attribute]:
    type_ = graph.values[value]
    return {
        "value": value,
        "shape": shape(type_.shape),
        "dtype": type_.dtype,
        "bytes": type_.nbytes,
    }
