"""What a part of a graph costs, in the figures that a block and its plain form are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from costlens.analysis.rows import calls, leaving, written
from costlens.analysis.storage import roots
from costlens.analysis.unknown import unknown_of
from costlens.cost.cost import ZERO
from costlens.cost.registry import price
from costlens.ir.edit import BORDER
from costlens.ir.graph import Graph
from costlens.motifs.skeleton import nonlinear


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over a part: counts, sizes in bytes, and ``depth``, the most non-linearities on a way
    through it. ``at_least`` names the lower bounds."""

    params: int
    weight_bytes: int
    macs: int
    macs_valid: int
    flops: int
    activation_bytes: int
    bytes_moved: int
    depth: int
    at_least: frozenset[str] = frozenset()

    @property
    def depth_per_gmac(self) -> float | None:
        """Non-linearities for 10⁹ MACs, rounded to 3 places."""
        return round(self.depth * 10**9 / self.macs, 3) if self.macs else None

    @property
    def intensity(self) -> float:
        """FLOPs per byte moved, rounded to 6 places (Williams, Waterman & Patterson 2009)."""
        return round(self.flops / self.bytes_moved, 6) if self.bytes_moved else 0.0


_NAMES = frozenset(field.name for field in fields(Figures))


def figures(graph: Graph) -> Figures:
    """The figures of a graph; the inputs of a part belong to what stands around it."""
    cost = sum(price(graph), ZERO)
    weights = graph.weights.values()
    return Figures(
        params=sum(weight.params for weight in weights),
        weight_bytes=sum(weight.type.nbytes for weight in weights),
        macs=cost.macs,
        macs_valid=cost.macs_valid,
        flops=cost.flops,
        activation_bytes=activation_bytes(graph),
        bytes_moved=cost.bytes_moved,
        depth=depth(graph),
        at_least=unknown_of(graph, graph.nodes) & _NAMES,
    )


def activation_bytes(graph: Graph) -> int:
    """Bytes of what each layer call gives, as the rows have it, without those of a border."""
    root, outputs, total = roots(graph), set(graph.outputs), 0
    for origin, indices in calls(graph).items():
        if origin.kind != BORDER:
            nodes = [graph.nodes[i] for i in indices]
            inside = {value for node in nodes for value in node.outputs}
            given = leaving(graph, nodes, outputs)
            total += written(graph, [v for v in given if root[v] in inside], root)
    return total


def depth(graph: Graph) -> int:
    """The most non-linearities on a way from an input to an output."""
    so_far: dict[str, int] = {}
    for node in graph.nodes:
        most = max((so_far.get(value, 0) for value in node.operands), default=0)
        for value in node.outputs:
            so_far[value] = most + nonlinear(node)
    return max((so_far.get(value, 0) for value in graph.outputs), default=0)


def ratio(plain: int, block: int) -> float | None:
    """How many times as much the plain form takes, to 6 places; None where a block takes none."""
    return round(plain / block, 6) if block else None


def saved(plain: int, block: int) -> float | None:
    """The share of the plain form's figure that a block saves (negative: it takes more)."""
    return round(1 - block / plain, 6) if plain else None


def worse(own: Figures, plain: Figures) -> Mapping[str, float]:
    """What a block takes over half a percent more of than its plain form, and how much more."""
    found = {}
    for field, words in _WEIGHED.items():
        share = saved(getattr(plain, field), getattr(own, field))
        if share is not None and share < -0.005:
            found[words] = -share
    return found


_WEIGHED = {"params": "parameters", "macs": "MACs", "bytes_moved": "memory traffic"}
