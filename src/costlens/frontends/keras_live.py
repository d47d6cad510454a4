"""A live Keras model → Program → Graph. Never runs it, never makes a weight."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from costlens.errors import InputError, LoweringError
from costlens.frontends.abstract import abstract_keras, left_initialised
from costlens.frontends.keras_inputs import ModelCall, settle_call
from costlens.frontends.keras_open import is_model, mode, opener, traced_model
from costlens.frontends.layercall import (
    Constant,
    Layer,
    Opaque,
    Program,
    ProgramInput,
    Ref,
    Step,
    Stored,
    Tree,
    map_leaves,
)
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.jax import JAX_OPS
from costlens.frontends.lowering.quantized import packing_noted
from costlens.frontends.lowering.run import lower
from costlens.frontends.lowering.tf import TF_OPS
from costlens.frontends.program import layer_key
from costlens.frontends.sizes import AS_IT_IS, Inputs, InputShape, Wanted, only_shape, settle
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import TensorType

TABLE = {**LOWERINGS, **JAX_OPS, **TF_OPS}
"""Every layer and operation that is read, traced ones included."""

_HARMLESS = frozenset(
    "get_config from_config get_build_config build_from_config get_compile_config "
    "compile_from_config save_own_variables load_own_variables save_assets load_assets "
    "train_step test_step predict_step compute_loss compute_metrics metrics".split()
)
"""What a subclass may override without changing its weights or what it computes."""


def read_model(model: Any) -> Program:
    """The program of a built Functional or Sequential model.

    Raises InputError for a subclassed or unbuilt model, which has no graph to read.
    """
    return _Reader().program(model)


def function_of(model: Any) -> Any | None:
    """The Functional graph behind a model, or None where its ``call`` is its own."""
    import keras

    if isinstance(model, keras.Sequential):
        own_call = type(model).call is not keras.Sequential.call
        return None if own_call else getattr(model, "_functional", None)
    functional: Any = next((c for c in type(model).__mro__ if c.__name__ == "Functional"), None)
    if functional is None or type(model).call is not functional.call:
        return None
    return model if getattr(model, "_nodes_by_depth", None) is not None else None


@dataclass(frozen=True, slots=True)
class Graphs:
    """A model's graph, and where they were wanted the traced one and that of a training step."""

    graph: Graph
    traced: Graph | None = None
    step: Graph | None = None


def read(model: Any, wanted: Wanted = AS_IT_IS, given: Tree = None) -> Graphs:
    """The graphs of a live model; ``given`` is what a script gives it, a tree of (shape, dtype).

    A subclassed model that was never called is built, as calling it would. Raises InputError
    where a size stays open and LoweringError where a layer disagrees with Keras about itself.
    """
    model = _built(model, wanted.input_shape)
    try:
        graphs = Graphs(
            _read(model, wanted, given),
            _traced(model, wanted, given, False) if wanted.verify else None,
            _traced(model, wanted, given, True) if wanted.training else None,
        )
    finally:
        note = left_initialised(model)
    if not note:
        return graphs
    return replace(graphs, graph=replace(graphs.graph, notes=(*graphs.graph.notes, note)))


def read_graph(
    model: Any,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
    inputs: Inputs | None = None,
) -> Graph:
    """The graph of a model, every layer call checked against it; a subclassed one is traced."""
    return read(model, Wanted(batch, input_shape, dims, inputs)).graph


def _read(model: Any, wanted: Wanted, given: Tree) -> Graph:
    reader = _Reader()
    with abstract_keras():
        if function_of(model) is None:
            call = settle_call(model, wanted, given)
            kwargs = {**call.kwargs, **mode(model, False)}
            program = traced_model(model, call.args, kwargs, reader.layer, leaf_of)
            program, types, resized = _with_names(program, call.names), _types(program), False
        else:
            program = reader.program(model)
            types, resized = settle(program.inputs, wanted.batch, wanted.input_shape)
        opened = opener(model, reader.layer, leaf_of, reader.live)
        graph = check(lower(program, TABLE, types, wanted.dims, resized, opened))
    return _counted(graph, int(model.count_params()))


