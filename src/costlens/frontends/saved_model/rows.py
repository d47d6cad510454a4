"""The operations of a SavedModel → Program: one row for each layer that their names tell of.

TensorFlow names an operation ``model/block/conv/Conv2D``, by the scopes that are open. A scope
is a layer where it holds operations itself or a variable is read in it that is named after it;
scopes around layers are models. Names that were made unique lose the number where variables, which
keep their names, tell so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from costlens.frontends.layercall import (
    Group,
    Layer,
    Opaque,
    Program,
    ProgramInput,
    Ref,
    Step,
    Stored,
)
from costlens.frontends.opfile.names import printable
from costlens.frontends.saved_model.imported import Imported, Place
from costlens.frontends.saved_model.variables import Variables
from costlens.frontends.tf_graph import Reader, View
from costlens.ir.types import TensorType

_VIEW = View(lambda x: x, lambda x: x, lambda x: x, lambda x: False, lambda x: False)
"""No layer was recorded, so none is ever described."""

_TABLES = ("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2")

_CONTRACTIONS = re.compile("Conv|MatMul|Einsum|While|GatherV2|ResourceGather")


@dataclass(eq=False, slots=True)
class _Scope:
    """A name scope: whether operations are in it itself, what kinds, what is inside.

    ``layers`` hold the variables that are read in it, ``names`` are those and what is around.
    """

    direct: bool = False
    kinds: dict[str, None] = field(default_factory=dict)
    inside: dict[tuple[str, Any], _Scope] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def program_of(
    made: Imported,
    declared: Sequence[ProgramInput],
    types: Sequence[TensorType],
    variables: Variables,
    name: str,
) -> Program:
    """The program of an imported graph, its steps in groups by their scopes."""
    reader = Reader(_VIEW)
    reader.needs.bodies.update(made.bodies)
    for key, (_, stored) in made.known.items():
        named = isinstance(stored, Stored)
        reader.leaf_of[key] = replace(stored, name=_parted(stored)[1]) if named else stored
    reader.needs.add(made.outputs)
    inputs = [reader.input(x) for x in made.inputs]
    found: list[tuple[Any, Step]] = []
    for op in made.graph.get_operations():
        if op.type in _TABLES:
            reader.leaf_of[id(op.outputs[0])] = Opaque("a table")
            continue
        if id(op) in made.places and not all(id(x) in made.known for x in op.outputs):
            if op.type == "Identity" and not made.places[id(op)]:
                reader.leaf_of[id(op.outputs[0])] = reader.leaf(op.inputs[0])
                continue
            found += [(op, step) for step in reader.operations([op])]
    grouping = _Grouping(made, [op for op, _ in found])
    steps = grouping.grouped(found)
    outputs = tuple(reader.leaf(x) for x in made.outputs)
    uncalled = tuple(_uncalled(variables))
    program = Program(name, (), steps, outputs, uncalled, "SavedModel")
    return replace(
        program,
        inputs=tuple(
            replace(x, name=told.name, shape=type_.shape)
            for x, told, type_ in zip(inputs, declared, types, strict=True)
        ),
    )


def _uncalled(variables: Variables) -> list[Layer]:
    """The model's weights by the layers that their names tell of; those read are met before."""
    by_layer: dict[str, list[Stored]] = {}
    for stored in variables.weights:
        layer, name = _parted(stored)
        by_layer.setdefault(layer or name, []).append(replace(stored, name=name))
    return [
        Layer("layer:Variable", name, {}, ("uncalled", name), tuple(held))
        for name, held in by_layer.items()
    ]


def _parted(stored: Stored) -> tuple[str, str]:
    """The path of the layer that a variable's name tells of, and its name there."""
    layer, _, name = stored.name.removesuffix(":0").rpartition("/")
    return layer, name


