"""A ``.keras`` archive or a Keras ``config.json`` → Graph, without importing Keras.

Nothing in a file is run: no Lambda, no pickle, no class of the user's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.archive import MAX_CONFIG, Archive, read_archive
from costlens.frontends.held import Held
from costlens.frontends.layercall import Program, ProgramInput
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.quantized import packing_noted
from costlens.frontends.lowering.run import lower
from costlens.frontends.program import layer_from_config, program_from_config
from costlens.frontends.sizes import InputShape, only_shape, settle
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import ITEMSIZE

_RESAVE = "Load it with the Keras that wrote it and save it as .keras with Keras 3."
_PASS_MODEL = "Pass the model itself, as model.py:name or to costlens.analyze."


@dataclass(frozen=True, slots=True)
class _Saved:
    """A file's contents: the model's config, the version of Keras, what weights it stores."""

    config: Mapping[str, Any]
    keras: str = ""
    held: Held | None = None
    why: str = ""


def read_file(
    path: Path,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> tuple[Graph, str]:
    """The graph of a saved model, and the version of Keras that saved it where the file says so.

    Raises InputError where the file is none of Keras 3's or is damaged, and LoweringError where
    a layer disagrees with what the file stores for it.
    """
    try:
        saved = _archive(path) if path.suffix.lower() == ".keras" else _Saved(_text(path))
        program = _sized(_program(saved, str(path)), saved.config, input_shape)
        types, resized = settle(program.inputs, batch, input_shape)
        graph = _sound(check(lower(program, LOWERINGS, types, dims, resized)))
    except CostlensError:
        raise
    except Exception as error:  # whatever a damaged or hostile configuration breaks
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            str(path), f"its configuration cannot be read ({what})", "Save the model again."
        ) from error
    return _compared(packing_noted(graph), saved), saved.keras


def _archive(path: Path) -> _Saved:
    archive: Archive = read_archive(path)
    version = str(_object(archive.metadata, f"{path}/metadata.json").get("keras_version", ""))
    if version and not version.startswith("3."):
        raise InputError(str(path), f"is saved by Keras {version[:20]}, not by Keras 3", _RESAVE)
    config = _object(archive.config, f"{path}/config.json")
    if archive.held is not None and not archive.held.size():
        return _Saved(config, version, None, "The archive holds no weights yet.")
    return _Saved(config, version, archive.held, archive.why)


def _text(path: Path) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_CONFIG + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from error
    if len(text) > MAX_CONFIG:
        raise InputError(str(path), f"is larger than {MAX_CONFIG // 2**20} MiB")
    return _object(text, str(path))


def _object(text: bytes, where: str) -> Mapping[str, Any]:
    """A JSON object, or an InputError in one line."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise InputError(where, "is nested too deeply") from error
    except ValueError as error:
        raise InputError(where, f"is no JSON ({error})", "Save the model again.") from error
    if not isinstance(value, Mapping):
        raise InputError(where, "is no configuration of a Keras model")
    return value


def _program(saved: _Saved, where: str) -> Program:
    """The program of the whole file; raises InputError where it holds another thing."""
    config = saved.config
    if str(config.get("keras_version", "3")).startswith(("1", "2")) or _is_keras_2(config):
        raise InputError(where, "is in the format of Keras 2, which is not read yet", _RESAVE)
    if isinstance(config.get("layers"), list) and "class_name" not in config:
        return program_from_config(config, str(config.get("name", "model")), None, saved.held)
    if "class_name" not in config:
        if "nodes" in config or str(config.get("schema", "")).startswith("costlens"):
            raise InputError(
                where, "is a graph or a report of costlens, which is not read yet", _PASS_MODEL
            )
        raise InputError(
            where,
            "is no configuration of a Keras model",
            "Write one with model.to_json(), or pass a .keras file.",
        )
    layer = layer_from_config(config, None, saved.held)
    if layer.program is None:
        raise InputError(
            where,
            f"{layer.kind} is neither a Functional nor a Sequential model of Keras, and its code "
            "is not in the file",
            _PASS_MODEL,
        )
    return layer.program


def _is_keras_2(config: Mapping[str, Any]) -> bool:
    """Whether calls are written as lists, as Keras 2 wrote them, in this model or one inside."""
    inner = config.get("config", config)
    layers = inner.get("layers") if isinstance(inner, Mapping) else inner
    return any(
        any(isinstance(node, list) for node in layer.get("inbound_nodes") or ())
        or ("layers" in (layer.get("config") or ()) and _is_keras_2(layer))
        for layer in layers or ()
        if isinstance(layer, Mapping)
    )


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


def _compared(graph: Graph, saved: _Saved) -> Graph:
    """The graph with a note where the archive was not read, or stores too few weights.

    It may store more: a layer beside the graph, or a weight twice.
    """
    note = saved.why
    if saved.held is not None:
        asked = sum(weight.type.size for weight in graph.weights.values())
        stored = saved.held.size()
        if stored < asked:
            note = (
                f"The config asks for weights of {asked:,} numbers, and the archive stores "
                f"{stored:,}."
            )
    return replace(graph, notes=(*graph.notes, note)) if note else graph
