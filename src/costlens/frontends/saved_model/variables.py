"""The variables of a SavedModel: shapes, dtypes, names, which are trained; never values."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from costlens.frontends.layercall import Stored
from costlens.frontends.opfile.names import printable
from costlens.ir.types import ITEMSIZE, TensorType

HANDLES = ("VarHandleOp", "VariableV2", "Variable")
"""Operations that stand for a variable."""

_NOT_THE_MODELS = ("optimizer", "signatures", "keras_api", "_all_variables")
"""What hangs on a model in the file and is no weight of it."""


@dataclass(frozen=True, slots=True)
class Variables:
    """By the name of its operation, what a graph's variable is; ``weights`` are the model's.

    ``path`` in them is the variable's whole name.
    """

    by_handle: Mapping[str, Stored]
    weights: tuple[Stored, ...]


def variables_of(meta: Any) -> Variables:
    """The variables of a graph, described by the objects that were saved with it, if any were."""
    objects = meta.object_graph_def
    frozen = _frozen(objects)
    saved = {
        index: _stored(node.variable, index, index in frozen)
        for index, node in enumerate(objects.nodes)
        if node.WhichOneof("kind") == "variable"
    }
    handles: dict[str, Stored] = {}
    bound = {name: list(f.bound_inputs) for name, f in objects.concrete_functions.items()}
    trained = _trained(meta)
    for node in meta.graph_def.node:
        if node.op in HANDLES:
            handles.setdefault(node.name, _of_node(node, trained))
        captured = bound.get(node.attr["f"].func.name, ()) if "f" in node.attr else ()
        given = [name for name in node.input if not name.startswith("^")]
        given = given[len(given) - len(captured) :]
        for name, index in zip(given, captured, strict=False):
            if index in saved:
                handles[name.partition(":")[0]] = saved[index]
    held = [saved[index] for index in _held(objects)]
    return Variables(handles, tuple(x for x in held if not is_seed(x)))


def is_seed(stored: Stored) -> bool:
    """Whether a variable is the state of a random generator."""
    whole = "int" in stored.type.dtype and stored.type.rank == 1
    return whole and "seed_generator" in stored.name


def _stored(variable: Any, index: int, frozen: bool) -> Stored:
    name = printable(variable.name) or f"variable_{index}"
    type_ = TensorType(_shape(variable.shape), _dtype(variable.dtype))
    made = bool(variable.trainable)
    return Stored(name, type_, made and not frozen, ("saved", index), made and frozen)


def _of_node(node: Any, trained: frozenset[str] | None) -> Stored:
    """A variable of which nothing but its operation was saved."""
    type_ = TensorType(_shape(node.attr["shape"].shape), _dtype(node.attr["dtype"].type))
    trainable = trained is None or node.name in trained
    return Stored(printable(node.name), type_, trainable, ("handle", node.name))


def _trained(meta: Any) -> frozenset[str] | None:
    """The variables that a graph of TensorFlow 1 collects as trainable; None where none are."""
    listed = meta.collection_def.get("trainable_variables")
    if listed is None:
        return None
    protos = importlib.import_module("tensorflow.core.framework.variable_pb2")
    made = [protos.VariableDef.FromString(each) for each in listed.bytes_list.value]
    return frozenset(x.variable_name.partition(":")[0] for x in made)


def _frozen(objects: Any) -> set[int]:
    """The variables of the root's list that its list of trainable ones leaves out."""
    found = {name: set(_held(objects, name)) for name in ("variables", "trainable_variables")}
    return found["variables"] - found["trainable_variables"] if all(found.values()) else set()


def _listed(objects: Any, name: str) -> int:
    """The node of one of the root's lists; the root itself where it has none."""
    children = objects.nodes[0].children
    return next((x.node_id for x in children if x.local_name == name), 0)


def _held(objects: Any, name: str = "variables") -> Iterator[int]:
    """The variables that belong to the root: those that it lists, else all that hang on it."""
    if not objects.nodes:
        return
    todo, seen = [_listed(objects, name)], set()
    while todo:
        index = todo.pop()
        if index in seen or not 0 <= index < len(objects.nodes):
            continue
        seen.add(index)
        node = objects.nodes[index]
        if node.WhichOneof("kind") == "variable":
            yield index
        todo += [x.node_id for x in reversed(node.children) if not _foreign(x.local_name)]


def _foreign(name: str) -> bool:
    return name in _NOT_THE_MODELS or "metric" in name or "loss_tracker" in name


def _shape(proto: Any) -> tuple[int, ...]:
    if proto.unknown_rank or any(axis.size < 0 for axis in proto.dim):
        raise ValueError("a variable has no fixed shape")
    return tuple(int(axis.size) for axis in proto.dim)


def _dtype(number: int) -> str:
    dtypes = importlib.import_module("tensorflow.python.framework.dtypes")
    name = str(dtypes.as_dtype(number).base_dtype.name)
    name = {"half": "float16"}.get(name, name)
    if name not in ITEMSIZE:
        raise ValueError(f"a variable is of {name}")
    return name
