"""MACs of a Keras model, counted on the op graph that TensorFlow traces.

The model is never run and no weight is allocated: variables and inputs enter the trace as
`tf.TensorSpec`. Padded taps count (nominal MACs). What cannot be counted raises.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state

Shapes = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]
Env = dict[str, Callable[[], Any]]

_PENDING = "uninitialized_variables"  # what Keras would initialise at the next chance
_MOST_STEPS = 1_000_000


class CannotCount(ValueError):
    """The graph holds something whose MACs this counter does not know."""


@dataclass(frozen=True)
class TracedCount:
    """Nominal MACs in all, and by the chain of layer names (root model left out)."""

    macs: int
    by_layer: dict[str, int]

    def under(self, path: str) -> int:
        """MACs of a layer and of everything that it calls."""
        inside = f"{path}/"
        return sum(m for p, m in self.by_layer.items() if p == path or p.startswith(inside))


@contextmanager
def abstractly() -> Iterator[None]:
    """Keras makes variables here that are a shape only, and forgets to initialise them later."""
    before = list(global_state.get_global_attribute(_PENDING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_PENDING, before)


def build_abstractly(build: Callable[..., keras.Model], *args: Any, **kwargs: Any) -> keras.Model:
    """The model that `build` returns, its weights not allocated."""
    with abstractly():
        return build(*args, **kwargs)


def traced_macs(
    model: keras.Model | Callable[[], keras.Model],
    input_shapes: Shapes | None = None,
    batch: int = 1,
) -> TracedCount:
    """Count a model, or what a zero-argument builder returns (built without its weights).

    `input_shapes` are without the batch: one shape, a list of them, or a dict by input name. A
    subclassed model needs them; a Functional one only for dimensions that it leaves open.
    """
    with abstractly():
        if not isinstance(model, keras.Model):
            model = model()
        inputs = _inputs(model, input_shapes, batch)
        if not model.built:
            model(keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype), inputs))
        concrete, calls = _trace(model, inputs)
    walk = _Walk(calls)
    walk.graph(concrete.graph, concrete.graph.outputs, {}, 1, ())
    macs = {path: count for path, count in walk.macs.items() if count}
    return TracedCount(sum(macs.values()), macs)


def _inputs(model: keras.Model, given: Shapes | None, batch: int) -> Any:
    """The model's inputs as TensorSpecs with every dimension settled, in the model's structure."""
    declared = getattr(model, "inputs", None)
    if not declared:
        if given is None:
            raise CannotCount(f"{model.name} has no declared inputs: give input_shapes")
        if isinstance(given, Mapping):
            return {k: tf.TensorSpec((batch, *s), keras.config.floatx()) for k, s in given.items()}
        shapes = [given] if _is_shape(given) else given
        specs = [tf.TensorSpec((batch, *shape), keras.config.floatx()) for shape in shapes]
        return specs[0] if len(specs) == 1 else specs
    specs = []
    for index, tensor in enumerate(declared):
        shape = tuple(tensor.shape)
        if isinstance(given, Mapping):
            mine = given.get(tensor.name)
        elif given is None or _is_shape(given):
            mine = given
        else:
            mine = given[index]
        free = shape[1:] if mine is None else tuple(mine)
        settled = (batch if shape[0] is None else shape[0], *free)
        if None in settled:
            raise CannotCount(f"input {tensor.name!r} is {shape}: give input_shapes")
        specs.append(tf.TensorSpec(settled, tensor.dtype))
    if isinstance(model, keras.Sequential):
        return specs[0]
    return keras.tree.pack_sequence_as(model.input, specs)


def _is_shape(given: Any) -> bool:
    return all(size is None or isinstance(size, int) for size in given)


@dataclass(frozen=True)
class _Span:
    """Ops `start` to `stop` of a graph were made while this chain of layers was being called."""

    graph: Any
    start: int
    stop: int
    chain: tuple[str, ...]


@contextmanager
def _recording(spans: list[_Span]) -> Iterator[None]:
    """Note which ops each Keras call makes. Inner calls end first, so they come first."""
    stack: list[keras.Operation] = []

    def watch(original: Callable) -> Callable:
        def __call__(self: keras.Operation, *args: Any, **kwargs: Any) -> Any:
            if stack and stack[-1] is self:  # Layer.__call__ goes on to Operation.__call__
                return original(self, *args, **kwargs)
            stack.append(self)
            graph = tf.compat.v1.get_default_graph()
            start, chain = graph.version, tuple(op.name for op in stack[1:])
            try:
                return original(self, *args, **kwargs)
            finally:
                spans.append(_Span(graph, start, graph.version, chain))
                stack.pop()

        return __call__

    kinds = (keras.layers.Layer, keras.Operation)
    originals = [kind.__call__ for kind in kinds]
    for kind, original in zip(kinds, originals, strict=True):
        kind.__call__ = watch(original)
    try:
        yield
    finally:
        for kind, original in zip(kinds, originals, strict=True):
            kind.__call__ = original


def _trace(model: keras.Model, inputs: Any) -> tuple[Any, list[_Span]]:
    variables = model.variables
    specs = [tf.TensorSpec(v.shape, v.dtype) for v in variables]
    options = {"training": False} if "training" in inspect.signature(model.call).parameters else {}

    def call(values: list[tf.Tensor], flat: list[tf.Tensor]) -> list[tf.Tensor]:
        packed = keras.tree.pack_sequence_as(inputs, flat)
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, initialize_variables=False):
            outputs = model(packed, **options)
        return [out for out in keras.tree.flatten(outputs) if out is not None]

    spans: list[_Span] = []
    traced = tf.function(call, autograph=False)
    with _recording(spans):
        concrete = traced.get_concrete_function(specs, keras.tree.flatten(inputs))
    return concrete, spans


# Ops that change neither the elements nor their number.
_VIEWS = {"Identity", "ExpandDims", "Squeeze", "Reshape", "StopGradient"}
# Contractions that Keras does not emit today; to meet one and add nothing would be a lie.
_REFUSED = {
    "Conv",
    "Conv2DBackpropFilter",
    "Conv3DBackpropFilterV2",
    "CudnnRNN",
    "CudnnRNNV2",
    "CudnnRNNV3",
    "DepthwiseConv2dNativeBackpropFilter",
    "DepthwiseConv2dNativeBackpropInput",
    "QuantizedConv2D",
    "QuantizedMatMul",
    "SparseMatMul",
    "SparseTensorDenseMatMul",
    "XlaConvV2",
    "XlaDotV2",
}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall", "RemoteCall"}
_LOOPS = {"While", "StatelessWhile"}
_BRANCHES = {"If", "StatelessIf", "Case", "StatelessCase"}


@dataclass
class _Walk:
    """Goes through the live ops of a graph and of the functions that they call."""

    spans: list[_Span]
    macs: dict[str, int] = field(default_factory=dict)
    owners: dict[int, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    def graph(
        self, graph: Any, outputs: Sequence, env: Env, times: int, caller: tuple[str, ...]
    ) -> None:
        owners = self._owners(graph)
        users: dict[str, list] = {}
        live = _live(outputs)
        for op in live:
            for tensor in op.inputs:
                users.setdefault(tensor.name, []).append(op)
        at = {op.name: index for index, op in enumerate(graph.get_operations())}
        for op in sorted(live, key=lambda op: at[op.name]):
            owner = owners.get(op.name, caller)
            if owner[: len(caller)] != caller:  # a function traced before, in another layer
                owner = caller
            if op.type in _CALLS:
                self._enter(op, op.get_attr("f").name, op.inputs, env, times, owner)
            elif op.type in _LOOPS:
                trips = _trips(op, env)
                self._enter(op, op.get_attr("body").name, op.inputs, {}, times * trips, owner)
            elif op.type in _BRANCHES:
                self._branches(op, env, times, owner)
            else:
                count = _macs(op, users, owners)
                path = "/".join(owner)
                self.macs[path] = self.macs.get(path, 0) + times * count

    def _owners(self, graph: Any) -> dict[str, tuple[str, ...]]:
        """Innermost chain of layers for each op of a graph that some call made."""
        if id(graph) not in self.owners:
            found: dict[str, tuple[str, ...]] = {}
            ops = graph.get_operations()
            for span in self.spans:
                if span.graph is graph:
                    for op in ops[span.start : span.stop]:
                        found.setdefault(op.name, span.chain)
            self.owners[id(graph)] = found
        return self.owners[id(graph)]

    def _enter(
        self, op: Any, name: str, inputs: Sequence, env: Env, times: int, owner: tuple[str, ...]
    ) -> None:
        inner = _function(op, name)
        known = _bind(inner, inputs, env)
        if op.type in _LOOPS:  # only what every step hands on unchanged is known inside
            pairs = zip(inner.inputs, inner.outputs, strict=True)
            kept = {mine.name for mine, out in pairs if _origin(out).name == mine.name}
            known = {name: value for name, value in known.items() if name in kept}
        self.graph(inner, inner.outputs, known, times, owner)

    def _branches(self, op: Any, env: Env, times: int, owner: tuple[str, ...]) -> None:
        """Of the branches the costliest: which one runs is not known."""
        if op.type in ("If", "StatelessIf"):
            names = [op.get_attr("then_branch").name, op.get_attr("else_branch").name]
        else:
            names = [branch.name for branch in op.get_attr("branches")]
        counted = []
        for name in names:
            inner = _function(op, name)
            walk = _Walk(self.spans)
            walk.graph(inner, inner.outputs, _bind(inner, op.inputs[1:], env), times, owner)
            counted.append(walk.macs)
        for path, count in max(counted, key=lambda macs: sum(macs.values())).items():
            self.macs[path] = self.macs.get(path, 0) + count


def _function(op: Any, name: str) -> Any:
    return op.graph._get_function(name).graph


def _bind(inner: Any, inputs: Sequence, env: Env) -> Env:
    """What a called function knows of its arguments: how to evaluate them outside."""
    pairs = zip(inner.inputs, inputs, strict=True)
    return {mine.name: (lambda theirs=theirs: _value(theirs, env)) for mine, theirs in pairs}


def _origin(tensor: Any) -> Any:
    """The tensor behind views, which change neither the elements nor their number."""
    while tensor.op.type in _VIEWS:
        tensor = tensor.op.inputs[0]
    return tensor


def _live(outputs: Sequence) -> list:
    """Every op that the outputs depend on, inputs before users."""
    order: list = []
    seen: set[str] = set()
    todo = [(tensor.op, False) for tensor in outputs]
    while todo:
        op, expanded = todo.pop()
        if expanded:
            order.append(op)
        elif op.name not in seen:
            seen.add(op.name)
            todo.append((op, True))
            todo.extend((tensor.op, False) for tensor in op.inputs)
    return order


def _size(tensor: Any) -> int:
    return prod(_shape(tensor))


def _shape(tensor: Any) -> tuple[int, ...]:
    if not tensor.shape.is_fully_defined():
        raise CannotCount(f"{tensor.name} has the shape {tensor.shape}")
    return tuple(tensor.shape)


def _macs(op: Any, users: dict[str, list], owners: dict[str, tuple[str, ...]]) -> int:
    """Nominal MACs of one op that calls no function."""
    kind = op.type
    if kind in ("Conv2D", "Conv3D"):
        *taps, fan_in, _ = _shape(op.inputs[1])  # fan-in is per group
        return _size(_own_output(op, users, owners)) * prod(taps) * fan_in
    if kind == "DepthwiseConv2dNative":
        taps = _shape(op.inputs[1])[:2]
        return _size(_own_output(op, users, owners)) * prod(taps)
    if kind in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
        *taps, c_out, _ = _shape(op.inputs[1])
        return _size(op.inputs[2]) * prod(taps) * c_out
    if kind == "MatMul":
        rows, columns = _shape(op.inputs[0])
        return _size(op.outputs[0]) * (rows if op.get_attr("transpose_a") else columns)
    if kind in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        shape = _shape(op.inputs[0])
        return _size(op.outputs[0]) * (shape[-2] if op.get_attr("adj_x") else shape[-1])
    if kind == "Einsum":
        return _einsum(op)
    if kind in _REFUSED:
        raise CannotCount(f"{op.name} is a {kind}")
    _refuse_hidden_functions(op)
    return 0


def _refuse_hidden_functions(op: Any) -> None:
    for attr in op.op_def.attr:
        if attr.type in ("func", "list(func)") and op.get_attr(attr.name):
            raise CannotCount(f"{op.name} ({op.type}) calls a function that is not followed")


def _einsum(op: Any) -> int:
    """Sizes of the labels multiplied; one operand alone multiplies nothing.

    Labels that only one operand has, and the output lacks, are summed before the product.
    """
    if len(op.inputs) == 1:
        return 0
    terms, _, output = op.get_attr("equation").decode().partition("->")
    sizes: dict[str, int] = {}
    holders: dict[str, int] = {}
    for term, tensor in zip(terms.split(","), op.inputs, strict=True):
        shape = list(_shape(tensor))
        before, dots, after = term.partition("...")
        hidden = len(shape) - len(before) - len(after) if dots else 0
        stand_ins = [f".{hidden - i}" for i in range(hidden)]  # counted from the right
        for label, size in zip([*before, *stand_ins, *after], shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
        for label in {*before, *stand_ins, *after}:
            holders[label] = holders.get(label, 0) + 1
    kept = [s for x, s in sizes.items() if holders[x] > 1 or x in output or x.startswith(".")]
    return prod(kept)


def _own_output(op: Any, users: dict[str, list], owners: dict[str, tuple[str, ...]]) -> Any:
    """The output of a convolution as its layer defines it.

    TensorFlow computes a dilated convolution on a rearranged image with more positions than the
    layer has, and Keras a strided dilated depthwise one at stride 1, dropping most of it.
    """
    out = op.outputs[0]
    if _origin(op.inputs[0]).op.type == "SpaceToBatchND":
        back = _next(out, users, "BatchToSpaceND")
        if back is None:
            raise CannotCount(f"{op.name} reads a SpaceToBatchND that nothing undoes")
        out = back
    if op.type == "DepthwiseConv2dNative":
        kept = _next(out, users, "StridedSlice")
        if kept is not None and owners.get(kept.op.name) == owners.get(op.name):
            out = kept
    return out


def _next(tensor: Any, users: dict[str, list], kind: str) -> Any | None:
    """The output of the op of that kind which alone uses the tensor, views looked through."""
    while True:
        using = users.get(tensor.name, [])
        if len(using) != 1:
            return None
        tensor = using[0].outputs[0]
        if using[0].type == kind:
            return tensor
        if using[0].type not in _VIEWS:
            return None


def _trips(op: Any, env: Env) -> int:
    """How often a loop runs: its condition, with the scalars that it depends on, is played."""
    cond, body = (_function(op, op.get_attr(name).name) for name in ("cond", "body"))
    names = [tensor.name for tensor in cond.inputs]
    body_names = [tensor.name for tensor in body.inputs]
    needed: set[int] = set()
    todo = {names.index(n) for n in _reads(cond.outputs[0]) if n in names}
    while todo:
        index = todo.pop()
        needed.add(index)
        reads = {body_names.index(n) for n in _reads(body.outputs[index]) if n in body_names}
        todo |= reads - needed
    state = {index: _value(op.inputs[index], env) for index in needed}
    for trips in range(_MOST_STEPS):
        if not _value(cond.outputs[0], {names[i]: (lambda v=v: v) for i, v in state.items()}):
            return trips
        inside: Env = {body_names[i]: (lambda v=v: v) for i, v in state.items()}
        state = {index: _value(body.outputs[index], inside) for index in needed}
    raise CannotCount(f"{op.name} runs more than {_MOST_STEPS} times")


def _reads(tensor: Any) -> set[str]:
    """Names of the tensors that a tensor is computed from."""
    return {out.name for op in _live([tensor]) for out in op.outputs}


_SCALARS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "RealDiv": np.divide,
    "Neg": np.negative,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Equal": np.equal,
    "NotEqual": np.not_equal,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "LogicalNot": np.logical_not,
    "SelectV2": np.where,
    "Identity": np.asarray,
    "Range": np.arange,
    "Reshape": np.reshape,
}
_REDUCTIONS = {"Max": np.max, "Min": np.min, "Sum": np.sum, "Prod": np.prod, "All": np.all}


def _value(tensor: Any, env: Env) -> Any:
    """The value of a small tensor, from constants and from what `env` knows."""
    if tensor.name in env:
        return env[tensor.name]()
    static = tf.get_static_value(tensor)
    if static is not None:
        return static
    op = tensor.op
    operands = [_value(operand, env) for operand in op.inputs]
    if op.type in _SCALARS:
        return _SCALARS[op.type](*operands)
    if op.type in _REDUCTIONS:
        return _REDUCTIONS[op.type](operands[0], axis=tuple(np.atleast_1d(operands[1])))
    if op.type == "Cast":
        return np.asarray(operands[0]).astype(tensor.dtype.as_numpy_dtype)
    if op.type == "Squeeze":
        return np.squeeze(operands[0])
    if op.type == "ExpandDims":
        return np.expand_dims(operands[0], int(operands[1]))
    if op.type == "Pack":
        return np.stack(operands, op.get_attr("axis"))
    if op.type == "StridedSlice":
        return _sliced(op, *operands)
    raise CannotCount(f"a loop depends on {op.name} ({op.type}), whose value is not known")


def _sliced(op: Any, array: Any, begins: Any, ends: Any, strides: Any) -> Any:
    """A StridedSlice without ellipsis or new axes."""
    if op.get_attr("ellipsis_mask") or op.get_attr("new_axis_mask"):
        raise CannotCount(f"a loop depends on {op.name}, whose slices are not followed")
    index: list[Any] = []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << axis
        if op.get_attr("shrink_axis_mask") & bit:
            index.append(int(begin))
        else:
            first = None if op.get_attr("begin_mask") & bit else int(begin)
            last = None if op.get_attr("end_mask") & bit else int(end)
            index.append(slice(first, last, int(stride)))
    return np.asarray(array)[tuple(index)]
