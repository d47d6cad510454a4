"""``price``: which nodes move bytes, how often a node counts, and whose rules apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlens.cost.cost import ZERO, Call, Cost
from costlens.cost.registry import MOVES, RULES, UNCOUNTED, VIEWS, price
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.ops import OPS
from costlens.ir.types import ITEMSIZE, TensorType
from tests.cost.calls import BOUNDED
from tests.ir.graphs import Draft

FIELDS = Cost.__slots__


def dense(**given: Any) -> Graph:
    """x (2, 3) through a (3, 5) kernel, a bias, and a ReLU in a layer of its own."""
    draft = Draft()
    x = draft.input((2, 3))
    kernel, bias = draft.weight((3, 5)), draft.weight((5,))
    y = draft.node("einsum", (x, kernel), "dense", equation="ab,bc->ac", **given)
    y = draft.node("binary", (y, bias), "dense", fn="add")
    return draft.graph(draft.node("unary", (y,), "relu", fn="relu"))


def test_operands_are_read_once_and_results_written_once() -> None:
    """The weights too; the bias add is an epilogue, whose buffer is there already."""
    _, product, bias, relu = price(check(dense()))
    assert (product.bytes_read, product.bytes_written) == (4 * (6 + 15), 4 * 10)
    assert (bias.bytes_read, bias.bytes_written, bias.adds) == (0, 0, 10)
    assert (relu.bytes_read, relu.bytes_written) == (4 * 10, 4 * 10)


def test_an_input_moves_nothing() -> None:
    assert price(dense())[0] == ZERO


def test_an_operand_that_stands_twice_is_read_once() -> None:
    draft = Draft()
    x = draft.input((3, 3), "float16")
    graph = check(draft.graph(draft.node("einsum", (x, x), "square", equation="ab,bc->ac")))
    assert price(graph)[-1] == Cost(macs=27, macs_valid=27, bytes_read=2 * 9, bytes_written=2 * 9)


@pytest.mark.parametrize("op", ["reshape", "identity"])
def test_a_view_costs_nothing(op: str) -> None:
    draft = Draft()
    x = draft.input((2, 6))
    attrs = {"shape": (3, 4)} if op == "reshape" else {}
    assert price(check(draft.graph(draft.node(op, (x,), "view", **attrs))))[-1] == ZERO


def test_all_results_of_a_node_are_written() -> None:
    draft = Draft()
    x = draft.input((4,))
    types = (TensorType((4,), "float32"), TensorType((4,), "int32"))
    draft.node("opaque", (x,), "sort", fn="sort", types=types)
    assert price(check(draft.graph(x)))[-1] == Cost(bytes_read=16, bytes_written=32)


@pytest.mark.parametrize("dtype", [name for name in ITEMSIZE if name.startswith("float")])
def test_a_dtype_changes_bytes_and_nothing_else(dtype: str) -> None:
    draft, wide = Draft(), Draft()
    for each, kind in ((draft, dtype), (wide, "float64")):
        x = each.input((2, 3), kind)
        each.node("unary", (x,), "act", fn="gelu")
    (_, found), (_, double) = price(check(draft.graph(x))), price(check(wide.graph(x)))
    bits = 8 if dtype.startswith("float8") else int(dtype.removeprefix("float"))
    assert found.bytes_moved * 64 == double.bytes_moved * bits
    arithmetic = [name for name in FIELDS if not name.startswith("bytes")]
    assert [getattr(found, f) for f in arithmetic] == [getattr(double, f) for f in arithmetic]


@pytest.mark.parametrize("repeat", [0, 1, 2, 37])
def test_a_repeat_multiplies(repeat: int) -> None:
    """Arithmetic and bytes, as that many nodes would."""

    def looped(times: int) -> Cost:
        draft = Draft()
        x, kernel = draft.input((2, 3)), draft.weight((3, 5))
        draft.node("einsum", (x, kernel), "loop", repeat=times, equation="ab,bc->ac")
        return price(check(draft.graph(x)))[-1]

    once = looped(1)
    assert once.macs == 30 and once.bytes_moved == 4 * (6 + 15 + 10)
    assert looped(repeat) == sum((once for _ in range(repeat)), ZERO)


COSTS = st.builds(Cost, *(st.integers(0, 10**12) for _ in FIELDS))


@BOUNDED
@given(a=COSTS, b=COSTS, n=st.integers(0, 50))
def test_costs_add_and_scale_field_by_field(a: Cost, b: Cost, n: int) -> None:
    for name in FIELDS:
        assert getattr(a + b, name) == getattr(a, name) + getattr(b, name)
        assert getattr(a * n, name) == sum(getattr(a, name) for _ in range(n))
    assert n * a == a * n and a + ZERO == a
    assert (a + b).flops == a.flops + b.flops and (a * n).flops == n * a.flops


@pytest.mark.parametrize("name", ["adds", "muls", "divs", "comparisons", "transcendentals"])
def test_every_operation_is_one_flop_and_a_mac_is_two(name: str) -> None:
    assert Cost(**{name: 7}).flops == 7
    assert Cost(macs=7, macs_valid=5).flops == 14


def test_a_rule_can_be_replaced_without_touching_the_others() -> None:
    def tripled(call: Call) -> Cost:
        assert [t.shape for t in call.operands] == [(2, 3), (3, 5)]
        assert call.x is call.operands[0] and call.out is call.outputs[0]
        return 3 * RULES["einsum"](call)

    graph = dense()
    before = dict(RULES)
    plain, changed = price(graph), price(graph, rules=RULES | {"einsum": tripled})
    assert (plain[1].macs, changed[1].macs) == (30, 90)
    assert changed[1].bytes_moved == plain[1].bytes_moved
    assert plain[2:] == changed[2:] and dict(RULES) == before


def test_a_rule_sees_types_and_attributes_only() -> None:
    assert Call.__slots__ == ("operands", "outputs", "attrs")


def test_every_op_is_counted_moved_a_view_or_uncounted_and_only_one_of_them() -> None:
    kinds: list[Mapping[str, Any] | frozenset[str]] = [RULES, MOVES, VIEWS, UNCOUNTED]
    listed = [name for kind in kinds for name in kind]
    assert sorted(listed) == sorted(OPS)


@pytest.mark.parametrize("op", sorted(UNCOUNTED))
def test_what_is_not_known_of_an_op_is_named(op: str) -> None:
    """Its bytes are those of its types all the same."""
    assert "flops" in UNCOUNTED[op]
    draft = Draft()
    x = draft.input((4,))
    name = {"opaque": "fn", "unknown": "reason"}[op]
    attrs = {name: "sort", "types": (TensorType((4,), "float32"),)}
    draft.node(op, (x,), "layer", **attrs)
    assert price(check(draft.graph(x)))[-1] == Cost(bytes_read=16, bytes_written=16)
