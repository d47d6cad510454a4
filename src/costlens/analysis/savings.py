"""What the blocks of a model save together: alike ones as one line, and the model re-priced.

A figure of several blocks comes from all their plain forms spliced in at once and priced again;
savings are never summed, since blocks may lie within each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from costlens.analysis.blocks import Block
from costlens.analysis.figures import Figures, figures
from costlens.ir.edit import agreeing, splice, subgraph
from costlens.ir.graph import Graph
from costlens.motifs.catalogue import MOTIFS


@dataclass(frozen=True, slots=True)
class Plain:
    """Several blocks in one plain form, priced together."""

    name: str
    cost: Figures
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Blocks of one motif and of the same inner sizes, as one."""

    motif: str
    paths: tuple[str, ...]
    cost: Figures
    baselines: tuple[Plain, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """The whole model with all blocks of a motif in one plain form; ``blocks`` is how many."""

    motif: str
    blocks: int
    baseline: Plain


@dataclass(frozen=True)
class Savings:
    """The savings of a model's blocks, each figure computed when it is first read.

    Linear in the graph for each motif and plain form.
    """

    graph: Graph
    blocks: Sequence[Block]

    @cached_property
    def model(self) -> Figures:
        """The model as it is."""
        return figures(self.graph)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Lines of alike blocks."""
        alike: dict[tuple[object, ...], list[Block]] = {}
        for block in self.blocks:
            alike.setdefault(_kind(block), []).append(block)
        order = {node.name: index for index, node in enumerate(self.graph.nodes)}
        return tuple(_line(self.graph, order, same) for same in alike.values())

    @cached_property
    def totals(self) -> tuple[Total, ...]:
        """The model under each plain form."""
        return tuple(
            Total(motif.id, count, plain)
            for motif in MOTIFS
            if (same := [block for block in self.blocks if block.motif == motif.id])
            for plain, count in _plains(self.graph, same)
        )

    @cached_property
    def every(self) -> Total | None:
        """The model under all plain forms at once.

        Blocks that share no node, the largest first and gates aside, in the plain form that takes
        the fewest MACs, so that it flatters no block.
        """
        return _every(self.graph, self.blocks)


_VARIES = frozenset({"in_channels", "stride", "multiplier"})


def _kind(block: Block) -> tuple[object, ...]:
    """What two blocks have in common that stand on one line."""
    sizes = tuple(item for item in block.sizes.items() if item[0] not in _VARIES)
    return (block.motif, sizes, tuple(_names(block)))


def _line(graph: Graph, order: Mapping[str, int], same: Sequence[Block]) -> Line:
    nodes = {node.name: node for block in same for node in block.nodes}
    part = subgraph(graph, sorted(nodes.values(), key=lambda node: order[node.name]))
    paths = tuple(block.path for block in same)
    return Line(
        same[0].motif, paths, figures(part), tuple(plain for plain, _ in _plains(part, same))
    )


def _plains(part: Graph, same: Sequence[Block]) -> list[tuple[Plain, int]]:
    """The part with all these blocks in each of their plain forms, and how many have it."""
    widest = sorted(same, key=lambda block: -len(block.baselines))
    names = dict.fromkeys(name for block in widest for name in _names(block))
    made = []
    for name in names:
        chosen = [plain for block in same for plain in block.baselines if plain.name == name]
        patches = agreeing(plain.patch for plain in chosen)
        made.append((Plain(name, figures(splice(part, patches)), chosen[0].note), len(patches)))
    return made


def _names(block: Block) -> list[str]:
    return [plain.name for plain in block.baselines]


def _every(graph: Graph, blocks: Sequence[Block]) -> Total | None:
    taken: set[str] = set()
    chosen = []
    for block in sorted(blocks, key=lambda block: -len(block.nodes)):
        if not block.baselines or block.motif == "channel_attention":
            continue
        names = [node.name for node in block.nodes]
        if taken.isdisjoint(names):
            taken.update(names)
            chosen.append(min(block.baselines, key=lambda plain: plain.macs).patch)
    if not chosen:
        return None
    plain = Plain("each block in its cheapest plain form", figures(splice(graph, chosen)))
    return Total("", len(chosen), plain)
