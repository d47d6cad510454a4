"""A live model of Keras 2 (``tf_keras``) → Graph: from its config, else traced.

A Functional or Sequential model whose layers are all Keras's own is read as its file would be,
and its weights are compared with the live ones. Any other is traced into a TensorFlow graph, with
the calls of its layers as rows. Keras 2 allocates weights where it makes a layer; reading makes
none beyond those.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

from costlens.errors import InputError, LoweringError
from costlens.frontends import keras_file
from costlens.frontends.held import Held
from costlens.frontends.keras_open import is_model
from costlens.frontends.keras_trace import Frame, Trace
from costlens.frontends.layercall import Layer, Opaque, Program, ProgramInput, Stored, Tree, leaves
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.run import lower
from costlens.frontends.lowering.tf import TF_OPS
from costlens.frontends.saved import Saved
from costlens.frontends.sizes import Wanted, only_shape, settle
from costlens.frontends.tf_graph import View, program_of
from costlens.frontends.tf_needs import Needs
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import TensorType

_TABLE = {**LOWERINGS, **TF_OPS}


def is_keras_2_model(model: Any) -> bool:
    """Whether an object is a model of tf_keras, which nothing here imports."""
    return any(
        c.__name__ == "Model" and c.__module__.split(".")[0] == "tf_keras"
        for c in type(model).__mro__
    )


def read(model: Any, wanted: Wanted) -> Graph:
    """The graph of a model of Keras 2.

    Raises InputError where a size stays open, or what it is asked for needs Keras 3.
    """
    if wanted.verify or wanted.training:
        what = "it is a model of Keras 2, which is not traced a second time"
        raise InputError(str(model.name), what, "Leave out --verify and --training.")
    graph = _from_config(model, wanted)
    if graph is None or any(node.op == "unknown" for node in graph.nodes):
        graph = _traced(model, wanted)
    numbers = sum(weight.type.size for weight in graph.weights.values())
    counted = sum(prod(weight.shape) for weight in model.weights)
    if numbers != counted:
        what = f"its weights hold {numbers:,} numbers, and Keras counts {counted:,}"
        raise LoweringError(graph.name, what, "Please report this model.")
    return graph


# -- from its config ---------------------------------------------------------------------------


def _from_config(model: Any, wanted: Wanted) -> Graph | None:
    """The graph of a Functional or Sequential model of Keras's layers; None for any other."""
    if not getattr(model, "_is_graph_network", False):
        return None
    try:
        config = json.loads(model.to_json())
    except Exception:  # a layer of the user's, without a config
        return None
    held = Held({}, {str(layer.name): _held(layer) for layer in model.layers}, by_name=True)
    saved = Saved(str(model.name), config, "2", held if held.size() else None)
    try:
        graph = keras_file.read_graph(saved, wanted.batch, wanted.input_shape, wanted.dims)
    except LoweringError:  # a layer that is not what its config says
        return None
    trainable = sum(w.type.size for w in graph.weights.values() if w.trainable)
    if trainable != sum(prod(weight.shape) for weight in model.trainable_weights):
        return None
    return graph


def _held(layer: Any) -> Held:
    return Held({str(w.name).removesuffix(":0"): _type(w) for w in layer.weights})


def _type(variable: Any) -> TensorType:
    name = str(variable.dtype.base_dtype.name)
    return TensorType(tuple(variable.shape), {"half": "float16"}.get(name, name))


# -- traced --------------------------------------------------------------------------------------


def _traced(model: Any, wanted: Wanted) -> Graph:
    declared = _inputs(model, wanted)
    types, _ = settle(declared, wanted.batch, wanted.input_shape)
    try:
        traced = _trace(model, declared, types)
    except Exception as error:  # whatever the user's call raises
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(
            str(model.name),
            f"{type(model).__name__} cannot be called on these inputs: {text}",
            "Pass the inputs that it takes with --input NAME=DTYPE:SHAPE.",
        ) from error
    trained = {id(weight) for weight in model.trainable_weights}

    def stored(variable: Any) -> Stored:
        name = str(variable.name).removesuffix(":0").rpartition("/")[2]
        return Stored(name, _type(variable), id(variable) in trained, id(variable))

    def described(layer: Any) -> Layer:
        return Layer(f"layer:{type(layer).__name__}", str(layer.name), {}, ("live", id(layer)))

    def known(variable: Any) -> Any:
        return Opaque("a variable") if variable is None else stored(variable)

    view = View(described, lambda x: Opaque(type(x).__name__), known, lambda x: False, is_model)
    program = program_of(traced, view, str(model.name), type(model).__name__)
    named = zip(program.inputs, declared, types, strict=True)
    inputs = tuple(replace(x, name=told.name, shape=type_.shape) for x, told, type_ in named)
    rest = Layer("layer:Model", str(model.name), {}, id(model), tuple(map(stored, model.weights)))
    made: Program = replace(program, inputs=inputs, uncalled=(rest,))
    return check(lower(made, _TABLE, types, wanted.dims))


