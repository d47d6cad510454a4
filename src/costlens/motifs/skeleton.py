"""A graph reduced to what tells block families apart: contractions, merges, pools, splits.

A *unit* is one such step. What stands between two units and only trims (norms, activations,
biases, scales, casts, padding, views) lies on the *link* between them, so that a motif is the
same whichever of these a model writes, in which order and as which kind of layer. Nothing here
reads a name. One pass over the nodes; linear in the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from costlens.ir.graph import Graph, Node
from costlens.ir.types import Shape
from costlens.motifs.axes import Axes


@dataclass(frozen=True, slots=True)
class Mix:
    """A contraction with a kernel of the model's own: convolution or dense.

    ``kernel`` has a size per spatial axis, none for a dense layer; ``channelwise`` says that all
    that is contracted besides the taps are channels.
    """

    kernel: Shape
    strides: Shape
    dilation: Shape
    groups: int
    cin: int
    cout: int
    channelwise: bool = True
    transposed: bool = False

    @property
    def pointwise(self) -> bool:
        """Whether it mixes the channels of one position at a time."""
        return self.channelwise and not self.transposed and set(self.kernel) <= {1}

    @property
    def depthwise(self) -> bool:
        """Whether it keeps the channels apart: a spatial filter for each."""
        return self.groups == self.cin > 1 and self.spatial

    @property
    def spatial(self) -> bool:
        """Whether it looks at more than one position."""
        return not self.transposed and any(k > 1 for k in self.kernel)

    @property
    def full(self) -> bool:
        """Whether it looks at several positions and channels: a k×k convolution."""
        return self.spatial and not self.depthwise

    @property
    def stride(self) -> int:
        """The largest stride."""
        return max(self.strides, default=1)


@dataclass(frozen=True, slots=True)
class Link:
    """What a unit reads: another unit's output, through trimmings that end in ``value``."""

    source: int
    value: str
    activated: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """One structural step; ``node`` makes its output, ``core`` are all nodes that it is."""

    index: int
    kind: str
    node: Node
    core: tuple[Node, ...]
    links: tuple[Link, ...]
    mix: Mix | None = None
    point: bool = False

    @property
    def value(self) -> str:
        """The value that the unit makes."""
        return self.node.outputs[0]


_LINEAR = frozenset("identity negative copy scale stop_gradient deg2rad rad2deg conj real".split())
SPARSEMAX = "sparsemax"
_SIDE_OK = frozenset("add subtract multiply divide true_divide".split())


def nonlinear(node: Node) -> bool:
    """Whether a node bends what passes through it: an activation, alone or as part of one."""
    fn = node.attrs.get("fn")
    if node.op == "unary":
        return fn not in _LINEAR
    if node.op == "binary":
        return fn not in _SIDE_OK
    return node.op == "softmax" or (node.op == "opaque" and fn == SPARSEMAX)


