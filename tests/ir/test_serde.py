"""A graph written as JSON is the same graph; anything else is refused in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlens.errors import InputError
from costlens.frontends.keras_live import read_graph
from costlens.ir.graph import Graph
from costlens.ir.serde import dumps, from_data, loads, to_data
from tests.ir.graphs import Draft
from tests.oracles.awkward import MODELS
from tests.support import abstract

TEXT = st.text(max_size=6)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT


def some_graph() -> Graph:
    """A few nodes, a weight, a constant and a note."""
    draft = Draft()
    x = draft.input((2, 3))
    kernel = draft.weight((3, 4))
    product = draft.node("einsum", (x, kernel), "dense", equation="ab,bc->ac")
    added = draft.node("binary", (product, draft.constant((4,))), "dense", repeat=3, fn="add")
    kinds = (draft.graph().values[x], draft.graph().values[added])
    out = draft.node("opaque", (added,), "odd", fn="sort", types=kinds)
    return draft.graph(out)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_come_back_as_they_were(name: str) -> None:
    graph = read_graph(abstract(MODELS[name]))
    again = loads(dumps(graph))
    assert again == graph
    assert dumps(again) == dumps(graph)
    assert [*again.values] == [*graph.values]


@settings(deadline=None)
@given(
    st.dictionaries(
        TEXT,
        st.recursive(
            PLAIN,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.lists(inner, max_size=3).map(tuple)
                | st.dictionaries(TEXT, inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=3,
    ),
    st.lists(TEXT, max_size=3),
    TEXT,
)
def test_any_attribute_comes_back_as_it_was(
    attrs: dict[str, Any], notes: list[str], name: str
) -> None:
    """The op's own attributes aside, which the check on reading would refuse."""
    from costlens.ir.serde import _attribute, _plain

    back = {key: _attribute(json.loads(json.dumps(_plain(value)))) for key, value in attrs.items()}
    assert back == attrs
    assert repr(back) == repr(attrs)
    graph = some_graph()
    made = Graph(name, graph.inputs, graph.outputs, graph.nodes, graph.values, graph.weights,
                 graph.constants, tuple(notes))  # fmt: skip
    assert loads(dumps(made)) == made


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"schema": 1}', '{"schema": "costlens-graph/2"}',
             '{"schema": "costlens-graph/1"}', "[" * 100_000, "9" * 10_000, b"\xff\xfe"]
)  # fmt: skip
def test_what_is_no_graph_is_refused(text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        loads(text, "graph.json")
    assert caught.value.where == "graph.json"
    assert len(str(caught.value)) < 400


JUNK = st.sampled_from(
    [None, True, -1, 2**70, 1.5, "", "x", [], {}, [[]], ["x"], {"x": 1}, {"type": 3}, [-1]]
)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_a_damaged_graph_is_refused_or_sound(data: st.DataObject) -> None:
    """Any one part of the JSON replaced or dropped: an InputError, or a graph that passes."""
    whole = json.loads(json.dumps(to_data(some_graph())))
    part = whole
    while True:
        keys = sorted(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(part[key], (dict, list)) and part[key]
        if not deeper or data.draw(st.booleans()):
            break
        part = part[key]
    if data.draw(st.booleans()):
        part[key] = data.draw(JUNK)
    else:
        del part[key]
    try:
        graph = from_data(whole, "graph.json")
    except InputError as error:
        assert error.where == "graph.json"
        return
    assert loads(dumps(graph)) == graph
