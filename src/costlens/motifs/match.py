"""What finding a motif gives: matches, near misses, and the questions that several motifs ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from costlens.ir.edit import Patch
from costlens.ir.graph import Node
from costlens.motifs.skeleton import Link, Skeleton, Unit


@dataclass(frozen=True, slots=True)
class Match:
    """One block: its units by part, the sizes that its formula speaks of, and its last units."""

    motif: str
    parts: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    ends: tuple[int, ...]

    @property
    def units(self) -> tuple[int, ...]:
        """All units of the block, in execution order."""
        return tuple(sorted({index for part in self.parts.values() for index in part}))

    def one(self, part: str) -> int | None:
        """The unit of a part that has one; None where the block has no such part."""
        return self.parts[part][0] if self.parts.get(part) else None


@dataclass(frozen=True, slots=True)
class Miss:
    """A near miss: the unit at which a block was looked for, and why it is none."""

    motif: str
    unit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Form:
    """A plain form of a block: its name, the patch that puts it in place, what to know of it."""

    name: str
    patch: Patch
    note: str = ""


@dataclass(slots=True)
class Found:
    """What has been found so far: matches by motif, and which units they hold."""

    matches: dict[str, list[Match]] = field(default_factory=dict)
    misses: list[Miss] = field(default_factory=list)
    claims: dict[int, list[Match]] = field(default_factory=dict)

    def add(self, found: Match | Miss) -> None:
        """Take in a match or a near miss."""
        if isinstance(found, Miss):
            self.misses.append(found)
            return
        self.matches.setdefault(found.motif, []).append(found)
        for index in found.units:
            self.claims.setdefault(index, []).append(found)

    def claimed(self, unit: Unit, *motifs: str) -> bool:
        """Whether a unit belongs to a block of one of these motifs (of any, where none given)."""
        held = self.claims.get(unit.index, ())
        return any(match.motif in motifs or not motifs for match in held)


Finder = Callable[[Skeleton, Found], Iterator[Match | Miss]]
Former = Callable[[Skeleton, Match], Iterator[Form]]
Resizer = Callable[[Skeleton, Match, int], Patch]


@dataclass(frozen=True, slots=True)
class Motif:
    """A block family. ``says`` is what it is recognised by, beyond its chain of ops; ``resize``
    gives the block at another inner width, where that is a thing to choose."""

    id: str
    title: str
    says: str
    paper: str
    find: Finder
    forms: Former
    resize: Resizer | None = None


def is_pointwise(unit: Unit | None) -> bool:
    """Whether a unit is a 1×1."""
    return unit is not None and unit.mix is not None and unit.mix.pointwise


def is_full(unit: Unit | None) -> bool:
    """Whether a unit is a k×k that mixes channels too."""
    return unit is not None and unit.mix is not None and unit.mix.full


def is_depthwise(unit: Unit | None) -> bool:
    """Whether a unit is a k×k that keeps channels apart."""
    return unit is not None and unit.mix is not None and unit.mix.depthwise


def all_activated(k: Skeleton, unit: Unit) -> bool:
    """Whether everyone who reads a unit reads it through an activation."""
    uses = k.uses[unit.index]
    return bool(uses) and all(link.activated for _, link in uses)


class Next(NamedTuple):
    """The one unit that reads another, gates aside: whether through an activation, the units of
    the gates, and the unit that it reads (a gate's product, or the first one itself)."""

    unit: Unit | None
    activated: bool
    gate: tuple[int, ...]
    last: Unit


def following(k: Skeleton, unit: Unit) -> Next:
    """Who reads a unit. A gate is a product with something that depends on nothing but the unit
    (squeeze-and-excitation, CBAM, ECA); it stands between a unit and its reader."""
    activated, gates = False, list[int]()
    while (gate := _gate(k, unit)) is not None:
        product, inside = gate
        activated |= any(link.activated for i, link in k.uses[unit.index] if i == product.index)
        gates += [*inside, product.index]
        unit = product
    uses = k.uses[unit.index]
    if len(uses) != 1:
        return Next(None, activated, tuple(gates), unit)
    return Next(k.units[uses[0][0]], activated or uses[0][1].activated, tuple(gates), unit)


def _gate(k: Skeleton, unit: Unit, most: int = 24) -> tuple[Unit, tuple[int, ...]] | None:
    """The product by which a unit is gated with itself, and what stands on the way to it."""
    for index, _ in reversed(k.uses[unit.index]):
        product = k.units[index]
        if product.kind != "multiply" or k.entries[index] != unit.index:
            continue
        if all(link.source != unit.index for link in product.links):
            continue
        inside, todo = set[int](), [link.source for link in product.links]
        while todo and len(inside) < most:
            at = todo.pop()
            if at != unit.index and at not in inside:
                inside.add(at)
                todo += [link.source for link in k.units[at].links]
        held = inside | {index}
        if all(i in held for at in (unit.index, *inside) for i, _ in k.uses[at]):
            return product, tuple(sorted(inside))
    return None


def residual(k: Skeleton, add: Unit | None, branch: Unit, start: int) -> tuple[int, ...] | None:
    """The units of the shortcut around a branch from ``start`` that ends in an addition.

    An identity has none; None where the addition takes something else, or is none.
    """
    if add is None or add.kind != "add" or len(add.links) != 2:
        return None
    for mine, other in (add.links, add.links[::-1]):
        if mine.source == branch.index:
            return shortcut(k, other, start)
    return None


def shortcut(k: Skeleton, link: Link, start: int, most: int = 4) -> tuple[int, ...] | None:
    """The units from ``start`` to a link by convolutions and pools alone; None if it is not so."""
    path: list[int] = []
    while link.source != start:
        unit = k.units[link.source]
        if len(path) == most or unit.kind not in ("mix", "pool", "slice") or len(unit.links) != 1:
            return None
        path.append(unit.index)
        link = unit.links[0]
    return tuple(reversed(path))


def region(k: Skeleton, match: Match) -> tuple[Node, ...]:
    """All nodes of a block: its units, what trims the links between them and after them, and what
    makes their kernels."""
    inside = set(match.units)
    nodes: dict[str, Node] = {}
    for index in match.units:
        unit = k.units[index]
        nodes.update((node.name, node) for node in unit.core)
        for link in unit.links:
            if link.source in inside:
                nodes.update((node.name, node) for node in k.between(link))
    for index in match.ends:
        nodes.update((node.name, node) for node in k.trailing(k.units[index]))
    nodes.update((node.name, node) for node in k.helpers(tuple(nodes.values())))
    return tuple(sorted(nodes.values(), key=lambda node: k.order[node.name]))


def channels_of(k: Skeleton, value: str) -> int:
    """How many channels a value has."""
    shape, count = k.graph.values[value].shape, 1
    for axis in k.axes[value]:
        count *= shape[axis]
    return count
