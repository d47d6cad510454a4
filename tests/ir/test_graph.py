"""Who makes a value, who reads it, and which nodes write in place."""

from __future__ import annotations

from typing import Any

import pytest

from costlens.ir.check import check
from costlens.ir.graph import Weight
from costlens.ir.types import TensorType
from tests.ir.graphs import Draft


def test_producer_and_users() -> None:
    draft = Draft()
    x, kernel = draft.input((3, 3)), draft.weight((3, 3))
    twice = draft.node("einsum", (x, x), "square", equation="ab,bc->ac")
    left = draft.node("einsum", (twice, kernel), "dense", equation="ab,bc->ac")
    right = draft.node("binary", (left, twice), "add", fn="add")
    graph = check(draft.graph(right))
    assert {value: node.name for value, node in graph.producer.items()} == {
        name: name for name in (x, twice, left, right)
    }
    readers = {value: [node.name for node in nodes] for value, nodes in graph.users.items()}
    assert readers == {x: [twice], kernel: [left], twice: [left, right], left: [right]}


def test_all_outputs_of_a_node_have_its_producer() -> None:
    draft = Draft()
    types = (TensorType((4,), "float32"), TensorType((4,), "int32"))
    name = draft.node("opaque", (draft.input((4,)),), "top", fn="top_k", types=types)
    graph = check(draft.graph(name, f"{name}:1"))
    assert graph.producer[name] is graph.producer[f"{name}:1"] is graph.nodes[-1]


def biased(draft: Draft, activation_layer: str = "dense", call: int = 1) -> list[str]:
    """A product, its bias and an activation."""
    x = draft.input((2, 3))
    kernel, bias = draft.weight((3, 5)), draft.weight((5,))
    y = draft.node("einsum", (x, kernel), "dense", equation="ab,bc->ac")
    z = draft.node("binary", (y, bias), "dense", fn="add")
    return [x, y, z, draft.node("unary", (z,), activation_layer, call, fn="relu")]


def test_a_bias_and_an_activation_of_the_same_call_write_in_place() -> None:
    draft = Draft()
    _, product, added, activated = biased(draft)
    assert check(draft.graph(activated)).epilogues == {added: product, activated: added}


@pytest.mark.parametrize(("layer", "call"), [("relu", 1), ("dense", 2)])
def test_another_layer_or_another_call_writes_a_buffer_of_its_own(layer: str, call: int) -> None:
    draft = Draft()
    _, product, added, activated = biased(draft, layer, call)
    assert check(draft.graph(activated)).epilogues == {added: product}


def test_a_value_that_is_needed_again_is_not_overwritten() -> None:
    draft = Draft()
    _, product, added, activated = biased(draft)
    again = draft.node("binary", (activated, added), "dense", fn="multiply")
    graph = check(draft.graph(again))
    assert graph.epilogues == {added: product, again: activated}


def test_a_value_that_is_needed_twice_at_once_is_not_overwritten() -> None:
    draft = Draft()
    _, product, added, activated = biased(draft)
    squared = draft.node("binary", (activated, activated), "dense", fn="multiply")
    assert check(draft.graph(squared)).epilogues == {added: product, activated: added}


def test_a_model_output_is_not_overwritten() -> None:
    draft = Draft()
    _, product, added, activated = biased(draft)
    assert check(draft.graph(activated, added)).epilogues == {added: product}


@pytest.mark.parametrize("storage", ["input", "weight", "constant"])
def test_what_no_node_of_the_call_made_is_not_overwritten(storage: str) -> None:
    draft = Draft()
    x = getattr(draft, storage)((3,))
    assert check(draft.graph(draft.node("unary", (x,), "in0", fn="exp"))).epilogues == {}


def test_a_step_of_a_sequence_is_not_overwritten() -> None:
    """It lies in the sequence, which later steps still read."""
    draft = Draft()
    step = draft.node("step", (draft.input((2, 7, 3)),), "rnn", repeat=7, axis=1)
    after = draft.node("unary", (step,), "rnn", repeat=7, fn="tanh")
    last = draft.node("unary", (after,), "rnn", repeat=7, fn="tanh")
    assert check(draft.graph(last)).epilogues == {last: after}


@pytest.mark.parametrize("storage", ["input", "weight"])
def test_a_view_of_what_no_node_of_the_call_made_is_not_overwritten(storage: str) -> None:
    draft = Draft()
    view = draft.node("reshape", (getattr(draft, storage)((3,)),), "layer", shape=(1, 3))
    out = draft.node("unary", (view,), "layer", fn="exp")
    assert check(draft.graph(out)).epilogues == {}


def test_a_view_is_overwritten_only_where_nothing_else_reads_its_operand() -> None:
    draft = Draft()
    made = draft.node("unary", (draft.input((3,)),), "layer", fn="sin")
    view = draft.node("reshape", (made,), "layer", shape=(1, 3))
    out = draft.node("unary", (view,), "layer", fn="exp")
    assert check(draft.graph(out)).epilogues == {out: view}
    assert check(draft.graph(out, made)).epilogues == {}
    again = draft.node("unary", (made,), "layer", fn="cos")
    assert check(draft.graph(out, again)).epilogues == {}


@pytest.mark.parametrize(
    ("attrs", "fits"),
    [
        ({"fn": "exp"}, True),
        ({"fn": "exp", "dtype": "float16"}, True),
        ({"fn": "exp", "dtype": "float64"}, False),
    ],
)
def test_a_result_has_to_fit(attrs: dict[str, Any], fits: bool) -> None:
    draft = Draft()
    made = draft.node("unary", (draft.input((4,)),), "layer", fn="sin")
    out = draft.node("unary", (made,), "layer", **attrs)
    assert (out in check(draft.graph(out)).epilogues) is fits


def test_the_operand_of_the_result_s_own_shape_is_taken_over() -> None:
    draft = Draft()
    x = draft.input((2, 3))
    small = draft.node("reduce", (x,), "layer", fn="max", axes=(1,), keepdims=True)
    large = draft.node("transpose", (x,), "layer", perm=(0, 1))
    out = draft.node("binary", (small, large), "layer", fn="subtract")
    assert check(draft.graph(out)).epilogues == {out: large}


def test_only_elementwise_ops_write_in_place() -> None:
    draft = Draft()
    made = draft.node("unary", (draft.input((2, 3)),), "layer", fn="sin")
    out = draft.node("softmax", (made,), "layer", axis=1)
    assert check(draft.graph(out)).epilogues == {}


def test_parameters_of_a_weight() -> None:
    stored = TensorType((64, 17), "int8")
    plain = Weight("k", "dense/kernel", stored, True, "dense")
    packed = Weight("k", "dense/kernel", stored, False, "dense", logical=(64, 33))
    scale = Weight("s", "dense/scale", TensorType((33,), "float32"), False, "dense", auxiliary=True)
    scalar = Weight("t", "dense/scale", TensorType((), "float32"), True, "dense")
    assert [w.params for w in (plain, packed, scale, scalar)] == [1088, 2112, 0, 1]
