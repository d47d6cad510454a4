"""Which rule prices which op, which ops only move data, which are views; and ``price``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from costlens.cost import rules
from costlens.cost.cost import ZERO, Call, Cost
from costlens.errors import GraphError
from costlens.ir.graph import Graph, Node
from costlens.ir.ops import OPS

Rule = Callable[[Call], Cost]


def free(call: Call) -> Cost:
    """Data movement: no arithmetic."""
    return ZERO


RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rules.conv,
        rules.conv_transpose,
        rules.einsum,
        rules.unary,
        rules.binary,
        rules.batch_norm,
        rules.norm,
        rules.softmax,
        rules.reduce,
        rules.cumulative,
        rules.pool,
        rules.adaptive_pool,
        rules.resize,
        rules.scatter,
    )
}
"""Ops with arithmetic, and what it costs."""

MOVES = frozenset(
    "input select transpose concat slice pad gather broadcast rearrange cast fill stack".split()
)
"""Ops that move or make data and compute nothing."""

VIEWS = frozenset(name for name, spec in OPS.items() if spec.storage == "view")
"""Ops that cost nothing at all."""

UNCOUNTED: Mapping[str, frozenset[str]] = {
    "opaque": frozenset({"flops"}),
    "unknown": frozenset({"macs", "macs_valid", "flops", "bytes_moved", "peak_memory_bytes"}),
}
"""Ops whose figures are unknown, and which figures: totals that contain one are lower bounds."""


def price(graph: Graph, rules: Mapping[str, Rule] = RULES) -> tuple[Cost, ...]:
    """The cost of each node, in order, repeats included.

    Bytes: operands read once and results written once, for every node that is neither a view
    nor an epilogue. An op in UNCOUNTED costs what is known of it.
    """
    return tuple(_price(node, graph, rules) for node in graph.nodes)


def _price(node: Node, graph: Graph, rules: Mapping[str, Rule]) -> Cost:
    if node.op in VIEWS or node.repeat == 0:
        return ZERO
    values = graph.values
    operands = tuple([values[v] for v in node.operands])
    outputs = tuple([values[v] for v in node.outputs])
    try:
        cost = rules.get(node.op, free)(Call(operands, outputs, node.attrs))
    except Exception as error:  # a file may say anything of an op
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise GraphError(node.origin.layer, f"its {node.op} has no cost ({what})") from error
    if node.op != "input" and node.name not in graph.epilogues:
        written = sum([t.nbytes for t in outputs])
        read = sum([values[v].nbytes for v in dict.fromkeys(node.operands)])
        # a stack reads the value of every step, and its operand's type is that of one
        cost += Cost(bytes_read=written if node.op == "stack" else read, bytes_written=written)
    return cost * node.repeat
