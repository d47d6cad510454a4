"""What a whole model costs, and how much of it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from costlens.analysis.rows import Row
from costlens.analysis.unknown import reason, unknown_figures, unknown_of
from costlens.cost.cost import ZERO, Cost
from costlens.cost.registry import MOVES, VIEWS
from costlens.ir.graph import Graph, Node
from costlens.ir.ops import channel_axis


@dataclass(frozen=True, slots=True)
class Unknown:
    """One op call whose figures are not all known."""

    layer: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Op calls by what is known of them: ``calls`` = counted + zero + unknown."""

    calls: int
    counted: int
    zero: int
    unknown: tuple[Unknown, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is unknown."""
        return not self.unknown


@dataclass(frozen=True, slots=True)
class Totals:
    """Exact integers; a field named in ``at_least`` is a lower bound, shown as "≥"."""

    params: int
    trainable_params: int
    non_trainable_params: int
    weight_bytes: int
    constant_bytes: int
    macs: int
    macs_valid: int
    flops: int
    flops_folded: int
    activation_bytes: int
    bytes_moved: int
    peak_memory_bytes: int
    layers: int
    at_least: frozenset[str] = frozenset()


def coverage(graph: Graph) -> Coverage:
    """How many op calls are counted, known to cost nothing, or unknown."""
    unknown = [node for node in graph.nodes if unknown_figures(graph, node)]
    free = sum(node.op in VIEWS or node.op in MOVES for node in graph.nodes)
    zero = free - sum(node.op in VIEWS or node.op in MOVES for node in unknown)
    return Coverage(
        calls=len(graph.nodes),
        counted=len(graph.nodes) - zero - len(unknown),
        zero=zero,
        unknown=tuple(Unknown(n.origin.layer, n.op, reason(graph, n)) for n in unknown),
    )


def totals(graph: Graph, costs: Sequence[Cost], rows: Sequence[Row], peak_bytes: int) -> Totals:
    """Sums over rows, weights and constants; ``peak_bytes`` comes from the memory analysis."""
    cost = sum(costs, ZERO)
    params = sum(row.params for row in rows)
    trainable = sum(row.trainable_params for row in rows)
    return Totals(
        params=params,
        trainable_params=trainable,
        non_trainable_params=params - trainable,
        weight_bytes=sum(row.weight_bytes for row in rows),
        constant_bytes=sum(type_.nbytes for type_ in graph.constants.values()),
        macs=cost.macs,
        macs_valid=cost.macs_valid,
        flops=cost.flops,
        flops_folded=cost.flops - folded_saving(graph, costs),
        activation_bytes=sum(row.activation_bytes for row in rows),
        bytes_moved=cost.bytes_moved,
        peak_memory_bytes=peak_bytes,
        layers=len({row.path for row in rows}),
        at_least=_lower_bounds(graph),
    )


def _lower_bounds(graph: Graph) -> frozenset[str]:
    fields = unknown_of(graph, graph.nodes)
    return fields | ({"flops_folded"} if "flops" in fields else frozenset())


def folded_saving(graph: Graph, costs: Sequence[Cost]) -> int:
    """FLOPs that go when every batch normalisation folds into the contraction before it.

    Where the contraction has a bias, all of them; else one addition per element stays, as the
    bias that folding makes.
    """
    cost_of = {node.name: cost for node, cost in zip(graph.nodes, costs, strict=True)}
    saved = 0
    for node in graph.nodes:
        if node.op == "batch_norm":
            bias = _folds(graph, node)
            if bias is not None:
                cost = cost_of[node.name]
                saved += cost.flops if bias else cost.flops - cost.adds
    return saved


def _folds(graph: Graph, node: Node) -> bool | None:
    """Whether the contraction that a batch norm folds into has a bias; None where none does."""
    value, bias = node.operands[0], False
    users: Mapping[str, tuple[Node, ...]] = graph.users
    while True:
        made = graph.producer.get(value)
        if made is None or len(users[value]) != 1 or value in graph.outputs:
            return None
        if made.op in ("conv", "conv_transpose", "einsum"):
            folds = _constant(graph, made.operands[1]) and _on_kernel(graph, made, node)
            return bias if folds else None
        if made.op != "binary" or made.attrs["fn"] != "add" or bias:
            return None
        if not any(_constant(graph, operand) for operand in made.operands[1:]):
            return None
        value, bias = made.operands[0], True


def _on_kernel(graph: Graph, contraction: Node, norm: Node) -> bool:
    """Whether the axis of a batch norm is one that the kernel makes: its channels."""
    axis, rank = norm.attrs["axis"], graph.values[contraction.outputs[0]].rank
    if contraction.op != "einsum":
        return bool(axis == channel_axis(rank, contraction.attrs["channels_last"]))
    operands, output = contraction.attrs["equation"].split("->")
    return output[axis] in operands.split(",")[1]


def _constant(graph: Graph, value: str) -> bool:
    """Whether a value is a weight, or a view of one."""
    while value in graph.producer and graph.producer[value].op in VIEWS:
        value = graph.producer[value].operands[0]
    return value in graph.weights
