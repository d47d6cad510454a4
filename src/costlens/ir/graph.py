"""The graph type: nodes in execution order over named values, weights and constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType

Attrs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Weight:
    """One distinct variable of the model.

    ``type`` is what Keras stores. ``logical`` is the shape that counts as parameters where it
    differs, such as the unpacked shape of an int4 kernel; None where it is as stored. An
    ``auxiliary`` weight (a quantisation scale, zero point or group index) is stored but is no
    parameter. ``owner`` is the path of the layer that uses it first.
    """

    id: str
    path: str
    type: TensorType
    trainable: bool
    owner: str
    logical: Shape | None = None
    auxiliary: bool = False

    @property
    def params(self) -> int:
        """Scalars that count as parameters."""
        if self.auxiliary:
            return 0
        return self.type.size if self.logical is None else prod(self.logical)


@dataclass(frozen=True, slots=True)
class Origin:
    """The layer call that a node comes from: class name, layer path, call number from 1."""

    kind: str
    layer: str
    call: int


@dataclass(frozen=True, slots=True)
class Node:
    """One op call. An operand is a value id; ``repeat`` is how often a loop runs it."""

    name: str
    op: str
    operands: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Attrs
    scope: tuple[str, ...]
    repeat: int
    origin: Origin


@dataclass(frozen=True)
class Graph:
    """An immutable program: every value is an input, a node's output, a weight or a constant.

    ``nodes`` stand in execution order; ``values`` gives the type of every value id; ``weights``
    and ``constants`` are value ids too. ``returns`` tells what a layer call gives to its caller,
    where that is known. ``notes`` are sentences for the reader of a report.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, TensorType]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    constants: Mapping[str, TensorType] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    returns: Mapping[Origin, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def producer(self) -> Mapping[str, Node]:
        """The node that makes each value; weights and constants have none."""
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def users(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each value, in execution order; a value nobody reads is absent."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.operands):
                users.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in users.items()}

    @cached_property
    def epilogues(self) -> Mapping[str, str]:
        """Nodes that write in place: node name → the operand whose buffer they take over.

        An epilogue is a bias add or elementwise node whose operand is produced, and read for
        the last time, within the same layer call and as often as the node runs. A view of it
        counts as the operand does.
        """
        kept = {*self.outputs, *(value for given in self.returns.values() for value in given)}
        reads: dict[str, int] = {}
        for node in self.nodes:
            for value in node.operands:
                reads[value] = reads.get(value, 0) + 1
        taken: dict[str, str] = {}
        for node in self.nodes:
            if OPS[node.op].storage != "elementwise":
                continue
            out = self.values[node.outputs[0]]
            for value in node.operands:
                if (
                    self.values[value].shape == out.shape
                    and self.values[value].nbytes >= out.nbytes
                    and self._dies(value, node, reads, kept)
                ):
                    taken[node.name] = value
                    break
        return taken

    def _dies(self, value: str, reader: Node, reads: Mapping[str, int], kept: set[str]) -> bool:
        """Whether the buffer of a value is made in the reader's layer call and ends there."""
        while True:
            made = self.producer.get(value)
            if made is None or made.origin != reader.origin or made.op in ("input", "step"):
                return False
            if reads[value] != 1 or value in kept:
                return False
            if OPS[made.op].storage != "view":
                return made.repeat == reader.repeat
            value = made.operands[0]
