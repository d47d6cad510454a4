"""A saved model or configuration of Keras → Graph, without importing Keras.

Nothing in a file is run: no Lambda, no pickle, no class of the user's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from costlens.errors import CostlensError, InputError, LoweringError
from costlens.frontends.held import Held
from costlens.frontends.keras2 import is_keras_2, modern
from costlens.frontends.layercall import Program, ProgramInput
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.quantized import packing_noted
from costlens.frontends.lowering.run import lower
from costlens.frontends.program import layer_from_config, program_from_config
from costlens.frontends.saved import PASS_MODEL, Saved
from costlens.frontends.sizes import InputShape, only_shape, settle
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import ITEMSIZE, TensorType

_LONGEST = 1000


def read_graph(
    saved: Saved,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of a saved model.

    Raises InputError where its configuration is none of Keras's or is damaged, and LoweringError
    where a layer disagrees with what the file stores for it.
    """
    try:
        program = _sized(_program(saved), saved.config, input_shape)
        types, resized = settle(program.inputs, batch, input_shape)
        graph = _sound(check(lower(program, LOWERINGS, types, dims, resized)))
    except CostlensError as error:
        if len(str(error)) > _LONGEST:  # it quotes the file
            raise type(error)(error.where[:200], f"{error.what[:200]}…", error.fix) from error
        raise
    except Exception as error:  # whatever a damaged or hostile configuration breaks
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            saved.where, f"its configuration cannot be read ({what})", "Save the model again."
        ) from error
    return compared(packing_noted(graph), saved)


def _program(saved: Saved) -> Program:
    """The program of the whole file; raises InputError where it holds another thing."""
    config = modern(saved.config) if is_keras_2(saved.config) else saved.config
    if isinstance(config.get("layers"), list) and "class_name" not in config:
        return program_from_config(config, str(config.get("name", "model")), None, saved.held)
    layer = layer_from_config(config, None, saved.held)
    if layer.program is None:
        raise InputError(
            saved.where,
            f"{layer.kind} is neither a Functional nor a Sequential model of Keras, and its code "
            "is not in the file",
            PASS_MODEL,
        )
    return layer.program


def _sized(program: Program, config: Mapping[str, Any], input_shape: InputShape) -> Program:
    """A Sequential that waits for its input shape takes the flag's."""
    if "input_layers" in config.get("config", config) or program.inputs[0].shape:
        return program
    (start,) = program.inputs
    sizes = only_shape(input_shape)
    if sizes is None:
        raise InputError(
            program.name,
            "this Sequential model has no input shape yet",
            "Pass --input-shape with the shape of one input, or start it with keras.Input(shape).",
        )
    return replace(program, inputs=(ProgramInput(0, "input_layer", (None, *sizes), start.dtype),))


def _sound(graph: Graph) -> Graph:
    """The graph, if all its sizes are whole numbers and all its dtypes are known ones.

    Raises ValueError where a damaged configuration gave others.
    """
    logical = [weight.logical for weight in graph.weights.values() if weight.logical is not None]
    for shape in (*(type_.shape for type_ in graph.values.values()), *logical):
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"{shape} is not a shape")
    for dtype in {type_.dtype for type_ in graph.values.values()}:
        if dtype not in ITEMSIZE:
            raise ValueError(f"{dtype} is not a dtype")
    return graph


def compared(graph: Graph, saved: Saved) -> Graph:
    """The graph with a note where the weights were not read, or too few of them are stored.

    More may be stored: a layer beside the graph, or a weight twice.
    """
    note = saved.why
    if saved.held is not None:
        asked = sum(weight.type.size for weight in graph.weights.values())
        stored = saved.held.size()
        if stored < asked:
            note = (
                f"The config asks for weights of {asked:,} numbers, and the file stores {stored:,}."
            )
        if saved.held.by_name:
            _compare_models(graph, saved.held)
    return replace(graph, notes=(*graph.notes, note)) if note else graph


def _compare_models(graph: Graph, held: Held) -> None:
    """Hold the weights of inner models, which an HDF5 file stores in one heap each, against it."""
    asked: dict[str, Counter[TensorType]] = {}
    for weight in graph.weights.values():
        model = weight.owner.partition("/")[0]
        if model != weight.owner and model in held.groups:
            asked.setdefault(model, Counter())[weight.type] += 1
    for model, types in asked.items():
        stored = Counter(each.type for each in held.groups[model].stored(model))
        for missing, count in (types - stored).items():
            raise LoweringError(
                model,
                f"its config asks for {count} more weights {missing} than the file stores",
                "Save the model again.",
            )
