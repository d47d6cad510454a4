"""What a whole model costs, and how much of it is known."""

from __future__ import annotations

from collections.abc import Sequence
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
    training_macs: int | None = None


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
        at_least=_lower_bounds(graph).union(*(row.at_least & _STEP for row in rows)),
        training_macs=_training(rows),
    )


_STEP = frozenset({"training_macs"})


def _training(rows: Sequence[Row]) -> int | None:
    known = [row.training_macs for row in rows if row.training_macs is not None]
    return sum(known) if known else None


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
    """Whether the contraction that a batch norm folds into has a bias; None where none does.

    Views that keep the shape stand between them without harm; a norm before this one that folds
    leaves a bias.
    """
    value, bias = node.operands[0], False
    while True:
        made = graph.producer.get(value)
        if made is None or not _read_once(graph, value):
            return None
        if made.op in ("conv", "conv_transpose", "einsum"):
            folds = _own_weight(graph, made.operands[1]) and _scales_kernel(graph, made, node)
            return bias if folds else None
        if made.op == "batch_norm":
            same = made.attrs["axis"] == node.attrs["axis"]
            return True if same and _folds(graph, made) is not None else None
        if made.op == "binary" and made.attrs["fn"] == "add" and not bias:
            if not any(_own_weight(graph, operand) for operand in made.operands[1:]):
                return None
            bias = True
        elif made.op != "identity":
            return None
        value = made.operands[0]


def _scales_kernel(graph: Graph, contraction: Node, norm: Node) -> bool:
    """Whether a batch norm runs along an axis that comes from the kernel."""
    axis, rank = norm.attrs["axis"], graph.values[contraction.outputs[0]].rank
    if contraction.op != "einsum":
        return bool(axis == channel_axis(rank, contraction.attrs["channels_last"]))
    operands, output = contraction.attrs["equation"].split("->")
    return output[axis] in operands.split(",")[1]


def _read_once(graph: Graph, value: str) -> bool:
    return len(graph.users.get(value, ())) == 1 and value not in graph.outputs


def _own_weight(graph: Graph, value: str) -> bool:
    """Whether a value is a weight, or a view of one, that nothing else reads."""
    while value in graph.producer and graph.producer[value].op in VIEWS:
        if not _read_once(graph, value):
            return False
        value = graph.producer[value].operands[0]
    return value in graph.weights and _read_once(graph, value)
