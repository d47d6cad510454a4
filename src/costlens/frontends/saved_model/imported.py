"""Nodes of a SavedModel → one TensorFlow graph at concrete sizes, called functions opened in it.

A function that is called is imported in its caller's place, so that shapes are inferred through
it. Branches and loops stay operations, with graphs of their own at the sizes they are called at.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costlens.errors import InputError
from costlens.frontends.layercall import Constant
from costlens.frontends.opfile.names import printable
from costlens.frontends.saved_model.constants import ARITHMETIC, MOST, SHAPES
from costlens.frontends.saved_model.variables import HANDLES, Variables
from costlens.frontends.tf_static import trip_count
from costlens.ir.types import TensorType

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_CONTROL = {
    "While": ("cond", "body"),
    "StatelessWhile": ("cond", "body"),
    "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"),
    "Case": ("branches",),
    "StatelessCase": ("branches",),
}
_LISTS = ("TensorListFromTensor", "TensorListGetItem", "TensorListStack")
_WRITES = ("TensorListSetItem", "TensorListPushBack")
_FIND = "LookupTableFindV2"
_ALONE = frozenset((*_CALLS, *_CONTROL, *_LISTS, _FIND))
"""Operations that are imported one by one, for more is known of what they give."""

_STALE = ("_output_shapes", "_class", "output_shapes")
"""Attributes that hold sizes of another import, or places that are not here."""

_MOST_NODES = 300_000
_DEEPEST = 64

Place = tuple[tuple[str, Hashable], ...]
"""The name scopes that an operation is in, each with the call of a function that opened it."""


@dataclass(eq=False, slots=True)
class Imported:
    """The graph; by the id of an operation its place and the graphs that it branches to.

    ``known`` says by the id of a tensor which variable it is or reads.
    """

    graph: Any
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    bodies: dict[int, dict[str, Any]] = field(default_factory=dict)
    known: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)


def kept_nodes(nodes: Sequence[Any], outputs: Sequence[str], inputs: Sequence[str]) -> list[Any]:
    """The nodes that lead to the outputs, each behind what it reads; inputs lead nowhere."""
    by_name = {node.name: node for node in nodes}
    ends = {name.partition(":")[0] for name in inputs}
    kept: dict[str, Any] = {}
    opened: set[str] = set()
    todo = [(name.partition(":")[0], False) for name in reversed(outputs)]
    while todo:
        name, expanded = todo.pop()
        if name in kept or name in ends:
            continue
        node = by_name.get(name)
        if node is None:
            raise ValueError(f"a node {name} is missing")
        if expanded:
            kept[name] = node
            continue
        if name in opened:
            raise ValueError(f"the graph has a cycle at {name}")
        opened.add(name)
        todo.append((name, True))
        todo += [(x, False) for x in reversed([*_reads(node)])]
    return list(kept.values())


def import_nodes(
    nodes: Sequence[Any],
    library: Mapping[str, Any],
    given: Mapping[str, TensorType],
    outputs: Sequence[str],
    variables: Variables,
) -> Imported:
    """The graph of these nodes; ``given`` are the inputs' tensors, at the sizes wanted."""
    tf = importlib.import_module("tensorflow")
    func_graph = importlib.import_module("tensorflow.python.framework.func_graph")
    made = Imported(func_graph.FuncGraph("costlens"))
    work = _Import(made, library, variables)
    with made.graph.as_default():
        tensors = {}
        for name, type_ in given.items():
            x = tf.compat.v1.placeholder(type_.dtype, type_.shape)
            made.inputs.append(x)
            tensors[_whole(name)] = x
        work.nodes(nodes, tensors, (), None, 0)
    made.outputs = [tensors[_whole(name)] for name in outputs]
    return made