class _Grouping:
    """Which scopes are rows, what they are called, and the groups of steps in them."""

    def __init__(self, made: Imported, operations: Sequence[Any]) -> None:
        self.made, self.root = made, _Scope()
        self.names: dict[Place, str] = {}
        for op in operations:
            scope = self.root
            paths = self._layers_read(op)
            for part in made.places[id(op)]:
                scope = scope.inside.setdefault(part, _Scope())
                scope.kinds[str(op.type)] = None
                scope.layers |= {path[-1] for path in paths}
                scope.names |= {name for path in paths for name in path}
            scope.direct = True
        self.start = self._start()
        self.suffix = self._suffix()

    def _layers_read(self, op: Any) -> list[list[str]]:
        """The paths of the layers whose variables an operation reads, as their names have them."""
        known = self.made.known
        read = [known[id(x)][1] for x in op.inputs if id(x) in known]
        paths = [_parted(stored)[0] for stored in read if isinstance(stored, Stored)]
        return [path.split("/") for path in paths if path]

    def _start(self) -> Place:
        """The scopes of the model itself, which all else is in."""
        place: Place = ()
        scope = self.root
        while not scope.direct and len(scope.inside) == 1:
            ((part, inner),) = scope.inside.items()
            alone = (place or not inner.direct) and self._matches(part[0], inner.names)
            if alone or not any(each.direct for each in inner.inside.values()):
                break
            place, scope = (*place, part), inner
        return place

    def _matches(self, name: str, layers: set[str]) -> str:
        """The layer that a scope is called after, among these; "" where none is."""
        return next(
            (x for x in sorted(layers) if re.fullmatch(f"{re.escape(x)}(_[0-9]+)?", name)), ""
        )

    def _suffix(self) -> str:
        """What most scopes that can be told have behind the names of their layers."""
        found: Counter[str] = Counter()
        todo = [self.root]
        while todo:
            scope = todo.pop()
            for (name, _), inner in scope.inside.items():
                match = self._matches(name, inner.names)
                if match:
                    found[name.removeprefix(match)] += 1
                todo.append(inner)
        return found.most_common(1)[0][0] if found else ""

    def _name(self, place: Place, scope: _Scope) -> str:
        """What the row or model of a scope is called."""
        known = self.names.get(place)
        if known is None:
            name = place[-1][0]
            plain = name.removesuffix(self.suffix) if self.suffix else name
            known = self.names[place] = printable(self._matches(name, scope.names) or plain)
        return known

    def path(self, place: Place) -> list[tuple[Place, _Scope, bool]]:
        """The models that an operation is in, and the row; the last says whether it is a model."""
        scope, found = self.root, []
        for index, part in enumerate(place):
            scope = scope.inside[part]
            if index < len(self.start):
                continue
            here = place[: index + 1]
            model = not self._is_row(here, scope)
            found.append((here, scope, model))
            if not model:
                break
        return found

    def _is_row(self, place: Place, scope: _Scope) -> bool:
        return (
            scope.direct or len(scope.inside) < 2 or bool(self._matches(place[-1][0], scope.layers))
        )

    def grouped(self, found: Sequence[tuple[Any, Step]]) -> tuple[Step | Group, ...]:
        """Steps in groups; a scope that is met again goes on with its group's row."""
        paths = [self.path(self.made.places[id(op)]) for op, _ in found]
        return self._grouped([step for _, step in found], paths, 0)

    def _grouped(
        self, steps: Sequence[Step], paths: Sequence[Any], depth: int
    ) -> tuple[Step | Group, ...]:
        made: list[Step | Group] = []
        at = 0
        while at < len(steps):
            if len(paths[at]) <= depth:
                made.append(steps[at])
                at += 1
                continue
            place, scope, model = paths[at][depth]
            stop = at
            while stop < len(steps) and len(paths[stop]) > depth and paths[stop][depth][0] == place:
                stop += 1
            inside = self._grouped(steps[at:stop], paths[at:stop], depth + 1)
            layer = Layer(f"layer:{_kind(scope, model)}", self._name(place, scope), {}, place)
            made.append(Group(layer, inside, _outputs(steps, at, stop), model, ("scope", place)))
            at = stop
        return tuple(made)


def _outputs(steps: Sequence[Step], start: int, stop: int) -> tuple[Ref, ...]:
    """What the last of these steps gives."""
    return tuple(Ref(value) for value in steps[stop - 1].outputs)


def _kind(scope: _Scope, model: bool) -> str:
    """A word for what a scope holds: its contraction, or its one kind of operation."""
    if model:
        return "Scope"
    main = [kind for kind in scope.kinds if _CONTRACTIONS.search(kind)]
    kinds = main or list(scope.kinds)
    return kinds[0] if main or len(kinds) == 1 else "Operations"