@dataclass(frozen=True)
class Skeleton:
    """Units over a graph. ``place`` maps an activation to its unit and whether it is bent since;
    ``axes`` to its channel axes; ``side`` are values that depend on no activation, or only tell
    which elements count (masks)."""

    graph: Graph
    units: tuple[Unit, ...]
    place: Mapping[str, tuple[int, bool]]
    axes: Mapping[str, Axes]
    side: frozenset[str]

    @cached_property
    def uses(self) -> tuple[tuple[tuple[int, Link], ...], ...]:
        """For each unit, who reads it: (unit, link) pairs in execution order."""
        found: list[list[tuple[int, Link]]] = [[] for _ in self.units]
        for unit in self.units:
            for link in unit.links:
                found[link.source].append((unit.index, link))
        return tuple(map(tuple, found))

    @cached_property
    def core(self) -> Mapping[str, int]:
        """Node name → the unit whose core it is part of."""
        return {node.name: unit.index for unit in self.units for node in unit.core}

    def sole(self, unit: Unit) -> Unit | None:
        """The one unit that reads this one, and once; None where there is another or none."""
        uses = self.uses[unit.index]
        return self.units[uses[0][0]] if len(uses) == 1 else None

    def source(self, unit: Unit, at: int = 0) -> Unit:
        """The unit that a link of this one starts from."""
        return self.units[unit.links[at].source]

    def between(self, link: Link) -> tuple[Node, ...]:
        """The trimmings of a link, in execution order."""
        found: dict[str, Node] = {}
        todo = [link.value]
        while todo:
            node = self.graph.producer[todo.pop()]
            if node.name in found or node.name in self.core:
                continue
            found[node.name] = node
            todo += [value for value in node.operands if value in self.place]
        return self._ordered(found)

    def trailing(self, unit: Unit) -> tuple[Node, ...]:
        """The trimmings after a unit that everyone who reads it reads through."""
        found: list[Node] = []
        value, users = unit.value, self.graph.users
        ends = set(self.graph.outputs)
        while value not in ends:
            nodes = [node for node in users.get(value, ()) if node.name not in self.core]
            if len(nodes) != len(users.get(value, ())) or not nodes:
                break
            last = self._joined(nodes)
            if last is None:
                break
            found += last
            value = last[-1].outputs[0]
        return tuple(found)

    def _joined(self, nodes: Sequence[Node]) -> list[Node] | None:
        """One trimming, or those of an activation written as a product with a gate of itself."""
        if len(nodes) == 1:
            return [nodes[0]]
        first, *others = nodes
        chain = [first]
        users = self.graph.users
        while len(following := users.get(chain[-1].outputs[0], ())) == 1:
            if following[0].name in self.core:
                return None
            chain.append(following[0])
            if list(following) == others:
                return chain
        return None

    def helpers(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """Nodes that only make kernels and the like for these, such as a reshape of a kernel."""
        names = {node.name for node in nodes}
        found: dict[str, Node] = {}
        todo = [value for node in nodes for value in node.operands if value in self.side]
        while todo:
            node = self.graph.producer.get(todo.pop())
            if node is None or node.name in found or node.op == "input":
                continue
            readers = {u.name for value in node.outputs for u in self.graph.users.get(value, ())}
            if readers <= names | set(found):
                found[node.name] = node
                todo += node.operands
        return tuple(found.values())

    def _ordered(self, nodes: Mapping[str, Node]) -> tuple[Node, ...]:
        return tuple(sorted(nodes.values(), key=lambda node: self.order[node.name]))

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Node name → its place in execution order."""
        return {node.name: index for index, node in enumerate(self.graph.nodes)}

    @cached_property
    def by_kind(self) -> Mapping[str, tuple[Unit, ...]]:
        """The units of each kind."""
        found: dict[str, list[Unit]] = {}
        for unit in self.units:
            found.setdefault(unit.kind, []).append(unit)
        return {kind: tuple(units) for kind, units in found.items()}

    @property
    def mixes(self) -> tuple[Unit, ...]:
        """The contractions with a kernel of their own."""
        return self.by_kind.get("mix", ())

    @property
    def pointwise(self) -> Iterator[Unit]:
        """The 1×1s: convolutions with a kernel of ones, and dense layers over channels."""
        return (unit for unit in self.mixes if unit.mix and unit.mix.pointwise)

    @cached_property
    def entries(self) -> tuple[int, ...]:
        """For each unit, the nearest one that everything it depends on runs through; -1: none.

        The immediate dominators of the graph of units (Cooper, Harvey & Kennedy 2001).
        """
        nearest: list[int] = []
        for unit in self.units:
            sources = {link.source for link in unit.links}
            while len(sources) > 1:
                last = max(sources)
                sources.remove(last)
                sources.add(nearest[last])
            nearest.append(sources.pop() if sources else -1)
        return tuple(nearest)

    @cached_property
    def leads_on(self) -> tuple[bool, ...]:
        """For each unit, whether another contraction depends on it."""
        leads = [False] * len(self.units)
        for unit in reversed(self.units):
            if leads[unit.index] or unit.kind in ("mix", "product"):
                for link in unit.links:
                    leads[link.source] = True
        return tuple(leads)

    def positions(self, unit: Unit) -> int:
        """How many positions a unit's output has, the batch included."""
        shape = self.graph.values[unit.value].shape
        return prod(n for axis, n in enumerate(shape) if axis not in self.axes[unit.value])
