"""What the outputs of a traced TensorFlow graph need: operations, and inputs of functions.

A function that is called, branched to or looped over is looked into: an output of it that nobody
reads needs nothing, such as a gradient by the input of a model. A loop variable is needed where
it is read after the loop or leads to one that is.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BODIES = ("f", "then_branch", "else_branch", "body", "cond", "branches")
"""Attributes of operations that name functions of the graph."""

_CALLS = frozenset(
    "PartitionedCall StatefulPartitionedCall While StatelessWhile If StatelessIf Case "
    "StatelessCase".split()
)

_BY_SHAPE = frozenset("OnesLike Rank Shape Size ZerosLike".split())
"""Operations that ask of their operand only how large it is."""


@dataclass(eq=False, slots=True)
class Needs:
    """Grows by ``add``; ``ops`` and ``tensors`` hold the ids of what is needed."""

    ops: set[int] = field(default_factory=set)
    tensors: set[int] = field(default_factory=set)
    kept: list[Any] = field(default_factory=list)
    bodies: dict[int, dict[str, Any]] = field(default_factory=dict)
    _defined: dict[str, Any] = field(default_factory=dict)
    _callers: dict[int, list[tuple[Any, str]]] = field(default_factory=dict)
    _inputs: dict[int, tuple[Any, int]] = field(default_factory=dict)
    _reached: dict[int, list[int]] = field(default_factory=dict)
    _todo: list[Any] = field(default_factory=list)

    def add(self, tensors: Sequence[Any]) -> None:
        """Need these tensors, and all that leads to them."""
        self._todo.extend(tensors)
        while self._todo:
            self._need(self._todo.pop())

    def functions(self, op: Any) -> Mapping[str, Any]:
        """The graphs that an operation calls, by attribute; a list of branches by number."""
        known = self.bodies.get(id(op))
        if known is None:
            known = self.bodies[id(op)] = {}
            attrs = op.op_def.attr if op.type in _CALLS else ()
            for name in (attr.name for attr in attrs if attr.name in _BODIES):
                value = op.get_attr(name)
                many = value if isinstance(value, list) else [value]
                for index, function in enumerate(many):
                    key = name if many is not value else f"branch{index}"
                    known[key] = self._body(op.graph, function.name)
        return known

    def _body(self, graph: Any, name: str) -> Any:
        """The graph of a function; of one that is only a definition it is made, once."""
        function = graph._get_function(name)
        if hasattr(function, "graph"):
            return function.graph
        if name not in self._defined:
            make = importlib.import_module("tensorflow.python.framework.function_def_to_graph")
            with graph.as_default():
                self._defined[name] = make.function_def_to_graph(function.definition)
        return self._defined[name]

    def takes(self, op: Any, index: int) -> bool:
        """Whether an operation needs its operand: a function, only where it reads it."""
        graphs = self.functions(op)
        if not graphs:
            return op.type not in _BY_SHAPE or not _sized(op.inputs[index])
        place = index - _offset(op)
        return place < 0 or any(
            id(graph.inputs[place]) in self.tensors for graph in graphs.values()
        )

    def _need(self, tensor: Any) -> None:
        if id(tensor) in self.tensors:
            return
        self.tensors.add(id(tensor))
        self.kept.append(tensor)
        op = tensor.op
        if id(tensor) in self._inputs:
            self._reach(*self._inputs[id(tensor)])
        graphs = self.functions(op)
        if graphs:
            self._call(op, graphs)
            for key, graph in graphs.items():
                if key != "cond":
                    self._todo.append(graph.outputs[tensor.value_index])
        if id(op) not in self.ops:
            self.ops.add(id(op))
            self.kept.append(op)
            own = op.inputs[: _offset(op)] if graphs else op.inputs
            self._todo.extend(x for i, x in enumerate(own) if graphs or self.takes(op, i))

    def _call(self, op: Any, graphs: Mapping[str, Any]) -> None:
        """Register a call the first time that it is met."""
        if id(op) in self.ops:
            return
        for key, graph in graphs.items():
            for index, given in enumerate(graph.inputs):
                self._inputs[id(given)] = (graph, index)
            self._callers.setdefault(id(graph), []).append((op, key))
            for index in self._reached.get(id(graph), ()):
                self._pass_on(op, key, index)
            if key == "cond":
                self._todo.extend(graph.outputs)

    def _reach(self, graph: Any, index: int) -> None:
        """An input of a function is read: so are the operands that its callers give it."""
        self._reached.setdefault(id(graph), []).append(index)
        for op, key in self._callers[id(graph)]:
            self._pass_on(op, key, index)

    def _pass_on(self, op: Any, key: str, index: int) -> None:
        self._todo.append(op.inputs[index + _offset(op)])
        if key in ("body", "cond"):  # what a turn reads, the turn before hands on
            self._todo.append(self.functions(op)["body"].outputs[index])


def _sized(tensor: Any) -> bool:
    """Whether the graph says how large a tensor is; a list of tensors is none."""
    return bool(tensor.shape.is_fully_defined()) and tensor.dtype.name != "variant"


def _offset(op: Any) -> int:
    """Operands of its own that a function's call has before those of the function."""
    return 1 if op.type in ("If", "StatelessIf", "Case", "StatelessCase") else 0