def _whole(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _reads(node: Any) -> Iterator[str]:
    """The nodes that a node reads tensors of."""
    for name in node.input:
        if not name.startswith("^"):
            yield name.partition(":")[0]


@dataclass(eq=False, slots=True)
class _Import:
    """One import; ``count`` bounds what functions that call each other may ask for."""

    made: Imported
    library: Mapping[str, Any]
    variables: Variables
    count: int = 0
    constants: set[int] = field(default_factory=set)
    calls: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)
    lists: dict[int, tuple[int | None, Any]] = field(default_factory=dict)

    def nodes(
        self, nodes: Sequence[Any], tensors: dict[str, Any], place: Place, call: Hashable, deep: int
    ) -> None:
        """Import nodes in their order into the graph that is open; ``tensors`` by name grow."""
        waiting: list[Any] = []
        written: set[str] = set()
        self.count += len(nodes)
        if self.count > _MOST_NODES or deep > _DEEPEST:
            raise InputError("its functions", "call each other too often to be read")
        for node in nodes:
            if node.op == "Const":
                if self._large(node, tensors):
                    continue
                written.add(node.name)
            constant = node.op not in _ALONE and self._is_constant(node, tensors, written)
            if node.op not in _ALONE and not constant:
                waiting.append(node)
                continue
            self._import(waiting, tensors, place, call)
            waiting = []
            if node.op in _CALLS:
                self._call(node, tensors, place, call, deep)
                continue
            (op,) = self._import([node], tensors, place, call)
            if constant:
                self._worked_out(node, op, tensors)
            elif node.op == _FIND:
                if op.inputs[2].shape.rank == 0:  # one value a key
                    op.outputs[0].set_shape(op.inputs[1].shape)
            elif node.op in _LISTS:
                self._list(op)
            else:
                self._control(node, op, deep)
        self._import(waiting, tensors, place, call)

    def _import(
        self, nodes: Sequence[Any], tensors: dict[str, Any], place: Place, call: Hashable
    ) -> Sequence[Any]:
        """Import nodes that call nothing, all at once."""
        if not nodes:
            return ()
        importer = importlib.import_module("tensorflow.python.framework.importer")
        graph_pb2 = importlib.import_module("tensorflow.core.framework.graph_pb2")
        here, definition = {node.name for node in nodes}, graph_pb2.GraphDef()
        definition.versions.producer = _producer()
        read: dict[str, Any] = {}
        for node in nodes:
            definition.node.append(_with_inputs(node, node.input))
            for name in node.input:
                if not name.startswith("^") and name.partition(":")[0] not in here:
                    read[_whole(name)] = tensors[_whole(name)]
        names = [node.name for node in nodes]
        scope = "" if call is None else f"call{call}/"  # no two nodes may have one name
        operations = importer.import_graph_def(
            definition, input_map=read, return_elements=names, name=scope
        )
        self.made.kept += operations
        for node, op in zip(nodes, operations, strict=True):
            self.made.places[id(op)] = _inside(place, node, call)
            self._note_variable(node, op, call)
            tensors.update((f"{node.name}:{i}", x) for i, x in enumerate(op.outputs))
        return list(operations)

    def _is_constant(self, node: Any, tensors: Mapping[str, Any], written: set[str]) -> bool:
        """Whether TensorFlow could work an operation out; constants ``written`` down need none."""
        if node.op == "Const" or node.op.startswith("Placeholder"):
            return False
        if node.op in SHAPES:
            return True
        reads = [_whole(name) for name in node.input if not name.startswith("^")]
        if not reads:
            return not self.made.graph.op_def_for_type(node.op).is_stateful
        return all(
            name.partition(":")[0] in written or id(tensors.get(name)) in self.constants
            for name in reads
        )

    def _worked_out(self, node: Any, op: Any, tensors: dict[str, Any]) -> None:
        """Let TensorFlow work a constant out where that is small arithmetic, else cut it off."""
        tf = importlib.import_module("tensorflow")
        for index, x in enumerate(op.outputs):
            size = x.shape.num_elements()
            if x.dtype in (tf.variant, tf.resource):
                continue
            if node.op in ARITHMETIC and (node.op in SHAPES or (size is not None and size <= MOST)):
                self.constants.add(id(x))
                continue
            tensors[f"{node.name}:{index}"] = self._cut(x.dtype, x.shape)

    def _large(self, node: Any, tensors: dict[str, Any]) -> bool:
        """Keep a large constant out, whose few bytes may stand for many."""
        tf = importlib.import_module("tensorflow")
        proto = node.attr["value"].tensor
        shape = tf.TensorShape([axis.size for axis in proto.tensor_shape.dim])
        if proto.tensor_shape.unknown_rank or (shape.num_elements() or 0) <= MOST:
            return False
        tensors[f"{node.name}:0"] = self._cut(tf.dtypes.as_dtype(proto.dtype), shape)
        return True

    def _cut(self, dtype: Any, shape: Any) -> Any:
        """A placeholder for a constant whose numbers are not looked at."""
        tf = importlib.import_module("tensorflow")
        cut = tf.compat.v1.placeholder(dtype, shape)
        if shape.is_fully_defined():
            type_ = TensorType(tuple(shape), {"half": "float16"}.get(dtype.name, dtype.name))
            self.made.known[id(cut)] = (cut, Constant(type_, ("cut", id(cut))))
        return cut

    def _note_variable(self, node: Any, op: Any, call: Hashable) -> None:
        """Remember which variable an operation is, or reads."""
        known = self.made.known
        if node.op in HANDLES and node.name in self.variables.by_handle and call is None:
            stored = self.variables.by_handle[node.name]
            known[id(op.outputs[0])] = (op.outputs[0], stored)
        elif op.inputs and id(op.inputs[0]) in known and self._is_read(node, op):
            known[id(op.outputs[0])] = (op.outputs[0], known[id(op.inputs[0])][1])

    def _is_read(self, node: Any, op: Any) -> bool:
        """Whether it reads a variable, in TensorFlow 2's way or in TensorFlow 1's."""
        old = node.op == "Identity" and op.inputs[0].op.type in HANDLES
        return old or node.op == "ReadVariableOp"

    def _call(
        self, node: Any, tensors: dict[str, Any], place: Place, call: Hashable, deep: int
    ) -> None:
        """A function that is called, in the place of the call."""
        function = self._function(node.attr["f"].func.name)
        given = [tensors[_whole(name)] for name in node.input if not name.startswith("^")]
        made = self._body(function, given, _inside(place, node, call), self.calls(), deep + 1)
        tensors.update((f"{node.name}:{i}", x) for i, x in enumerate(made))

    def _body(
        self, function: Any, given: Sequence[Any], place: Place, call: Hashable, deep: int
    ) -> list[Any]:
        """Import a function's nodes into the graph that is open; its outputs."""
        names = [arg.name for arg in function.signature.input_arg]
        flat = _flat_names(function, self.made.graph.op_def_for_type)
        nodes = [
            _with_inputs(node, [flat(name) for name in node.input]) for node in function.node_def
        ]
        results = [flat(function.ret[arg.name]) for arg in function.signature.output_arg]
        tensors = {f"{name}:0": x for name, x in zip(names, given, strict=True)}
        self.nodes(kept_nodes(nodes, results, names), tensors, place, call, deep)
        return [tensors[_whole(name)] for name in results]

    def _function(self, name: str) -> Any:
        if name not in self.library:
            raise ValueError(f"a function {printable(name)} is missing")
        return self.library[name]

    def _control(self, node: Any, op: Any, deep: int) -> None:
        """The graphs of a branch or loop, at the sizes of what it is given."""
        given = list(op.inputs)[0 if "body" in _CONTROL[node.op] else 1 :]
        shapes = [x.shape for x in given]
        bodies = self._graphs(node, given, shapes, deep)
        if "body" in bodies:
            joined = _joined(shapes, bodies["body"].outputs)
            if str(joined) != str(shapes):  # it grows from turn to turn
                bodies = self._graphs(node, given, joined, deep)
            self._filled(op, bodies)
        else:
            first, *others = bodies.values()
            joined = [x.shape for x in first.outputs]
            for other in others:
                joined = _joined(joined, other.outputs)
        self.made.bodies[id(op)] = bodies
        for x, shape in zip(op.outputs, joined, strict=True):
            x.set_shape(shape)

    def _filled(self, loop: Any, bodies: Mapping[str, Any]) -> None:
        """Remember of the lists that a loop fills what an item is, and how many turns fill it."""
        turns = trip_count(loop, bodies["cond"], bodies["body"])
        for made, inside in zip(loop.outputs, bodies["body"].outputs, strict=True):
            while inside.op.type == "Identity":
                inside = inside.op.inputs[0]
            if inside.op.type in _WRITES:
                self.lists[id(made)] = (turns, inside.op.inputs[-1].shape)

    def _list(self, op: Any) -> None:
        """The sizes of a list's items, of which the file says what it left open."""
        (read, *_), (made, *_) = op.inputs, op.outputs
        if op.type == "TensorListFromTensor":
            if read.shape.rank:
                self.lists[id(made)] = (read.shape[0], read.shape[1:])
            return
        turns, item = self.lists.get(id(read), (None, None))
        if item is None or item.rank is None:
            return
        if op.type == "TensorListStack":
            length = made.shape[0] if made.shape.rank else None
            item = [turns if length is None else length, *item]
        made.set_shape(item)

    def _graphs(
        self, node: Any, given: Sequence[Any], shapes: Sequence[Any], deep: int
    ) -> dict[str, Any]:
        """By attribute, or by number for several branches, the graphs of functions."""
        made = {}
        for attr in _CONTROL[node.op]:
            value = node.attr[attr]
            many = list(value.list.func)
            for index, function in enumerate(many or [value.func]):
                key = f"branch{index}" if many else attr
                made[key] = self._graph(self._function(function.name), given, shapes, deep)
        return made

    def _graph(self, function: Any, given: Sequence[Any], shapes: Sequence[Any], deep: int) -> Any:
        """The graph of one function, with placeholders for what it is given."""
        tf = importlib.import_module("tensorflow")
        func_graph = importlib.import_module("tensorflow.python.framework.func_graph")
        handle_data = importlib.import_module("tensorflow.python.ops.handle_data_util")
        graph = func_graph.FuncGraph(printable(function.signature.name))
        known = self.made.known
        with graph.as_default():
            for outer, shape in zip(given, shapes, strict=True):
                x = tf.compat.v1.placeholder(outer.dtype, shape)
                handle_data.copy_handle_data(outer, x)
                graph.inputs.append(x)
                if id(outer) in self.lists:
                    self.lists[id(x)] = self.lists[id(outer)]
                if id(outer) in known and outer.dtype == tf.resource:
                    known[id(x)] = (x, known[id(outer)][1])
            graph.outputs = self._body(function, graph.inputs, (), self.calls(), deep + 1)
        return graph