def _traced(model: Any, wanted: Wanted, given: Tree, training: bool) -> Graph:
    """The same model as TensorFlow traces it, every operation of every layer.

    An independent count: neither the configs of layers nor their lowerings take part. With
    ``training`` it is a training step: the forward pass in training mode, and the gradients of
    the outputs by every trainable variable.
    """
    reader = _Reader()
    call = _call_of(model, reader, wanted, given)
    with abstract_keras():
        kwargs = {**call.kwargs, **mode(model, training)}
        program = traced_model(
            model, call.args, kwargs, reader.layer, leaf_of, opened=True, backward=training
        )
        return check(lower(_with_names(program, call.names), TABLE, _types(program)))


def _call_of(model: Any, reader: _Reader, wanted: Wanted, given: Tree) -> ModelCall:
    """How to call a model; a Functional one on its own inputs."""
    function = function_of(model)
    if function is None:
        return settle_call(model, wanted, given)
    declared = reader.program(model).inputs
    types, resized = settle(declared, wanted.batch, wanted.input_shape)
    if resized:
        raise InputError(
            str(model.name),
            "it fixes its input size, and --verify and --training trace it at its own",
            "Leave out the flag that differs, or build the model at that size.",
        )
    return ModelCall((_packed(function, types),), {}, tuple(x.name for x in declared))


def _with_names(program: Program, names: Sequence[str]) -> Program:
    named = zip(program.inputs, names, strict=True)
    return replace(program, inputs=tuple(replace(x, name=name) for x, name in named))


def _types(program: Program) -> tuple[TensorType, ...]:
    """The input types of a traced program, which were concrete when it was traced."""
    return tuple(TensorType(tuple(n or 0 for n in x.shape), x.dtype) for x in program.inputs)


def _packed(function: Any, types: Sequence[TensorType]) -> Tree:
    """Input types in the structure that a Functional model takes."""
    by_tensor = {id(x): t for x, t in zip(function._inputs, types, strict=True)}
    return map_leaves(lambda x: by_tensor[id(x)], _plain(function._inputs_struct))


def _counted(graph: Graph, by_keras: int) -> Graph:
    """The graph, its parameters compared with Keras's own count.

    Keras counts a quantised kernel as it is packed, and its scales; that figure becomes a note.
    """
    numbers = sum(weight.type.size for weight in graph.weights.values())
    if numbers != by_keras:
        raise LoweringError(
            graph.name,
            f"its weights hold {numbers:,} numbers, and Keras counts {by_keras:,}",
            "Please report this model.",
        )
    return packing_noted(graph)


def _built(model: Any, input_shape: InputShape) -> Any:
    """A Sequential that waits for its input shape, built abstractly as a copy.

    The user's own object stays as it is: built here, it would hold weights that do not exist.
    """
    import keras

    if not isinstance(model, keras.Sequential) or getattr(model, "_functional", None) is not None:
        return model
    sizes = only_shape(input_shape)
    if sizes is None:
        raise InputError(
            str(model.name),
            "this Sequential model has no input shape yet",
            "Pass --input-shape with the shape of one input, or start it with keras.Input(shape).",
        )
    with abstract_keras():
        try:
            copy = keras.models.clone_model(model)
            copy.build((None, *sizes))
        except Exception as error:  # whatever a layer of the user's raises
            text = " ".join(str(error).split())
            what = f"it cannot be built: {type(error).__name__}: {text[:300]}"
            fix = "Start it with keras.Input(shape), or build it."
            raise InputError(str(model.name), what, fix) from error
    return copy


