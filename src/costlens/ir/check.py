"""Every invariant of a graph, in one function."""

from __future__ import annotations

from costlens.errors import GraphError
from costlens.ir.graph import Graph, Node
from costlens.ir.ops import OPS


def check(graph: Graph) -> Graph:
    """Return the graph unchanged, or raise GraphError naming the first broken invariant.

    Values are defined before use and exactly once; every op is known, with the operand count
    and attributes that it declares; every output type is the one that its op infers; repeats
    and dimensions are not negative; weights and constants are values of the same type.
    """
    defined = set(graph.weights) | set(graph.constants)
    for value in defined:
        _require(value in graph.values, value, "has no type")
    names: set[str] = set()
    for node in graph.nodes:
        _require(node.name not in names, node.name, "two nodes have this name")
        names.add(node.name)
        _check_node(graph, node, defined)
        for value in node.outputs:
            _require(value not in defined, node.name, f"defines {value} again")
            defined.add(value)
    for value in (*graph.inputs, *graph.outputs):
        _require(value in defined, value, "is a border value that nothing defines")
    for key, constant in graph.constants.items():
        _require(graph.values[key] == constant, key, "has two types")
    for origin, returned in graph.returns.items():
        for value in returned:
            _require(value in defined, origin.layer, f"returns {value}, which nothing defines")
    for key, weight in graph.weights.items():
        _require(key == weight.id, key, "is a weight under another id")
        _require(graph.values[key] == weight.type, key, "has two types")
    return graph


def _check_node(graph: Graph, node: Node, defined: set[str]) -> None:
    spec = OPS.get(node.op)
    _require(spec is not None, node.name, f"has the unknown op {node.op!r}")
    assert spec is not None
    count = len(node.operands)
    _require(spec.least <= count, node.name, f"has too few operands ({count})")
    _require(spec.most is None or count <= spec.most, node.name, f"has {count} operands")
    _require(node.repeat >= 0, node.name, "has a negative repeat")
    for attr in spec.attrs:
        _require(attr in node.attrs, node.name, f"lacks the attribute {attr!r}")
    for attr in node.attrs:
        _require(attr in spec.attrs or attr in spec.optional, node.name, f"has no {attr!r}")
    for value in node.operands:
        _require(value in defined, node.name, f"reads {value} before it exists")
    try:
        types = spec.infer(tuple(graph.values[v] for v in node.operands), node.attrs)
    except ValueError as error:
        raise GraphError(node.name, str(error)) from error
    for value in node.outputs:
        _require(value in graph.values, value, "has no type")
    found = tuple(graph.values[v] for v in node.outputs)
    _require(all(n >= 0 for t in found for n in t.shape), node.name, "has a negative dimension")
    _require(types == found, node.name, f"has outputs {found}, and infers {types}")


def _require(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise GraphError(where, what)
