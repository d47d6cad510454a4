"""Graph ⇄ versioned JSON: exact, compact, and safe to read from anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.ir.check import check
from costlens.ir.graph import Graph, Node, Origin, Weight
from costlens.ir.types import ITEMSIZE, Shape, TensorType

SCHEMA = "costlens-graph/1"


def dumps(graph: Graph) -> str:
    """The graph as one line of JSON; equal graphs give equal text."""
    return json.dumps(to_data(graph), separators=(",", ":"))


def loads(text: str | bytes, where: str = "graph") -> Graph:
    """The graph of ``dumps``, checked; raises InputError for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(where, f"it is no JSON: {_line(error)}") from error
    return from_data(data, where)


def to_data(graph: Graph) -> dict[str, Any]:
    """The graph as plain lists, dicts, strings and numbers.

    Types and origins stand once in a table, and are named by their index in it.
    """
    types, origins = _Table(), _Table()
    return {
        "schema": SCHEMA,
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "values": {key: types[type_] for key, type_ in graph.values.items()},
        "weights": {key: _weight(weight, types) for key, weight in graph.weights.items()},
        "constants": {key: types[type_] for key, type_ in graph.constants.items()},
        "nodes": [_node(node, origins) for node in graph.nodes],
        "returns": [[origins[key], list(ids)] for key, ids in graph.returns.items()],
        "notes": list(graph.notes),
        "types": [[t.dtype, *t.shape] for t in types.entries],
        "origins": [[o.kind, o.layer, o.call] for o in origins.entries],
    }


def from_data(data: Any, where: str = "graph") -> Graph:
    """The graph of ``to_data``, checked; raises InputError for anything else."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        said = data.get("schema") if isinstance(data, dict) else None
        what = f"its schema is {said!r}" if isinstance(said, str) else "it is no graph of costlens"
        raise InputError(where, what, f"What is read is {SCHEMA}.")
    try:
        return check(_graph(data))
    except CostlensError as error:
        raise _bad(where, f"{error.where}: {error.what}") from error
    except Exception as error:  # whatever a hostile file makes the checks trip over
        raise _bad(where, f"it is damaged: {type(error).__name__}: {_line(error)}") from error


def _bad(where: str, what: str) -> InputError:
    return InputError(where, what, "Write it again with costlens.")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


class _Table:
    """Values seen so far, each under its index."""

    def __init__(self) -> None:
        self.entries: dict[Any, int] = {}

    def __getitem__(self, entry: Any) -> int:
        return self.entries.setdefault(entry, len(self.entries))


def _weight(weight: Weight, types: _Table) -> list[Any]:
    logical = None if weight.logical is None else list(weight.logical)
    stored = types[weight.type]
    return [weight.path, stored, weight.trainable, weight.owner, logical, weight.auxiliary]


def _node(node: Node, origins: _Table) -> list[Any]:
    attrs = {key: _plain(value) for key, value in node.attrs.items()}
    operands, outputs, scope = map(list, (node.operands, node.outputs, node.scope))
    origin = origins[node.origin]
    return [node.name, node.op, operands, outputs, attrs, scope, node.repeat, origin]


def _plain(value: Any) -> Any:
    """An attribute: a tuple is a JSON array, what JSON lacks an object of one marked key."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, TensorType):
        return {"type": [value.dtype, *value.shape]}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, list):
        return {"list": [_plain(item) for item in value]}
    if isinstance(value, Mapping):
        return {"map": [[_plain(key), _plain(item)] for key, item in value.items()]}
    raise TypeError(f"an attribute of type {type(value).__name__} has no place in JSON")


def _attribute(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_attribute(item) for item in data)
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "type":
        return _type(content)
    if kind == "list":
        return [_attribute(item) for item in content]
    if kind == "map":
        return {_attribute(key): _attribute(item) for key, item in content}
    raise ValueError(f"an attribute of the kind {kind!r}")


def _graph(data: dict[str, Any]) -> Graph:
    types = tuple(map(_type, data["types"]))
    origins = tuple(Origin(_text(k), _text(n), _count(c)) for k, n, c in data["origins"])
    return Graph(
        _text(data["name"]),
        _names(data["inputs"]),
        _names(data["outputs"]),
        tuple(_read_node(node, origins) for node in data["nodes"]),
        {key: types[_count(at)] for key, at in data["values"].items()},
        {key: _read_weight(key, weight, types) for key, weight in data["weights"].items()},
        {key: types[_count(at)] for key, at in data["constants"].items()},
        _names(data["notes"]),
        {origins[_count(at)]: _names(ids) for at, ids in data["returns"]},
    )


def _read_node(data: Any, origins: tuple[Origin, ...]) -> Node:
    name, op, operands, outputs, attrs, scope, repeat, origin = data
    return Node(
        _text(name),
        _text(op),
        _names(operands),
        _names(outputs),
        {key: _attribute(value) for key, value in attrs.items()},
        _names(scope),
        _count(repeat),
        origins[_count(origin)],
    )


def _read_weight(key: str, data: Any, types: tuple[TensorType, ...]) -> Weight:
    path, type_, trainable, owner, logical, auxiliary = data
    stored = types[_count(type_)]
    return Weight(
        key,
        _text(path),
        stored,
        _flag(trainable),
        _text(owner),
        None if logical is None else _shape(logical),
        _flag(auxiliary),
    )


def _type(data: Any) -> TensorType:
    dtype, *shape = data
    if dtype not in ITEMSIZE:
        raise ValueError(f"{dtype!r} is no dtype")
    return TensorType(_shape(shape), dtype)


def _shape(data: Any) -> Shape:
    return tuple(map(_count, data))


def _names(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list):
        raise TypeError(f"{data!r:.50} is no list")
    return tuple(map(_text, data))


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise TypeError(f"{data!r:.50} is no text")
    return data


def _count(data: Any) -> int:
    if type(data) is not int or data < 0:
        raise TypeError(f"{data!r:.50} is no count")
    return data


def _flag(data: Any) -> bool:
    if not isinstance(data, bool):
        raise TypeError(f"{data!r:.50} is neither true nor false")
    return data
