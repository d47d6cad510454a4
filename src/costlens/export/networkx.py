"""Graph → networkx.MultiDiGraph, at op, layer or block level, costs as typed attributes.

Node attributes are str, int or float only, and an unknown one is left out, so that every file
format takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

import networkx as nx

from costlens.analysis.blocks import Block
from costlens.analysis.rows import Row
from costlens.analysis.tree import share
from costlens.cost.cost import Cost
from costlens.errors import InputError
from costlens.ir.graph import Graph, Node
from costlens.units import printable, shape

LEVELS = ("op", "layer", "block")

Attribute = str | int | float


def to_networkx(
    graph: Graph,
    costs: Sequence[Cost],
    rows: Sequence[Row],
    level: str = "op",
    blocks: Callable[[], Sequence[Block]] = tuple,
) -> nx.MultiDiGraph[str]:
    """One node per op call (``op``), per row (``layer``), or per block and row outside blocks
    (``block``); one edge per tensor that flows.

    Node ids are the op's name, the layer's path with ``#call`` from the second call on, or the
    block's motif and path. Edges carry ``value``, ``shape``, ``dtype`` and ``bytes``.
    """
    if level == "op":
        return _ops(graph, costs)
    if level == "layer":
        return _grouped(graph, rows, {})
    if level == "block":
        return _grouped(graph, rows, _homes(graph, blocks()))
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


def _grouped(graph: Graph, rows: Sequence[Row], homes: Mapping[str, Block]) -> nx.MultiDiGraph[str]:
    """A node per row; rows that have a home (by their id) are one node with the rest of it."""
    made: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=graph.name)
    total = sum(row.macs for row in rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_home(layer_id(row.path, row.call), homes), []).append(row)
    for name, inside in groups.items():
        block = homes.get(layer_id(inside[0].path, inside[0].call))
        if block is None:
            made.add_node(name, **_row(inside[0], total))
        else:
            made.add_node(name, **_block(block, inside, total))
    seen: set[tuple[str, str, str]] = set()
    for node in graph.nodes:
        target = _home(layer_id(node.origin.layer, node.origin.call), homes)
        for value in node.operands:
            source = graph.producer.get(value)
            if source is None:
                continue
            start = _home(layer_id(source.origin.layer, source.origin.call), homes)
            if start != target and (start, target, value) not in seen:
                seen.add((start, target, value))
                made.add_edge(start, target, **_edge(graph, value))
    return made


def _homes(graph: Graph, blocks: Sequence[Block]) -> Mapping[str, Block]:
    """The id of each row that a block holds, and the largest block that does.

    A block that a way leaves and enters again stays apart, since one node for it would make a
    cycle (attention written with layers: its products stand between its projections).
    """
    homes: dict[str, Block] = {}
    for block in sorted(blocks, key=lambda block: -len(block.nodes)):
        ids = {_id(node) for node in block.nodes}
        if ids.isdisjoint(homes) and _closed(graph, ids):
            homes.update(dict.fromkeys(ids, block))
    return homes


def _id(node: Node) -> str:
    return layer_id(node.origin.layer, node.origin.call)


def _closed(graph: Graph, ids: Set[str]) -> bool:
    """Whether nothing outside these rows depends on them and is needed by them."""
    inside, outside = set[str](), set[str]()
    for node in graph.nodes:
        own = _id(node) in ids
        if own and not outside.isdisjoint(node.operands):
            return False
        if own:
            inside.update(node.outputs)
        elif not (inside.isdisjoint(node.operands) and outside.isdisjoint(node.operands)):
            outside.update(node.outputs)
    return True


def _home(row: str, homes: Mapping[str, Block]) -> str:
    """The id of the node that a row is part of."""
    block = homes.get(row)
    return row if block is None else f"{block.motif} {block.path}"


def _block(block: Block, rows: Sequence[Row], total_macs: int) -> Mapping[str, Attribute]:
    """The sums over a block's rows, and its first plain form."""
    macs = sum(row.macs for row in rows)
    made: dict[str, Attribute] = {
        "label": printable(f"{block.path} ({block.motif})"),
        "layer": block.path,
        "type": block.motif,
        "motif": block.motif,
        "layers": len({row.path for row in rows}),
        "output_shape": shape(rows[-1].output_shapes[0]) if rows[-1].output_shapes else "",
        "params": sum(row.params for row in rows),
        "trainable_params": sum(row.trainable_params for row in rows),
        "weight_bytes": sum(row.weight_bytes for row in rows),
        "macs": macs,
        "macs_valid": sum(row.macs_valid for row in rows),
        "flops": sum(row.flops for row in rows),
        "activation_bytes": sum(row.activation_bytes for row in rows),
        "bytes_moved": sum(row.bytes_moved for row in rows),
        "share_macs": share(macs, total_macs),
    }
    if block.baselines:
        plain = block.baselines[0]
        made |= {"plain_form": plain.name, "plain_macs": plain.macs}
        if block.params == made["params"]:  # not where another call has the parameters
            made["plain_params"] = plain.params
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
