"""The file: which signature is read, at which sizes, and what its variables are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.layercall import ProgramInput
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.run import lower
from costlens.frontends.lowering.tf import TF_OPS
from costlens.frontends.opfile.names import printable
from costlens.frontends.saved_model.imported import Imported, import_nodes, kept_nodes
from costlens.frontends.saved_model.rows import program_of
from costlens.frontends.saved_model.variables import Variables, variables_of
from costlens.frontends.sizes import InputShape, only_shape, settle
from costlens.frontends.target import SAVED_MODEL
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import ITEMSIZE, TensorType

_LARGEST = 1 << 30
_DEFAULT = "serving_default"
_INITIAL = "__saved_model_init_op"
_TABLE = {**LOWERINGS, **TF_OPS}


def read_saved_model(
    path: Path,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of a SavedModel's serving signature; the weights' values are not read.

    Raises InputError where the file is none, is damaged, or holds what TensorFlow does not know.
    """
    file = path / SAVED_MODEL if path.is_dir() else path
    content = _content(file)
    _need_tensorflow()
    meta = _meta_graph(content, file)
    signature = _signature(meta, str(file))
    try:
        declared = _inputs(signature, input_shape)
        types, _ = settle(declared, batch, input_shape)
        variables = variables_of(meta)
        imported = _imported(meta, signature, dict(zip(declared, types, strict=True)), variables)
        name = printable(file.resolve().parent.name) or "model"
        program = program_of(imported, declared, types, variables, name)
        return _sound(check(lower(program, _TABLE, types, dims)))
    except CostlensError:
        raise
    except Exception as error:  # whatever a damaged graph, or another size, breaks
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        fix = "Leave out the sizes that it was not saved for, or save the model again."
        raise InputError(str(file), f"cannot be read ({printable(what)})", fix) from error


def _content(file: Path) -> bytes:
    try:
        with open(file, "rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(str(file), f"cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST:
        raise InputError(str(file), f"is larger than {_LARGEST >> 20} MiB")
    return content


def _need_tensorflow() -> None:
    try:
        importlib.import_module("tensorflow")
    except ImportError as error:
        what = "reading a SavedModel needs TensorFlow, which is not installed"
        raise InputError("tensorflow", what, "Run: pip install 'costlens[tensorflow]'.") from error


def _meta_graph(content: bytes, file: Path) -> Any:
    """The graph that is there to be served."""
    protos = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2")
    saved = protos.SavedModel()
    try:
        saved.ParseFromString(content)
    except Exception as error:  # protobuf's own, of one of several packages
        fix = "Check that the file is complete."
        raise InputError(str(file), "is no SavedModel, or is damaged", fix) from error
    metas = [meta for meta in saved.meta_graphs if meta.graph_def.node]
    if not metas:
        what = "is no SavedModel: it holds no graph with signatures"
        raise InputError(str(file), what, "Write one with model.export(folder).")
    return next((meta for meta in metas if "serve" in meta.meta_info_def.tags), metas[0])


def _signature(meta: Any, where: str) -> Any:
    """``serving_default``, else the only signature."""
    found = {
        name: each
        for name, each in meta.signature_def.items()
        if name != _INITIAL and each.inputs and each.outputs
    }
    if _DEFAULT in found:
        return found[_DEFAULT]
    if len(found) == 1:
        return next(iter(found.values()))
    names = ", ".join(printable(name) for name in sorted(found)[:10])
    what = (
        f"has no signature {_DEFAULT} to read, and not one other"
        if not found
        else (f"has several signatures ({names}) and none is called {_DEFAULT}")
    )
    fix = f"Save it with signatures={{'{_DEFAULT}': …}}."
    raise InputError(where, what, fix)


@dataclass(frozen=True, slots=True)
class Declared(ProgramInput):
    """An input of a signature, and the ``tensor`` of the graph that stands for it."""

    tensor: str = ""


def _inputs(signature: Any, input_shape: InputShape) -> tuple[Declared, ...]:
    """The signature's inputs by name; one whose rank is open takes the flag's."""
    made = []
    for index, (name, info) in enumerate(sorted(signature.inputs.items())):
        if not info.name:
            raise InputError(f"input {printable(name)}", "is no dense tensor")
        shape: tuple[int | None, ...] = tuple(
            None if axis.size < 0 else int(axis.size) for axis in info.tensor_shape.dim
        )
        if info.tensor_shape.unknown_rank:
            sizes = only_shape(input_shape) if len(signature.inputs) == 1 else None
            if isinstance(input_shape, Mapping):
                sizes = tuple(input_shape.get(name, ())) or sizes
            if sizes is None:
                what, flag = "leaves its rank open", f"--input-shape {printable(name)}=N,…"
                raise InputError(f"input {printable(name)}", what, f"Pass {flag}.")
            shape = (None, *sizes)
        made.append(Declared(index, printable(name), shape, _dtype(info.dtype), info.name))
    return tuple(made)


def _dtype(number: int) -> str:
    dtypes = importlib.import_module("tensorflow.python.framework.dtypes")
    name = str(dtypes.as_dtype(number).name)
    name = {"half": "float16"}.get(name, name)
    if name not in ITEMSIZE:
        raise ValueError(f"an input is of {name}")
    return name


def _imported(
    meta: Any, signature: Any, types: Mapping[Declared, TensorType], variables: Variables
) -> Imported:
    """The signature's graph at these sizes, its functions opened."""
    outputs: Sequence[str] = [info.name for _, info in sorted(signature.outputs.items())]
    nodes = kept_nodes(meta.graph_def.node, outputs, [x.tensor for x in types])
    library = {f.signature.name: f for f in meta.graph_def.library.function}
    given = {x.tensor: type_ for x, type_ in types.items()}
    return import_nodes(nodes, library, given, outputs, variables)


def _sound(graph: Graph) -> Graph:
    """The graph, if all its sizes are whole numbers; raises ValueError where they are not."""
    for type_ in graph.values.values():
        if any(type(n) is not int or n < 0 for n in type_.shape):
            raise ValueError(f"{type_.shape} is not a shape")
    return graph
