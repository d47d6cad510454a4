"""A traced TensorFlow graph and the layer calls in it → a Program.

Only what leads to the outputs is kept. A layer call that the lowering reads becomes one step,
whatever operations it made; the rest of the operations become steps ``tf:OpType``, grouped under
the layer that made them. Functions, branches and loop bodies become programs of their own in the
config of the step that calls them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costlens.frontends.keras_trace import Frame, Trace
from costlens.frontends.layercall import (
    Constant,
    Group,
    Known,
    Layer,
    Opaque,
    PartialShape,
    Program,
    ProgramInput,
    Ref,
    Step,
    Tree,
    leaves,
    map_leaves,
)
from costlens.frontends.tf_needs import Needs
from costlens.frontends.tf_static import static, trip_count
from costlens.ir.types import TensorType

_EMPTY = ("EmptyTensorList", "TensorListReserve")
"""Lists that nothing is in yet; a gradient may add them to a loop that was made before them."""

_SILENT = ("Const", "Placeholder", "NoOp", "Assert", "ReadVariableOp", "VarHandleOp", *_EMPTY)
"""Operations that are no step: what they give is a leaf of the steps that read it."""


@dataclass(frozen=True, slots=True)
class View:
    """How live objects are described: a layer, a leaf that is no tensor, a Keras variable; which
    layers are one step, and which are models, with rows inside."""

    layer: Callable[[Any], Layer]
    leaf: Callable[[Any], Any]
    variable: Callable[[Any], Any]
    readable: Callable[[Layer], bool]
    container: Callable[[Any], bool]


def program_of(traced: Trace, view: View, name: str, kind: str) -> Program:
    """The program of a traced call: its inputs in order, and whatever its outputs need."""
    reader = Reader(view)
    reader.start(traced)
    inputs = tuple(reader.input(x) for x in traced.inputs)
    frames = traced.frames
    if len(frames) == 1:  # the call that was asked for; its own path is not part of others
        frames = tuple(frames[0].inside)
    steps = reader.steps(traced.graph, 0, traced.forward, frames)
    steps += reader.backward(traced, frames)
    return Program(name, inputs, steps, reader.tree(traced.outputs, traced.graph), (), kind)


@dataclass(eq=False, slots=True)
class Reader:
    """Numbers the tensors of a trace, and keeps what is known of them."""

    view: View
    numbers: dict[int, int] = field(default_factory=dict)
    leaf_of: dict[int, Any] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    bodies: dict[int, Program] = field(default_factory=dict)
    layers: dict[int, Layer] = field(default_factory=dict)
    frames: dict[int, list[Frame]] = field(default_factory=dict)
    opened: set[int] = field(default_factory=set)
    listed: dict[int, list[Any]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)

    def start(self, traced: Trace) -> None:
        """Find out what is needed, what captured tensors stand for, and which calls to open."""
        self.needs.add([x for x in leaves(traced.outputs) if symbolic(x)])
        for outer, inner in traced.graph.captures:
            self.leaf_of[id(inner)] = _captured(outer)
        for key, (_, variable) in traced.variables.items():
            self.leaf_of[key] = self.view.variable(variable)
        self._by_graph(traced.frames, None)
        while self._open_escaped(traced):
            pass

    # -- calls -------------------------------------------------------------------------------

    def _by_graph(self, frames: Sequence[Frame], outer: Any) -> None:
        """The outermost calls in each graph."""
        for frame in frames:
            if frame.graph is not outer:
                self.frames.setdefault(id(frame.graph), []).append(frame)
            self._by_graph(frame.inside, frame.graph)

    def _open_escaped(self, traced: Trace) -> bool:
        """Open the calls of which a tensor is read that they do not return; whether there are any.

        A layer may keep a tensor for others, such as the scores of an attention.
        """
        maker: dict[int, Frame] = {}
        for frame in self._readable(traced.frames):
            for op in self._listed(frame.graph)[frame.start : frame.stop]:
                if id(op) in self.needs.ops:
                    maker[id(op)] = frame
        given = {id(made): {id(x) for x in leaves(made.outputs)} for made in maker.values()}
        reads: list[tuple[Frame | None, Any]] = [(None, x) for x in leaves(traced.outputs)]
        reads += [
            (maker.get(id(op)), x)
            for op in self.needs.kept
            if hasattr(op, "inputs")
            for x in op.inputs
        ]
        escaped = set()
        for reader, x in reads:
            made = maker.get(id(x.op)) if symbolic(x) else None
            if made is None or made is reader or x.op.type in _SILENT:
                continue
            if id(x) not in given[id(made)]:
                escaped.add(id(made))
        self.opened |= escaped
        return bool(escaped)

    def _readable(self, frames: Sequence[Frame]) -> Iterator[Frame]:
        """The outermost calls that are one step each."""
        for frame in frames:
            if self._is_step(frame):
                yield frame
            else:
                yield from self._readable(frame.inside)

    def _is_step(self, frame: Frame) -> bool:
        return id(frame) not in self.opened and self.view.readable(self._layer(frame.layer))

    def _listed(self, graph: Any) -> list[Any]:
        known = self.listed.get(id(graph))
        if known is None:
            known = self.listed[id(graph)] = graph.get_operations()
        return known

    def _layer(self, layer: Any) -> Layer:
        known = self.layers.get(id(layer))
        if known is None:
            known = self.layers[id(layer)] = self.view.layer(layer)
        return known

    # -- steps -------------------------------------------------------------------------------

    def steps(
        self, graph: Any, start: int, stop: int, frames: Sequence[Frame]
    ) -> tuple[Step | Group, ...]:
        """The steps of a range of operations and of the calls made in it."""
        made: list[Step | Group] = []
        operations = self._listed(graph)
        here = [f for f in frames if f.graph is graph and f.stop <= stop]
        for frame in sorted(here, key=lambda f: f.start):
            made.extend(self.operations(operations[start : frame.start]))
            made.extend(self._call(frame))
            start = max(start, frame.stop)
        made.extend(self.operations(operations[start:stop]))
        return tuple(made)

    def _call(self, frame: Frame) -> Iterator[Step | Group]:
        outputs = [x for x in leaves(frame.outputs) if symbolic(x)]
        wanted = any(id(x.op) in self.needs.ops for x in outputs)
        layer = self._layer(frame.layer)
        if self._is_step(frame):
            if wanted:
                args, kwargs = (self.tree(x, frame.graph) for x in (frame.args, frame.kwargs))
                types = tuple(_type(x) for x in outputs)
                yield Step(layer, args, kwargs, tuple(map(self.number, outputs)), types)
            return
        steps = self.steps(frame.graph, frame.start, frame.stop, frame.inside)
        if steps or wanted:
            given = tuple(Ref(self.number(x)) for x in outputs)
            container = self.view.container(frame.layer)
            yield Group(layer, steps, given, container, ("frame", id(frame)))

    def backward(self, traced: Trace, frames: Sequence[Frame]) -> tuple[Step | Group, ...]:
        """The operations of the backward pass, each with the layer whose operation it derives."""
        operations = self._listed(traced.graph)
        place = {id(op): index for index, op in enumerate(operations)}
        made: list[Step | Group] = []
        for op in operations[traced.forward :]:
            derived = op
            while derived is not None and place.get(id(derived), 0) >= traced.forward:
                derived = derived._original_op
            at = place[id(derived)] if derived is not None else -1
            around = _around(frames, traced.graph, at)
            for step in self.operations([op]):
                made.append(self._nested(step, around))
        return tuple(made)

    def _nested(self, step: Step, frames: Sequence[Frame]) -> Step | Group:
        made: Step | Group = step
        for frame in reversed(frames):
            container = self.view.container(frame.layer)
            layer, call = self._layer(frame.layer), ("frame", id(frame))
            made = Group(layer, (made,), (), container, call)
        return made

    def operations(self, operations: Sequence[Any]) -> Iterator[Step]:
        for op in operations:
            if id(op) in self.needs.ops and op.type not in _SILENT:
                if all(isinstance(self.leaf(x), Known) for x in op.outputs):
                    continue
                yield self._operation(op)

    def _operation(self, op: Any) -> Step:
        config: Mapping[str, Any] = Attributes(op)
        functions = self.needs.functions(op)
        if functions:
            bodies = {key: self._body(graph) for key, graph in functions.items()}
            turns = None
            if "body" in functions:
                turns = trip_count(op, functions["cond"], functions["body"])
            config = {**bodies, "turns": turns}
        name = op.name.rpartition("/")[2]
        layer = Layer(f"tf:{op.type}", name, config, ("tf", id(op)))
        outputs = tuple(map(self.number, op.outputs))
        takes = self.needs.takes
        args = tuple(self.leaf(x) if takes(op, i) else None for i, x in enumerate(op.inputs))
        return Step(layer, args, {}, outputs, tuple(_type(x) for x in op.outputs))

    def _body(self, graph: Any) -> Program:
        known = self.bodies.get(id(graph))
        if known is None:
            inputs = tuple(self.input(x) for x in graph.inputs)
            steps = self.steps(graph, 0, graph.version, self.frames.get(id(graph), ()))
            needed = self.needs.tensors
            outputs = tuple(self.leaf(x) if id(x) in needed else None for x in graph.outputs)
            known = self.bodies[id(graph)] = Program(graph.name, inputs, steps, outputs)
        return known

    # -- tensors -----------------------------------------------------------------------------

    def number(self, tensor: Any) -> int:
        """The number of a tensor in the programs of this trace."""
        self.kept.append(tensor)
        return self.numbers.setdefault(id(tensor), len(self.numbers))

    def input(self, tensor: Any) -> ProgramInput:
        """A placeholder as an input."""
        shape, dtype = _type(tensor)
        return ProgramInput(self.number(tensor), tensor.op.name, shape, dtype)

    def tree(self, tree: Tree, graph: Any) -> Tree:
        """A tree of tensors, variables and plain values as leaves of a step in this graph."""
        return map_leaves(lambda value: self._argument(value, graph), tree)

    def _argument(self, value: Any, graph: Any) -> Any:
        if symbolic(value):
            return self.leaf(_inside(value, graph))
        if hasattr(value, "_initializer") and hasattr(value, "path"):
            return self.view.variable(value)
        return self.view.leaf(value)

    def leaf(self, tensor: Any) -> Any:
        """A tensor as a reference, a weight, a constant, or numbers where they are known."""
        known = self.leaf_of.get(id(tensor))
        if known is None:
            known = self.leaf_of[id(tensor)] = self._leaf(tensor)
            self.kept.append(tensor)
        return known

    def _leaf(self, tensor: Any) -> Any:
        op = tensor.op
        if op.type == "ReadVariableOp":
            return Constant(_complete(tensor), ("variable", id(_handle(op.inputs[0]))))
        if op.type in _EMPTY:
            return Opaque("an empty list")
        whole = tensor.dtype.is_integer or tensor.dtype.is_bool
        value = static(tensor) if op.type == "Const" or whole else None
        if value is not None:
            return Known(_complete(tensor), value, ("tf", id(tensor)))
        if op.type == "Const":
            return Constant(_complete(tensor), ("tf", id(tensor)))
        return Ref(self.number(tensor))


class Attributes(Mapping[str, Any]):
    """The attributes of an operation, read when they are asked for.

    ``reads_alone`` says whether nothing else reads its first operand.
    """

    def __init__(self, op: Any) -> None:
        self.op = op

    def __getitem__(self, name: str) -> Any:
        if name == "reads_alone":
            return len(self.op.inputs[0].consumers()) == 1
        try:
            value = self.op.get_attr(name)
        except ValueError as error:
            raise KeyError(name) from error
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if hasattr(value, "as_numpy_dtype"):
            return str(value.name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (attr.name for attr in self.op.op_def.attr)

    def __len__(self) -> int:
        return len(self.op.op_def.attr)


def symbolic(value: Any) -> bool:
    """Whether a value is a tensor of a TensorFlow graph."""
    return hasattr(value, "op") and hasattr(value, "graph") and hasattr(value, "value_index")


def _around(frames: Sequence[Frame], graph: Any, at: int) -> list[Frame]:
    """The calls that an operation was made in, the outermost first."""
    for frame in frames:
        if frame.graph is graph and frame.start <= at < frame.stop:
            return [frame, *_around(frame.inside, graph, at)]
    return []


def _inside(tensor: Any, graph: Any) -> Any:
    """A tensor that a function closes over, as the input of the function that stands for it."""
    if tensor.graph is graph or graph.outer_graph is None:
        return tensor
    outer = _inside(tensor, graph.outer_graph)
    return next((inner for given, inner in graph.captures if given is outer), tensor)


def _captured(outer: Any) -> Any:
    """A tensor from outside a graph: an array that the call closes over."""
    if outer.dtype.name in ("resource", "variant"):
        return _held(outer)
    type_ = _complete(outer)
    if hasattr(outer, "numpy") and type_.size <= 4096 and type_.dtype != "string":
        return Known(type_, outer.numpy(), ("tf", id(outer)))
    return Constant(type_, ("tf", id(outer)))


def _held(outer: Any) -> Constant | Opaque:
    """What a resource holds: an array where it is a variable, else nothing that has a size."""
    held = getattr(outer, "_handle_data", None)
    if held is None or not held.is_set or outer.dtype.name != "resource":
        return Opaque("a resource")
    tf = importlib.import_module("tensorflow")
    (first, *_) = held.shape_and_type
    shape = tuple(max(0, int(dim.size)) for dim in first.shape.dim)
    type_ = TensorType(shape, str(tf.as_dtype(first.dtype).name))
    return Constant(type_, ("variable", id(_handle(outer))))


def _handle(tensor: Any) -> Any:
    """The variable's own handle behind the one that a function is given."""
    graph = getattr(tensor, "graph", None)
    for outer, inner in getattr(graph, "captures", ()):
        if inner is tensor:
            return _handle(outer)
    return tensor


def _type(tensor: Any) -> tuple[PartialShape, str]:
    rank = tensor.shape.rank
    shape = (None,) if rank is None else tuple(tensor.shape)
    dtype = str(tensor.dtype.name)
    return shape, {"half": "float16"}.get(dtype, dtype)


def _complete(tensor: Any) -> TensorType:
    shape, dtype = _type(tensor)
    return TensorType(tuple(n or 0 for n in shape), dtype)
