"""A block beside one of its plain forms, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costlens.analysis.blocks import Baseline
from costlens.analysis.rows import Row, rows
from costlens.cost.registry import price
from costlens.ir.edit import BORDER, splice, subgraph
from costlens.ir.graph import Graph, Node
from costlens.ir.types import Shape

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Side:
    """A layer call as it is on one side, and the shape of its largest kernel (None: no kernel)."""

    row: Row
    kernel: Shape | None


@dataclass(frozen=True, slots=True)
class Change:
    """A layer call in a block and in a plain form of it; None where it is not there."""

    path: str
    before: Side | None
    after: Side | None

    @property
    def kind(self) -> str:
        """``kept``, ``changed``, ``gone`` or ``new``."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        return "kept" if _figures(self.before.row) == _figures(self.after.row) else "changed"


def counterfactual(graph: Graph, nodes: Sequence[Node], baseline: Baseline) -> tuple[Change, ...]:
    """The layer calls of a block (its nodes) and of its plain form, in execution order."""
    part = subgraph(graph, nodes)
    before, after = _sides(part), _sides(splice(part, [baseline.patch]))
    keys = _merged(list(before), list(after))
    return tuple(Change(key[0], before.get(key), after.get(key)) for key in keys)


def _merged(before: list[_Key], after: list[_Key]) -> list[_Key]:
    """Both orders as one: what is new stands before what follows it in its own order."""
    old, ahead, waiting = set(before), dict[_Key, list[_Key]](), list[_Key]()
    for key in after:
        if key in old:
            ahead[key], waiting = waiting, []
        else:
            waiting.append(key)
    return [each for key in before for each in (*ahead.get(key, ()), key)] + waiting


def _sides(graph: Graph) -> dict[_Key, Side]:
    kernels: dict[_Key, Shape] = {}
    for node in graph.nodes:
        if node.op in ("conv", "conv_transpose", "einsum"):
            key = (node.origin.layer, node.origin.call)
            shape = graph.values[node.operands[1]].shape
            kernels[key] = max(kernels.get(key, ()), shape, key=len)
    found = rows(graph, price(graph))
    return {
        (row.path, row.call): Side(row, kernels.get((row.path, row.call)))
        for row in found
        if row.type != BORDER
    }


def _figures(row: Row) -> tuple[object, ...]:
    return row.params, row.macs, row.flops, row.bytes_moved, row.activation_bytes