class _Reader:
    """Numbers tensors and remembers layers, so that a shared layer is one object."""

    def __init__(self) -> None:
        self.layers: dict[int, Layer] = {}
        self.live: dict[Hashable, Any] = {}

    def program(self, model: Any, inner: bool = False) -> Program:
        """The program of a model; an ``inner`` one is called with any batch, whatever it was
        built with."""
        function = function_of(model)
        if function is None:
            raise InputError(
                str(model.name),
                f"{type(model).__name__} is a subclassed model, which has no graph of layers",
                "Read its graph, which traces it.",
            )
        numbers: dict[int, int] = {}

        def leaf(value: Any) -> Any:
            return leaf_of(value, numbers)

        inputs = tuple(
            ProgramInput(
                numbers.setdefault(id(x), len(numbers)),
                _input_name(x),
                tuple(x.shape),
                _dtype(x),
            )
            for x in function._inputs
        )
        fixed = {x.shape[0] for x in inputs if x.shape} - {None} if inner else set()
        steps, called = [], set()
        for depth in sorted(function._nodes_by_depth, reverse=True):
            for node in function._nodes_by_depth[depth]:
                if node.is_input or id(node.outputs[0]) in numbers:
                    continue
                called.add(id(node.operation))
                args = map_leaves(leaf, _plain(node.arguments.args))
                kwargs = map_leaves(leaf, _plain(node.arguments.kwargs))
                made = tuple(numbers.setdefault(id(x), len(numbers)) for x in node.outputs)
                expected = tuple((_without(fixed, x.shape), _dtype(x)) for x in node.outputs)
                steps.append(Step(self.layer(node.operation), args, kwargs, made, expected))
        outputs = map_leaves(leaf, _plain(function._outputs_struct))
        held = _uncalled(model, called | {id(function)})
        return Program(str(model.name), inputs, tuple(steps), outputs, held)

    def layer(self, operation: Any) -> Layer:
        known = self.layers.get(id(operation))
        if known is None:
            known = self.layers[id(operation)] = self._layer(operation)
        return known

    def _layer(self, operation: Any) -> Layer:
        name, identity = str(operation.name), ("live", id(operation))
        self.live[identity] = operation
        cls = type(operation)
        if function_of_layer(operation):
            key = f"layer:{cls.__name__}"
            return Layer(key, name, {}, identity, program=self.program(operation, inner=True))
        key, reason = _builtin_key(cls)
        stored = _stored(operation)
        config, problem = _config(operation)
        config = {**config, **_sublayers(operation)}
        return Layer(
            key, name, config, identity, stored, None, reason or problem, is_model(operation)
        )


def _without(batches: set[int | None], shape: Any) -> tuple[int | None, ...]:
    """A shape, its first size left open where it is one of these batches."""
    sizes = tuple(shape)
    return (None, *sizes[1:]) if sizes and sizes[0] in batches else sizes


def function_of_layer(operation: Any) -> bool:
    """Whether a layer is a container whose graph can be read."""
    return hasattr(operation, "layers") and function_of(operation) is not None


def _uncalled(model: Any, called: set[int]) -> tuple[Layer, ...]:
    """Layers that the model tracks and its graph does not call, and variables of its own."""
    layers: list[Any] = list(getattr(model, "_layers", []))
    held = [
        Layer(f"layer:{type(layer).__name__}", str(layer.name), {}, id(layer), _stored(layer))
        for layer in layers
        if id(layer) not in called and not _is_input(layer) and getattr(layer, "weights", [])
    ]
    inside = {id(variable) for layer in layers for variable in getattr(layer, "weights", [])}
    own = tuple(stored for stored in _stored(model) if stored.key not in inside)
    if own:
        held.append(Layer("layer:Model", str(model.name), {}, id(model), own))
    return tuple(held)


def _keras_class(cls: type) -> Any:
    """The class of Keras that a class is or extends, or None."""
    return next((c for c in cls.__mro__ if c.__module__.split(".")[0] == "keras"), None)


def _builtin_key(cls: type) -> tuple[str, str]:
    """The key of Keras's class that behaves as ``cls`` does, and why there is none.

    A subclass that overrides nothing that decides its weights or its computation is read as
    the class of Keras that it extends.
    """
    base = _keras_class(cls)
    if base is None or base.__name__ in ("Layer", "Model", "Operation", "Wrapper"):
        return f"custom:{cls.__name__}", f"{cls.__name__} is a custom layer"
    for c in cls.__mro__[: cls.__mro__.index(base)]:
        changed = sorted(name for name in vars(c) if _changes(base, name))
        if changed:
            what = f"{cls.__name__} is a custom layer: a {base.__name__} with its own {changed[0]}"
            return f"custom:{cls.__name__}", what
    return layer_key(base.__module__, base.__name__), ""


def _changes(base: type, name: str) -> bool:
    """Whether overriding this name may change what a layer of Keras holds or computes."""
    special = name.startswith("__") and name != "__call__"
    return hasattr(base, name) and not special and name not in _HARMLESS


def _config(operation: Any) -> tuple[Mapping[str, Any], str]:
    """An operation's config, or its plain attributes where Keras cannot give one.

    It is Keras's own ``get_config`` that is asked: a subclass's may leave out what it fixes.
    """
    cls = _keras_class(type(operation)) or type(operation)
    try:
        config = cls.get_config(operation)
    except Exception:  # a user's get_config may raise anything
        plain = (int, float, str, bool, tuple, list, type(None))
        attributes = {
            key: value if isinstance(value, plain) else _array(value)
            for key, value in vars(operation).items()
            if not key.startswith("_") and (isinstance(value, plain) or _array(value) is not None)
        }
        return attributes, ""
    return {**config, **_unsaid(operation, config)}, ""


