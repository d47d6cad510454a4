"""Peak activation memory by liveness, under the ``keras`` policy.

Keras's run order; inputs live until their last use, outputs until the end; nothing is written
in place but epilogues; no alignment. Weights and constants are not activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from costlens.analysis.storage import roots
from costlens.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor alive at the peak: its value id, bytes, and the layer that makes it."""

    value: str
    bytes: int
    layer: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak, the layer at which it stands, what is alive there, and bytes at every node."""

    policy: str
    peak_bytes: int
    at: str
    live: tuple[LiveTensor, ...]
    timeline: tuple[tuple[str, int], ...]


def memory(graph: Graph) -> Memory:
    """Liveness of every activation buffer over the execution order; linear in the graph."""
    if not graph.nodes:
        return Memory("keras", 0, "", (), ())
    spans = lifetimes(graph)
    change = [0] * (len(graph.nodes) + 1)
    for value, (first, last) in spans.items():
        nbytes = graph.values[value].nbytes
        change[first] += nbytes
        change[last + 1] -= nbytes
    levels = list(accumulate(change))[:-1]
    peak = max(levels)
    at = levels.index(peak)
    live = sorted(
        (
            LiveTensor(value, graph.values[value].nbytes, graph.producer[value].origin.layer)
            for value, (first, last) in spans.items()
            if first <= at <= last and graph.values[value].nbytes
        ),
        key=lambda tensor: (-tensor.bytes, tensor.value),
    )
    timeline = tuple(
        (node.origin.layer, level) for node, level in zip(graph.nodes, levels, strict=True)
    )
    return Memory("keras", peak, graph.nodes[at].origin.layer, tuple(live), timeline)


def lifetimes(graph: Graph) -> Mapping[str, tuple[int, int]]:
    """Buffer → the first and the last node index at which it is alive.

    A buffer made before a loop and read inside is alive to the loop's end; what a loop stacks is
    alive from its start.
    """
    root, end = roots(graph), len(graph.nodes) - 1
    start_of, end_of = _loops(graph)
    place = {value: index for index, node in enumerate(graph.nodes) for value in node.outputs}
    spans: dict[str, tuple[int, int]] = {}
    for index, node in enumerate(graph.nodes):
        for value in node.operands:
            span = spans.get(root[value])
            if span is not None:
                first, last = span
                until = end_of[index] if first < start_of[index] else index
                spans[root[value]] = (first, max(last, until))
        # a stack fills up while the loop runs that makes its operand
        begun = start_of[place.get(node.operands[0], index)] if node.op == "stack" else index
        for value in node.outputs:
            if root[value] == value:
                spans[value] = (0 if value in graph.inputs else begun, index)
    for value in graph.outputs:
        if root[value] in spans:
            spans[root[value]] = (spans[root[value]][0], end)
    return spans


def _loops(graph: Graph) -> tuple[list[int], list[int]]:
    """For each node, the first and last index of the loop around it (itself where none is)."""
    count = len(graph.nodes)
    start, end = list(range(count)), list(range(count))
    for i in range(1, count):
        if _same_loop(graph, i - 1, i):
            start[i] = start[i - 1]
    for i in range(count - 2, -1, -1):
        if _same_loop(graph, i, i + 1):
            end[i] = end[i + 1]
    return start, end


def _same_loop(graph: Graph, i: int, j: int) -> bool:
    a, b = graph.nodes[i], graph.nodes[j]
    return a.repeat > 1 and b.repeat > 1 and a.origin == b.origin
