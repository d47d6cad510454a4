"""Pure edits of a graph: splice other nodes in between values of the same types, cut a part out.

A splice says what takes a value's place; what nothing reads any more goes by itself, with the
weights that only it read. A graph is never changed: every edit returns a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from costlens.errors import GraphError
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.types import TensorType

BORDER = "border"
"""The kind of the origin of a part's inputs, which belong to what stands around it."""


@dataclass(frozen=True, slots=True)
class Patch:
    """New nodes, each before an old one (by name), and the values that take others' places.

    ``values`` and ``weights`` hold what the new nodes bring along; ``replace`` maps a value to
    the one of the same type that is read in its place.
    """

    add: tuple[tuple[str, Node], ...] = ()
    values: Mapping[str, TensorType] = field(default_factory=dict)
    weights: Mapping[str, Weight] = field(default_factory=dict)
    replace: Mapping[str, str] = field(default_factory=dict)


def splice(graph: Graph, patches: Iterable[Patch]) -> Graph:
    """The graph with all patches applied at once; what two of them add alike is added once.

    Raises GraphError where a value would be replaced by one of another type, or where two
    patches add different nodes of one name.
    """
    values, weights = dict(graph.values), dict(graph.weights)
    replace: dict[str, str] = {}
    before: dict[str, list[Node]] = {}
    added: dict[str, Node] = {}
    for patch in patches:
        values.update(patch.values)
        weights.update(patch.weights)
        replace.update(patch.replace)
        for anchor, node in patch.add:
            if added.setdefault(node.name, node) != node:
                raise GraphError(node.name, "two patches add nodes of this name")
            if added[node.name] is node:
                before.setdefault(anchor, []).append(node)
    for old in replace:
        new = _resolved(old, replace)
        if values[old] != values[new]:
            raise GraphError(old, f"is {values[old]}, and would be replaced by {values[new]}")
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += [_reading(new, replace) for new in before.get(node.name, ())]
        nodes.append(_reading(node, replace))
    outputs = tuple(_resolved(value, replace) for value in graph.outputs)
    return _pruned(graph, nodes, outputs, values, weights, replace)


def agreeing(patches: Iterable[Patch]) -> list[Patch]:
    """The patches that can be applied at once: the first of those that differ on something."""
    nodes: dict[str, Node] = {}
    replace: dict[str, str] = {}
    kept = []
    for patch in patches:
        if all(nodes.get(node.name, node) == node for _, node in patch.add) and all(
            replace.get(old, new) == new for old, new in patch.replace.items()
        ):
            nodes.update((node.name, node) for _, node in patch.add)
            replace.update(patch.replace)
            kept.append(patch)
    return kept


def _resolved(value: str, replace: Mapping[str, str]) -> str:
    while value in replace:
        value = replace[value]
    return value


def _reading(node: Node, replace: Mapping[str, str]) -> Node:
    """The node, reading what has taken its operands' places."""
    if not any(value in replace for value in node.operands):
        return node
    operands = tuple(_resolved(value, replace) for value in node.operands)
    return Node(
        node.name, node.op, operands, node.outputs, node.attrs, node.scope, node.repeat, node.origin
    )


def _pruned(
    graph: Graph,
    nodes: Sequence[Node],
    outputs: tuple[str, ...],
    values: Mapping[str, TensorType],
    weights: Mapping[str, Weight],
    replace: Mapping[str, str],
) -> Graph:
    """Without the nodes and weights that were read and are not any more."""
    read = {value for node in graph.nodes for value in node.operands} | set(graph.outputs)
    ends = {
        node.name
        for node in graph.nodes
        if node.op == "input" or not any(value in read for value in node.outputs)
    }
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if node.name in ends or not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed.update(node.operands)
    kept.reverse()
    held = {key: w for key, w in weights.items() if key in needed or key not in read}
    constants = {k: t for k, t in graph.constants.items() if k in needed or k not in read}
    made = {value for node in kept for value in node.outputs}
    returns = {
        origin: given
        for origin, found in graph.returns.items()
        if made.issuperset(given := tuple(_resolved(value, replace) for value in found))
    }
    return Graph(
        graph.name,
        graph.inputs,
        outputs,
        tuple(kept),
        {value: values[value] for value in (*made, *held, *constants)},
        held,
        constants,
        graph.notes,
        returns,
    )


def subgraph(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """The part of a graph that these nodes are, in execution order, as a graph of its own.

    What they read from outside is its inputs, what others read of them (and what nobody reads)
    its outputs. Linear in the part.
    """
    picked = {node.name for node in nodes}
    made = {value for node in nodes for value in node.outputs}
    read = dict.fromkeys(value for node in nodes for value in node.operands if value not in made)
    weights = {value: graph.weights[value] for value in read if value in graph.weights}
    constants = {value: graph.constants[value] for value in read if value in graph.constants}
    inputs = [value for value in read if value not in weights and value not in constants]
    border = [_border(value, graph.values[value]) for value in inputs]
    ends = set(graph.outputs)
    outputs = tuple(
        value
        for node in nodes
        for value in node.outputs
        if value in ends
        or not (users := graph.users.get(value))
        or any(user.name not in picked for user in users)
    )
    return Graph(
        graph.name,
        tuple(inputs),
        outputs,
        (*border, *nodes),
        {value: graph.values[value] for value in (*read, *made)},
        weights,
        constants,
        returns={
            origin: given
            for origin in dict.fromkeys(node.origin for node in nodes)
            if made.issuperset(given := graph.returns.get(origin, ())) and given
        },
    )


def _border(value: str, type_: TensorType) -> Node:
    attrs = {"shape": type_.shape, "dtype": type_.dtype}
    origin = Origin(BORDER, value, 1)
    return Node(f"{BORDER} {value}", "input", (), (value,), attrs, (), 1, origin)
