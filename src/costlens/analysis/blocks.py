"""The blocks of a model, each beside its plain forms.

A plain form is spliced into the block's part of the graph and priced by the same rules: the same
border shapes, not the same accuracy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from costlens.analysis.figures import Figures, figures, ratio, worse
from costlens.ir.edit import Patch, splice, subgraph
from costlens.ir.graph import Graph, Node
from costlens.motifs.catalogue import MOTIFS, forms
from costlens.motifs.match import Found, Match, region
from costlens.motifs.skeleton import Skeleton


@dataclass(frozen=True)
class Part:
    """A part of a model, priced when its figures are first read."""

    graph: Graph

    @cached_property
    def cost(self) -> Figures:
        return figures(self.graph)


@dataclass(frozen=True)
class Baseline:
    """A plain form of a part, spliced in and priced when its figures are first read."""

    name: str
    part: Part
    note: str
    patch: Patch

    @cached_property
    def cost(self) -> Figures:
        return figures(splice(self.part.graph, [self.patch]))

    @property
    def own(self) -> Figures:
        """The figures of what the plain form stands for."""
        return self.part.cost

    @property
    def params(self) -> int:
        return self.cost.params

    @property
    def macs(self) -> int:
        return self.cost.macs

    @property
    def macs_ratio(self) -> float | None:
        """How many times as many MACs it takes."""
        return ratio(self.macs, self.own.macs)

    @property
    def params_ratio(self) -> float | None:
        """How many times as many parameters it has."""
        return ratio(self.params, self.own.params)


@dataclass(frozen=True)
class Block:
    """A match with its figures and plain forms.

    ``path`` labels it, ``layers`` are the layers that it is made of, ``parts`` those of each part,
    ``sizes`` what its formula speaks of; ``nodes`` are its op calls, in execution order.
    """

    motif: str
    path: str
    layers: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, int]
    part: Part
    baselines: tuple[Baseline, ...]
    nodes: tuple[Node, ...]
    match: Match

    @property
    def cost(self) -> Figures:
        return self.part.cost

    @property
    def params(self) -> int:
        return self.cost.params

    @property
    def macs(self) -> int:
        return self.cost.macs

    @cached_property
    def note(self) -> str:
        """What the block takes more of than a plain form of it, in a sentence each."""
        return _worse(self.cost, self.baselines)


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A block that was looked for and is none."""

    motif: str
    path: str
    reason: str


def blocks(k: Skeleton, found: Found) -> tuple[Block, ...]:
    """All blocks, by motif in the order of the catalogue, then in execution order."""
    matches = [match for motif in MOTIFS for match in found.matches.get(motif.id, ())]
    paths = labels(k, matches)
    return tuple(_block(k, match, path) for match, path in zip(matches, paths, strict=True))


def _block(k: Skeleton, match: Match, path: str) -> Block:
    nodes = region(k, match)
    part = Part(subgraph(k.graph, nodes))
    made = tuple(Baseline(form.name, part, form.note, form.patch) for form in forms(k, match))
    return Block(
        motif=match.motif,
        path=path,
        layers=tuple(dict.fromkeys(node.origin.layer for node in nodes)),
        parts={name: _layers(k, units) for name, units in match.parts.items() if units},
        sizes=match.sizes,
        part=part,
        baselines=made,
        nodes=nodes,
        match=match,
    )


def _layers(k: Skeleton, units: Sequence[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(k.units[at].node.origin.layer for at in units))


def _worse(own: Figures, made: Sequence[Baseline]) -> str:
    """What a block takes more of than a plain form of it, in a sentence each."""
    found = []
    for plain in made:
        more = [f"{words} (+{100 * n:,.0f} %)" for words, n in worse(own, plain.cost).items()]
        if more:
            found.append(f"Takes more {', '.join(more)} than {plain.name}.")
    return " ".join(found)


def labels(k: Skeleton, matches: Sequence[Match]) -> list[str]:
    """A name for each match: what the names of its layers have in common where nothing else has
    it, else the layer that it ends with."""
    paths = sorted(unit.node.origin.layer for unit in k.mixes)
    made = []
    for match in matches:
        own = [k.units[at].node.origin.layer for at in match.units if k.units[at].kind == "mix"]
        prefix = _common(own)
        if prefix and _beginning(paths, prefix, len(own) + 1) == len(own):
            made.append(prefix)
        elif len(own) == len(paths):  # the block is the model
            made.append(k.graph.name)
        else:
            made.append(k.units[match.ends[-1]].node.origin.layer)
    return _distinct(made, [match.motif for match in matches])


def _common(paths: Sequence[str]) -> str:
    """What paths have in common, up to where a part of a name ends."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*paths, strict=False))
    prefix = "".join(letters[0] for letters in same)
    if all(len(path) == len(prefix) for path in paths):
        return prefix
    cut = max(prefix.rfind(mark) for mark in "/_-. ")
    return prefix[: max(0, cut)].rstrip("/_-. ")


def _beginning(paths: Sequence[str], prefix: str, most: int) -> int:
    """How many of the sorted paths are in this prefix's family, counted up to ``most``."""
    count = 0
    for path in paths[bisect_left(paths, prefix) :]:
        if count == most or not path.startswith(prefix):
            break
        count += not path[len(prefix) : len(prefix) + 1].isalnum()
    return count


def _distinct(labels_: Sequence[str], motifs: Sequence[str]) -> list[str]:
    """The same labels, numbered where a motif has one twice (a layer called twice)."""
    seen: Counter[tuple[str, str]] = Counter()
    made = []
    for label, motif in zip(labels_, motifs, strict=True):
        seen[label, motif] += 1
        count = seen[label, motif]
        made.append(label if count == 1 else f"{label}#{count}")
    return made


def misses(k: Skeleton, found: Found) -> Iterator[NearMiss]:
    """The near misses, by layer."""
    for miss in found.misses:
        origin = k.units[miss.unit].node.origin
        path = origin.layer if origin.call <= 1 else f"{origin.layer}#{origin.call}"
        yield NearMiss(miss.motif, path, miss.reason)
