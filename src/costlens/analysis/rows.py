"""One row per call of a leaf layer or operation; every additive column sums to the totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from costlens.analysis.storage import roots
from costlens.analysis.unknown import reason, unknown_of
from costlens.cost.cost import ZERO, Cost
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.types import Shape


@dataclass(frozen=True, slots=True)
class Part:
    """One op call inside a row, with its cost over all repeats."""

    name: str
    op: str
    repeat: int
    macs: int
    flops: int
    bytes_moved: int


@dataclass(frozen=True, slots=True)
class Row:
    """One call of a leaf: sizes in elements and bytes, counts as exact integers.

    ``scope`` holds the container names; ``call`` is 1 for the first use and 0 for a layer that
    the model holds and never calls. ``shared`` marks a use whose weights stand on another row.
    ``training_macs`` are those of a training step, where one was traced.
    ``at_least`` names the figures that are lower bounds, and ``unknown`` says why.
    """

    path: str
    type: str
    call: int
    scope: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    dtype: str
    params: int
    trainable_params: int
    weight_bytes: int
    macs: int
    macs_valid: int
    flops: int
    activation_bytes: int
    bytes_moved: int
    shared: bool
    at_least: frozenset[str]
    unknown: tuple[str, ...]
    ops: tuple[Part, ...]
    training_macs: int | None = None


def with_training(rows: Sequence[Row], step: Graph, costs: Sequence[Cost]) -> tuple[Row, ...]:
    """The rows, each with the MACs of its part of a traced and priced training step.

    What only training computes stands in rows of its own, which cost nothing else.
    """
    groups = {(origin.layer, origin.call): found for origin, found in calls(step).items()}

    def trained(row: Row) -> Row:
        found = groups.pop((row.path, row.call), [])
        unknown = unknown_of(step, [step.nodes[i] for i in found])
        bounds = row.at_least | ({"training_macs"} if "macs" in unknown else set())
        return replace(row, training_macs=sum(costs[i].macs for i in found), at_least=bounds)

    made = [trained(row) for row in rows]
    for path, call in list(groups):
        extra = trained(replace(_uncalled(path, ()), type="training only", call=call))
        if extra.training_macs or extra.at_least:
            made.append(extra)
    return tuple(made)


def rows(graph: Graph, costs: Sequence[Cost]) -> tuple[Row, ...]:
    """The rows of a priced graph, in execution order; layers never called stand last."""
    groups = calls(graph)
    owned: dict[str, list[Weight]] = {}
    for weight in graph.weights.values():
        owned.setdefault(weight.owner, []).append(weight)
    root, outputs = roots(graph), set(graph.outputs)
    made = []
    for origin, indices in groups.items():
        nodes = [graph.nodes[i] for i in indices]
        weights = owned.pop(origin.layer, []) if origin.call == 1 else []
        made.append(_row(graph, origin, nodes, [costs[i] for i in indices], weights, root, outputs))
    made.extend(_uncalled(path, weights) for path, weights in owned.items())
    return tuple(made)


def calls(graph: Graph) -> Mapping[Origin, list[int]]:
    """The indices of the nodes of each layer call, in execution order."""
    groups: dict[Origin, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        groups.setdefault(node.origin, []).append(index)
    return groups


def _row(
    graph: Graph,
    origin: Origin,
    nodes: Sequence[Node],
    costs: Sequence[Cost],
    weights: Sequence[Weight],
    root: Mapping[str, str],
    outputs: set[str],
) -> Row:
    inside = {value for node in nodes for value in node.outputs}
    reads = dict.fromkeys(v for node in nodes for v in node.operands)
    taken = [v for v in reads if v in graph.producer and v not in inside]
    given = leaving(graph, nodes, outputs)
    cost = sum(costs, ZERO)
    uses_weights = any(v in graph.weights for v in reads)
    return Row(
        path=origin.layer,
        type=origin.kind,
        call=origin.call,
        scope=_containers(nodes[0], origin),
        input_shapes=tuple(graph.values[v].shape for v in taken),
        output_shapes=tuple(graph.values[v].shape for v in given),
        dtype=graph.values[given[0]].dtype if given else "",
        params=sum(w.params for w in weights),
        trainable_params=sum(w.params for w in weights if w.trainable),
        weight_bytes=sum(w.type.nbytes for w in weights),
        macs=cost.macs,
        macs_valid=cost.macs_valid,
        flops=cost.flops,
        activation_bytes=written(graph, [v for v in given if root[v] in inside], root),
        bytes_moved=cost.bytes_moved,
        shared=uses_weights and not weights,
        at_least=unknown_of(graph, nodes),
        unknown=tuple(dict.fromkeys(filter(None, (reason(graph, node) for node in nodes)))),
        ops=tuple(
            Part(node.name, node.op, node.repeat, c.macs, c.flops, c.bytes_moved)
            for node, c in zip(nodes, costs, strict=True)
        ),
    )


def written(graph: Graph, values: Sequence[str], root: Mapping[str, str]) -> int:
    """Bytes of these values; those that share a buffer count once."""
    sizes: dict[str, int] = {}
    for value in values:
        sizes[root[value]] = max(sizes.get(root[value], 0), graph.values[value].nbytes)
    return sum(sizes.values())


def leaving(graph: Graph, nodes: Sequence[Node], outputs: set[str]) -> tuple[str, ...]:
    """The values that leave a row: what the call returns, where that is known; else what is read
    outside it, a model output, or read by nobody."""
    origin, users = nodes[0].origin, graph.users
    return graph.returns.get(origin) or tuple(
        value
        for node in nodes
        for value in node.outputs
        if not users.get(value)
        or value in outputs
        or any(user.origin != origin for user in users[value])
    )


def _containers(node: Node, origin: Origin) -> tuple[str, ...]:
    """The names of the containers around a layer; a node's scope begins with them."""
    depth, text = 0, ""
    while depth < len(node.scope) and text != origin.layer:
        text = f"{text}/{node.scope[depth]}" if depth else node.scope[0]
        depth += 1
    return node.scope[: max(0, depth - 1)]


def _uncalled(path: str, weights: Sequence[Weight]) -> Row:
    return Row(
        path=path,
        type="not called",
        call=0,
        scope=(),
        input_shapes=(),
        output_shapes=(),
        dtype="",
        params=sum(w.params for w in weights),
        trainable_params=sum(w.params for w in weights if w.trainable),
        weight_bytes=sum(w.type.nbytes for w in weights),
        macs=0,
        macs_valid=0,
        flops=0,
        activation_bytes=0,
        bytes_moved=0,
        shared=False,
        at_least=frozenset(),
        unknown=(),
        ops=(),
    )
