"""One broken invariant at a time; each is named with where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from costlens.errors import GraphError
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.ops import OPS
from costlens.ir.types import TensorType
from tests.ir.graphs import Draft


def sound() -> Graph:
    """An input, a product with a weight, a sum with a constant, an activation."""
    draft = Draft()
    x, kernel, offset = draft.input((2, 3)), draft.weight((3, 5)), draft.constant((5,))
    y = draft.node("einsum", (x, kernel), "dense", equation="ab,bc->ac")
    y = draft.node("binary", (y, offset), "add", fn="add")
    return draft.graph(draft.node("unary", (y,), "act", fn="relu"))


def with_node(index: int, **changes: Any) -> Callable[[Graph], Graph]:
    """The graph with one node changed."""

    def changed(graph: Graph) -> Graph:
        nodes = list(graph.nodes)
        nodes[index] = replace(nodes[index], **changes)
        return replace(graph, nodes=tuple(nodes))

    return changed


def with_values(**types: TensorType) -> Callable[[Graph], Graph]:
    """The graph with other types for some values."""
    return lambda graph: replace(graph, values={**graph.values, **types})


def without_value(name: str) -> Callable[[Graph], Graph]:
    def changed(graph: Graph) -> Graph:
        return replace(graph, values={k: t for k, t in graph.values.items() if k != name})

    return changed


def swapped(graph: Graph) -> Graph:
    first, second, third, fourth = graph.nodes
    return replace(graph, nodes=(first, third, second, fourth))


def twice(graph: Graph) -> Graph:
    return replace(graph, nodes=(*graph.nodes, graph.nodes[-1]))


def made_twice(graph: Graph) -> Graph:
    return replace(graph, nodes=(*graph.nodes, replace(graph.nodes[-1], name="copy")))


def under_another_id(graph: Graph) -> Graph:
    (weight,) = graph.weights.values()
    return replace(graph, weights={"w0": replace(weight, id="other")})


def of_another_type(graph: Graph) -> Graph:
    (weight,) = graph.weights.values()
    stored = TensorType((3, 5), "float16")
    return replace(graph, weights={"w0": replace(weight, type=stored)})


BROKEN: dict[str, tuple[Callable[[Graph], Graph], str, str]] = {
    "an unknown op": (with_node(3, op="sqare"), "act/unary3", "unknown op 'sqare'"),
    "too few operands": (with_node(1, operands=("w0",)), "dense/einsum1", "too few operands"),
    "too many operands": (
        with_node(3, operands=("dense/einsum1", "c0")),
        "act/unary3",
        "has 2 operands",
    ),
    "a negative repeat": (with_node(3, repeat=-1), "act/unary3", "negative repeat"),
    "a missing attribute": (with_node(3, attrs={}), "act/unary3", "lacks the attribute 'fn'"),
    "a foreign attribute": (
        with_node(3, attrs={"fn": "relu", "axis": 1}),
        "act/unary3",
        "has no 'axis'",
    ),
    "an operand that does not exist": (
        with_node(3, operands=("nothing",)),
        "act/unary3",
        "reads nothing before it exists",
    ),
    "an operand that comes later": (swapped, "add/binary2", "before it exists"),
    "a name that stands twice": (twice, "act/unary3", "two nodes have this name"),
    "a value that is made twice": (made_twice, "copy", "defines act/unary3 again"),
    "a weight that is made": (
        with_node(2, outputs=("w0",)),
        "add/binary2",
        "infers",
    ),
    "another output type": (
        with_values(**{"act/unary3": TensorType((2, 5), "float16")}),
        "act/unary3",
        "infers",
    ),
    "operands that do not fit": (
        with_values(w0=TensorType((4, 5), "float32")),
        "dense/einsum1",
        "b is both 3 and 4",
    ),
    "an output too many": (
        with_node(3, outputs=("act/unary3", "dense/einsum1")),
        "act/unary3",
        "infers",
    ),
    "a weight without a type": (without_value("w0"), "w0", "has no type"),
    "a result without a type": (without_value("add/binary2"), "add/binary2", "has no type"),
    "a constant of two types": (
        lambda graph: replace(graph, constants={"c0": TensorType((5,), "int32")}),
        "c0",
        "has two types",
    ),
    "a constant without a type": (without_value("c0"), "c0", "has no type"),
    "a weight under another id": (under_another_id, "w0", "is a weight under another id"),
    "a weight of two types": (of_another_type, "w0", "has two types"),
    "an output that nothing makes": (
        lambda graph: replace(graph, outputs=("nothing",)),
        "nothing",
        "border value",
    ),
    "an input that nothing makes": (
        lambda graph: replace(graph, inputs=("nothing",)),
        "nothing",
        "border value",
    ),
}


def test_a_sound_graph_comes_back_as_it_is() -> None:
    graph = sound()
    assert check(graph) is graph


def test_an_empty_graph_is_sound() -> None:
    check(Graph("empty", (), (), (), {}))


@pytest.mark.parametrize("invariant", BROKEN)
def test_broken_invariants(invariant: str) -> None:
    damage, where, what = BROKEN[invariant]
    with pytest.raises(GraphError) as caught:
        check(damage(sound()))
    assert caught.value.where == where
    assert what in caught.value.what


def test_a_negative_dimension_is_an_error() -> None:
    draft = Draft()
    x = draft.input((2, 3))
    graph = draft.graph(draft.node("slice", (x,), "cut", shape=(2, -1)))
    with pytest.raises(GraphError, match="negative"):
        check(graph)


@pytest.mark.parametrize("op", sorted(OPS))
def test_every_op_says_what_it_is(op: str) -> None:
    spec = OPS[op]
    assert spec.name == op and spec.doc.endswith(".")
    assert spec.least >= 0 and (spec.most is None or spec.least <= spec.most)
    assert not set(spec.attrs) & set(spec.optional)
    assert spec.storage in ("new", "view", "elementwise")
