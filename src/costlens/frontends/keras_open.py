"""Trace what cannot be read from configs: subclassed models whole, custom layers call by call."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.layercall import (
    Constant,
    Layer,
    LayerCall,
    Opaque,
    Program,
    Stored,
    Tensor,
    Tree,
    map_leaves,
)
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.lowering.run import Opener
from costlens.frontends.tf_graph import View
from costlens.frontends.tracers import tracer
from costlens.ir.types import TensorType

Describe = Callable[[Any], Layer]


def traced_model(
    model: Any,
    args: Tree,
    kwargs: Mapping[str, Tree],
    describe: Describe,
    leaf: Callable[[Any], Any],
    opened: bool = False,
    backward: bool = False,
) -> Program:
    """The program of a model's call on inputs of these types, read by tracing it.

    ``opened`` takes the operations of every layer, those of Keras too, as they are traced;
    ``backward`` adds the backward pass. Raises InputError where the call fails.
    """
    tracing = tracer(type(model).__name__)
    try:
        traced = tracing.trace(model, args, kwargs, backward)
    except CostlensError:
        raise
    except Exception as error:  # whatever the user's call raises
        raise _failed(str(model.name), type(model).__name__, error) from error
    steps = (lambda layer: False) if opened else readable
    view = View(describe, leaf, held_by(model), steps, is_model)
    program = tracing.program_of(traced, view, str(model.name), type(model).__name__)
    return replace(program, uncalled=tuple(own_layers(model)))


def opener(
    model: Any, describe: Describe, leaf: Callable[[Any], Any], live: Mapping[Hashable, Any]
) -> Opener:
    """Traces a call of a layer that no lowering reads, at the types that it is called with."""

    def opened(call: LayerCall) -> Program:
        layer = live.get(call.layer.identity)
        if layer is None:
            raise Unreadable(f"{call.layer.kind} is not a layer of Keras")
        args, kwargs = map_leaves(_given, call.args), map_leaves(_given, call.kwargs)
        kwargs = {**mode(layer, False), **kwargs}
        try:
            tracing = tracer(call.layer.kind)
            traced = tracing.trace(layer, args, kwargs)
        except InputError as error:
            raise Unreadable(error.what) from error
        except Exception as error:  # whatever the user's call raises
            raise Unreadable(_failed(call.layer.kind, "it", error).what) from error
        view = View(describe, leaf, held_by(model), readable, is_model)
        program = tracing.program_of(traced, view, call.layer.name, call.layer.kind)
        return replace(program, uncalled=tuple(own_layers(layer)) if is_model(layer) else ())

    return opened


def mode(layer: Any, training: bool) -> Mapping[str, bool]:
    """The flag for inference or training, where a call takes it; its own default may be either."""
    return {"training": training} if getattr(layer, "_call_has_training_arg", False) else {}


def _given(leaf: Any) -> Any:
    """A lowering's argument as the layer itself takes it."""
    if isinstance(leaf, Tensor):
        return leaf.type
    if isinstance(leaf, Opaque):
        if leaf.value is None:
            raise Unreadable(f"it is given {leaf.what}")
        return leaf.value
    return leaf


def readable(layer: Layer) -> bool:
    """Whether a call of a layer is lowered as a whole."""
    return layer.program is not None or (not layer.unreadable and layer.key in LOWERINGS)


def is_model(layer: Any) -> bool:
    """Whether a live layer is a container, whose layers are rows."""
    return hasattr(layer, "layers") and hasattr(layer, "compile")


def held_by(model: Any) -> Callable[[Any], Stored | Constant]:
    """How a variable is described: a weight of the model, or a constant."""
    weights = {id(variable) for variable in model.weights}

    def held(variable: Any) -> Stored | Constant:
        type_ = TensorType(tuple(variable.shape), str(variable.dtype))
        if id(variable) not in weights and id(variable) not in {id(v) for v in model.weights}:
            return Constant(type_, id(variable))
        return Stored(str(variable.name), type_, bool(variable.trainable), id(variable))

    return held


def own_layers(model: Any) -> Iterator[Layer]:
    """Every layer that holds variables itself, with them, named by its path in the model."""
    todo: list[tuple[str, Any]] = [("", model)]
    seen: set[int] = set()
    while todo:
        path, layer = todo.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        variables = [
            *getattr(layer, "_trainable_variables", ()),
            *getattr(layer, "_non_trainable_variables", ()),
        ]
        stored = tuple(
            Stored(str(v.name), TensorType(tuple(v.shape), str(v.dtype)), bool(v.trainable), id(v))
            for v in variables
        )
        if stored:
            name = path or str(layer.name)
            yield Layer(f"layer:{type(layer).__name__}", name, {}, id(layer), stored)
        for inner in getattr(layer, "_layers", ()):
            todo.append((f"{path}/{inner.name}" if path else str(inner.name), inner))


def _failed(where: str, what: str, error: Exception) -> InputError:
    text = re.sub(r"(\x1b|\\x1b)\[[0-9;]*m|\\n", " ", str(error))
    text = " ".join(text.partition("Arguments received by")[0].split())
    return InputError(
        where,
        f"{what} cannot be called on these inputs: {type(error).__name__}: {text[:300]}",
        "Pass the inputs that it takes with --input NAME=DTYPE:SHAPE.",
    )