def _inputs(model: Any, wanted: Wanted) -> tuple[ProgramInput, ...]:
    """What a model is called on: its own inputs, those that are given, or those it was built on."""
    own = getattr(model, "inputs", None)
    if own and getattr(model, "_is_graph_network", False):
        return tuple(
            ProgramInput(i, str(x.name), tuple(x.shape), str(x.dtype.name))
            for i, x in enumerate(own)
        )
    if wanted.inputs:
        given = enumerate(wanted.inputs.items())
        return tuple(
            ProgramInput(i, name, tuple(shape), dtype) for i, (name, (dtype, shape)) in given
        )
    built: Any = getattr(model, "_build_input_shape", None)
    spec: Any = getattr(model, "_saved_model_inputs_spec", None)
    sizes = only_shape(wanted.input_shape)
    if hasattr(spec, "shape"):
        return (ProgramInput(0, "input", tuple(spec.shape), str(spec.dtype.name)),)
    if sizes is None and built is None:
        what = f"{type(model).__name__} is a subclassed model that was never called"
        raise InputError(str(model.name), what, "Pass --input-shape or --input.")
    return (ProgramInput(0, "input", tuple(built) if sizes is None else (None, *sizes), "float32"),)


def _trace(model: Any, declared: Sequence[ProgramInput], types: Sequence[TensorType]) -> Trace:
    """Call the model on placeholders in a graph of its own."""
    tf = importlib.import_module("tensorflow")
    func_graph = importlib.import_module("tensorflow.python.framework.func_graph")
    graph = func_graph.FuncGraph("costlens")
    with graph.as_default(), graph.name_scope("call"):
        given = [tf.compat.v1.placeholder(x.dtype, x.shape) for x in types]
        with _recorded() as frames:
            outputs = model(given[0] if len(given) == 1 else _packed(model, declared, given))
    return Trace(
        graph, tuple(frames), tuple(given), outputs, _variables(graph, model), graph.version
    )


def _packed(model: Any, declared: Sequence[ProgramInput], given: Sequence[Any]) -> Tree:
    """Several inputs in the structure that a model takes."""
    if getattr(model, "_is_graph_network", False):
        nest = importlib.import_module("tensorflow").nest
        return nest.pack_sequence_as(model._nested_inputs, list(given))
    return {told.name: x for told, x in zip(declared, given, strict=True)}


@contextmanager
def _recorded() -> Iterator[list[Frame]]:
    """Record every call of a layer on tensors of a graph, each inside the one that makes it."""
    tf = importlib.import_module("tensorflow")
    layer = importlib.import_module("tf_keras").layers.Layer
    roots: list[Frame] = []
    opened: list[Frame] = []
    original: Callable[..., Any] = layer.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(x, tf.Tensor) for x in leaves((args, kwargs))):
            return original(self, *args, **kwargs)
        graph = tf.compat.v1.get_default_graph()
        frame = Frame(self, args, kwargs, graph, graph.version, -1)
        (opened[-1].inside if opened else roots).append(frame)
        opened.append(frame)
        try:
            frame.outputs = original(self, *args, **kwargs)
        finally:
            opened.pop()
            frame.stop = graph.version
        return frame.outputs

    layer.__call__ = call
    try:
        yield roots
    finally:
        layer.__call__ = original


def _variables(graph: Any, model: Any) -> Mapping[int, tuple[Any, Any]]:
    """By the id of a tensor, the variable that it reads; None for one that only stands for it.

    Functions are looked into: what they are given is what they close over.
    """
    by_handle = {id(variable.handle): variable for variable in model.weights}
    found: dict[int, tuple[Any, Any]] = {}
    needs = Needs()

    def walk(graph: Any, handles: Mapping[int, Any]) -> None:
        found.update((id(x), (x, None)) for x in graph.inputs if id(x) in handles)
        for op in graph.get_operations():
            if op.type == "ReadVariableOp" and id(op.inputs[0]) in handles:
                found[id(op.outputs[0])] = (op.outputs[0], handles[id(op.inputs[0])])
            elif op.type == "ResourceGather" and id(op.inputs[0]) in handles:
                found[id(op.inputs[0])] = (op.inputs[0], handles[id(op.inputs[0])])
            for body in needs.functions(op).values():
                given = list(op.inputs)[len(op.inputs) - len(body.inputs) :]
                inside = {
                    id(inner): handles[id(outer)]
                    for outer, inner in zip(given, body.inputs, strict=True)
                    if id(outer) in handles
                }
                walk(body, inside)

    outer = {
        id(inner): by_handle[id(handle)]
        for handle, inner in graph.captures
        if id(handle) in by_handle
    }
    walk(graph, outer)
    return found