def _unsaid(operation: Any, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config leaves unsaid, or says less exactly than the live layer does."""
    more: dict[str, Any] = {}
    if "data_format" in config and config["data_format"] is None:  # what None meant then
        more["data_format"] = getattr(operation, "data_format", None)
    policy = getattr(operation, "dtype_policy", None)
    if isinstance(config.get("dtype"), str) and policy is not None:
        more["dtype"] = str(policy.name)
    if "output_padding" not in config and getattr(operation, "output_padding", None) is not None:
        more["output_padding"] = operation.output_padding  # which older configs leave out
    for name in ("activation", "recurrent_activation"):
        function = getattr(operation, name, None)
        module = str(getattr(function, "__module__", ""))
        own = module.startswith("keras.") and ".ops" not in module
        if name in config and inspect.isroutine(function) and not own:
            called = str(getattr(function, "__name__", function))
            more[name] = {"class_name": "function", "module": module, "config": called}
    return more


def _array(value: Any) -> Any:
    """An array among an operation's attributes: its integers, or a constant; None for the rest."""
    if not isinstance(value, np.ndarray):
        return None
    few = value.dtype.kind in "iu" and value.size <= 4096
    return value.tolist() if few else Constant(TensorType(value.shape, _dtype(value)), id(value))


def _sublayers(operation: Any) -> Mapping[str, Any]:
    """What was changed on layers inside after they were made, which no config of theirs holds."""
    changed = {}
    for layer in _flatten(operation):
        own = layer is operation
        if not own and (getattr(layer, "quantization_mode", None) or _has_lora(layer)):
            config = _config(layer)[0]
            keys = ("dtype", "quantization_config", "lora_rank", "lora_alpha")
            changed[str(layer.name)] = {key: config[key] for key in keys if key in config}
    return {"sublayers": changed} if changed else {}


def _has_lora(layer: Any) -> bool:
    return bool(getattr(layer, "lora_enabled", False))


def _stored(operation: Any) -> tuple[Stored, ...]:
    made_trainable = {
        id(variable)
        for layer in _flatten(operation)
        for variable in getattr(layer, "_trainable_variables", ())
    }
    stored = []
    for variable in operation.weights if _flatten(operation) else ():  # ops have other "weights"
        trainable = bool(variable.trainable)
        frozen = not trainable and id(variable) in made_trainable
        type_ = TensorType(tuple(variable.shape), str(variable.dtype))
        stored.append(Stored(str(variable.name), type_, trainable, id(variable), frozen))
    return tuple(stored)


def _flatten(operation: Any) -> Sequence[Any]:
    flatten: Callable[[], Sequence[Any]] | None = getattr(operation, "_flatten_layers", None)
    return list(flatten()) if flatten else []


def _plain(tree: Any) -> Tree:
    """Keras's tracked containers as plain lists, tuples and dicts."""
    if isinstance(tree, tuple):
        items = [_plain(item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if isinstance(tree, Mapping):
        return {key: _plain(item) for key, item in tree.items()}
    return tree


def leaf_of(value: Any, numbers: Mapping[int, int] = MappingProxyType({})) -> Any:
    """A live argument as a leaf; symbolic tensors by their numbers."""
    if hasattr(value, "_keras_history") and id(value) in numbers:
        return Ref(numbers[id(value)])
    if value is None or value is ... or isinstance(value, (bool, int, float, complex, str, slice)):
        return value
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shape = tuple(value.shape)
        if not shape and isinstance(value, (np.generic, np.ndarray)):
            return value.item() if value.dtype.kind in "biu" else np.asarray(value)[()]
        if all(isinstance(n, int) for n in shape):
            return Constant(TensorType(shape, _dtype(value)), id(value))
    if inspect.isclass(value) or callable(value):
        return Opaque(getattr(value, "__name__", type(value).__name__), value)
    return Opaque(type(value).__name__)


def _dtype(value: Any) -> str:
    dtype = value.dtype
    name = str(getattr(dtype, "name", dtype))
    return {"object": "string"}.get(name, name)


def _input_name(tensor: Any) -> str:
    history = getattr(tensor, "_keras_history", None)
    operation = getattr(history, "operation", None)
    return str(getattr(operation, "name", None) or tensor.name)


def _is_input(layer: Any) -> bool:
    return type(layer).__name__ == "InputLayer"