def _inside(place: Place, node: Any, call: Hashable) -> Place:
    """The scopes of a node of a function whose call is in this place."""
    return (*place, *((part, call) for part in node.name.split("/")[:-1]))


def _joined(shapes: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Shapes with what these tensors have otherwise left open."""
    return [a.most_specific_compatible_shape(b.shape) for a, b in zip(shapes, others, strict=True)]


def _flat_names(function: Any, definition_of: Callable[[str], Any]) -> Callable[[str], str]:
    """From a tensor's name in a function, ``node:output:1``, to that in a graph, ``node:3``."""
    nodes = {node.name: node for node in function.node_def}

    def flat(name: str) -> str:
        if name.startswith("^") or ":" not in name:
            return name
        owner, output, index = name.split(":")
        place, node = int(index), nodes[owner]
        for each in definition_of(node.op).output_arg:
            if each.name == output:
                return f"{owner}:{place}"
            place += _width(each, node)
        raise ValueError(f"{owner} has no output {output}")

    return flat


def _width(output: Any, node: Any) -> int:
    """How many tensors an output is."""
    if output.type_list_attr:
        return len(node.attr[output.type_list_attr].list.type)
    return int(node.attr[output.number_attr].i) if output.number_attr else 1


def _with_inputs(node: Any, inputs: Sequence[str]) -> Any:
    """A node without its order among others and what would hold it to other sizes."""
    kept = [name for name in inputs if not name.startswith("^")]
    made = type(node)(name=node.name, op=node.op, input=kept)
    for name, value in node.attr.items():
        if name not in _STALE:
            made.attr[name].CopyFrom(value)
    return made


def _producer() -> int:
    versions = importlib.import_module("tensorflow.python.framework.versions")
    return int(versions.GRAPH_DEF_VERSION)
