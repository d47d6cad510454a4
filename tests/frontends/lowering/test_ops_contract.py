"""Contractions of ``keras.ops`` against numbers that count their own multiplications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from costlens.cost.cost import Cost
from costlens.frontends.layercall import Constant, Layer, Program, ProgramInput, Ref, Step
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.ops_contract import explicit
from costlens.frontends.lowering.run import lower
from costlens.ir.graph import Graph
from costlens.ir.types import TensorType
from tests.support import cost_of, functional, graph_of

Shapes = tuple[tuple[int, ...], ...]


class Counted:
    """A number that counts multiplications and is otherwise of no value."""

    multiplications = 0

    def __mul__(self, other: object) -> Counted:
        Counted.multiplications += 1
        return self

    def __add__(self, other: object) -> Counted:
        return self

    __rmul__, __radd__ = __mul__, __add__

    def conjugate(self) -> Counted:
        return self


def counted(function: Callable[..., Any], shapes: Shapes) -> int:
    """How many multiplications a numpy function makes on operands of these shapes."""
    Counted.multiplications = 0
    function(*(np.full(shape, Counted(), dtype=object) for shape in shapes))
    return Counted.multiplications


def graph_from(function: Callable[..., Any], shapes: Shapes, dtype: str = "float32") -> Graph:
    xs = [keras.Input(batch_shape=shape, dtype=dtype) for shape in shapes]
    return graph_of(functional(xs, function(*xs)))


def cost_from(function: Callable[..., Any], shapes: Shapes) -> Cost:
    return cost_of(graph_from(function, shapes))


PRODUCTS: dict[str, tuple[str, dict[str, Any], Shapes]] = {
    "matrices": ("matmul", {}, ((2, 6), (6, 3))),
    "broadcast": ("matmul", {}, ((4, 1, 2, 6), (5, 6, 3))),
    "vector and matrices": ("matmul", {}, ((6,), (5, 6, 3))),
    "matrix and vector": ("matmul", {}, ((2, 6), (6,))),
    "vectors": ("matmul", {}, ((6,), (6,))),
    "dot": ("dot", {}, ((2, 6), (3, 6, 5))),
    "dot of vectors": ("dot", {}, ((6,), (6,))),
    "dot with a vector": ("dot", {}, ((2, 3, 6), (6,))),
    "tensordot": ("tensordot", {"axes": 2}, ((2, 3, 4), (3, 4, 5))),
    "tensordot of axes": ("tensordot", {"axes": [[0, -1], [1, 0]]}, ((2, 3, 4), (4, 2, 5))),
    "tensordot of none": ("tensordot", {"axes": 0}, ((2, 3), (4,))),
    "inner": ("inner", {}, ((2, 3, 6), (5, 6))),
    "vdot": ("vdot", {}, ((2, 6), (2, 6))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_macs_are_the_multiplications_that_numpy_makes(name: str) -> None:
    function, options, shapes = PRODUCTS[name]
    expected = counted(lambda *xs: getattr(np, function)(*xs, **options), shapes)
    cost = cost_from(lambda *xs: getattr(ops, function)(*xs, **options), shapes)
    assert cost.macs == cost.macs_valid == expected > 0
    assert cost.flops == 2 * expected


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", ((2, 3), (3, 4))),
        ("ij,kj", ((2, 3), (4, 3))),
        ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4))),
        ("...ij,...jk->...ik", ((5, 2, 3), (3, 4))),
        ("abc,dce->abde", ((2, 3, 4), (5, 4, 6))),
        ("ij,ij->", ((2, 3), (2, 3))),
        ("i,j->ij", ((2,), (3,))),
    ],
)
def test_einsum_of_two(equation: str, shapes: Shapes) -> None:
    expected = counted(lambda *xs: np.einsum(equation, *xs), shapes)
    assert cost_from(lambda *xs: ops.einsum(equation, *xs), shapes).macs == expected


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
        ("ij,jk,kl,lm->im", ((20, 2), (2, 30), (30, 3), (3, 10))),
        ("bi,ij,jk,bk->b", ((2, 3), (3, 4), (4, 5), (2, 5))),
    ],
)
def test_einsum_of_many_contracts_pairs(equation: str, shapes: Shapes) -> None:
    """The cheapest order by enumeration: every way to contract two operands at a time."""
    inputs, out = explicit(equation, shapes)
    sizes = dict(zip("".join(inputs), [n for shape in shapes for n in shape], strict=True))

    def cheapest(terms: list[str]) -> int:
        if len(terms) == 1:
            return 0
        best = []
        for i in range(len(terms)):
            for j in range(i):
                rest = [t for n, t in enumerate(terms) if n not in (i, j)]
                both = set(terms[i] + terms[j])
                steps = 1
                for c in both:
                    steps *= sizes[c]
                kept = "".join(sorted(both & set(out + "".join(rest))))
                best.append(steps + cheapest([*rest, kept]))
        return min(best)

    assert cost_from(lambda *xs: ops.einsum(equation, *xs), shapes).macs == cheapest(inputs)


def test_labels_of_one_operand_are_summed_before_the_contraction() -> None:
    graph = graph_from(lambda x, y: ops.einsum("ijl,jk->k", x, y), ((2, 3, 5), (3, 4)))
    assert [n.op for n in graph.nodes] == ["input", "input", "reduce", "einsum"]
    # 3 lanes of 2·5 elements are summed; then 3·4 products
    assert (cost_of(graph).adds, cost_of(graph).macs) == (3 * 9, 12)


def test_one_operand_has_no_macs() -> None:
    graph = graph_from(lambda x: ops.einsum("bij->ji", x), ((2, 3, 4),))
    assert [n.op for n in graph.nodes] == ["input", "reduce", "transpose"]
    graph = graph_from(lambda x: ops.einsum("bii->", x), ((2, 3, 3),))
    assert [n.op for n in graph.nodes] == ["input", "rearrange", "reduce"]
    assert cost_of(graph).macs == 0
    assert cost_of(graph).adds == 5  # 2·3 elements of the diagonals


def test_diagonals_are_taken_before_the_contraction() -> None:
    graph = graph_from(lambda x, y: ops.einsum("bii,ij->bj", x, y), ((2, 3, 3), (3, 4)))
    assert [n.op for n in graph.nodes] == ["input", "input", "rearrange", "einsum"]
    assert cost_of(graph).macs == 2 * 3 * 4


def test_equations_are_made_explicit() -> None:
    assert explicit("ba", [(2, 3)]) == (["ba"], "ab")
    assert explicit("b a -> a", [(2, 3)]) == (["ba"], "a")
    assert explicit("...ij,jk", [(7, 2, 3), (3, 4)]) == (["aij", "jk"], "aik")
    assert explicit("i...,...->...", [(2, 3, 4), (4,)]) == (["iab", "b"], "ab")
    with pytest.raises(ValueError, match="2 terms for 1"):
        explicit("ij,jk->ik", [(2, 3)])


def test_more_operands_than_a_path_leaves_in_pairs() -> None:
    """numpy contracts a product without sums in one step; it is taken from the left."""
    cost = cost_from(lambda *xs: ops.einsum("i,i,i->i", *xs), ((5,),) * 3)
    assert cost.macs == 10
    cost = cost_from(lambda *xs: ops.einsum("i,j,k->kji", *xs), ((2,), (3,), (4,)))
    assert cost.macs == 2 * 3 + 2 * 3 * 4


def test_products_that_sum_nothing_are_multiplications() -> None:
    calls: list[tuple[Any, Any, Shapes]] = [(ops.outer, np.outer, ((2, 3), (4,)))]
    if hasattr(ops, "kron"):
        calls.append((ops.kron, np.kron, ((2, 3), (4, 5))))
    for function, reference, shapes in calls:
        cost = cost_from(function, shapes)
        assert (cost.macs, cost.muls) == (0, counted(reference, shapes))


def test_cross_product() -> None:
    # each of 4 vectors: 6 products, 3 differences
    cost = cost_from(ops.cross, ((4, 2), (4, 2)))
    assert (cost.macs, cost.muls, cost.adds) == (0, 24, 12)


@pytest.mark.parametrize("mode, positions", [("valid", 4), ("same", 8), ("full", 8)])
def test_correlation_is_a_convolution(mode: str, positions: int) -> None:
    # 6 elements, 3 taps; "same" is cut out of the full 6+3-1 positions
    cost = cost_from(lambda x, y: ops.correlate(x, y, mode), ((6,), (3,)))
    assert cost.macs == 3 * positions


def test_correlation_coefficients() -> None:
    if hasattr(ops, "corrcoef"):
        cost = cost_from(ops.corrcoef, ((3, 5),))
        assert cost.macs == 3 * 3 * 5
        # 3 means and 9 quotients by m-1; 9 by the product of deviations
        assert (cost.divs, cost.transcendentals) == (3 + 9 + 9, 3)


def test_a_scalar_operand_is_a_constant() -> None:
    step = Step(Layer("op:Einsum", "e", {"subscripts": ",ij"}, "e"), (2.0, Ref(0)), {}, (1,), ())
    program = Program("p", (ProgramInput(0, "x", (2, 3), "float32"),), (step,), Ref(1))
    graph = lower(program, LOWERINGS, [TensorType((2, 3), "float32")])
    assert list(graph.constants.values()) == [TensorType((), "float32")]
    assert graph.values[graph.outputs[0]].shape == (2, 3)


def indexed(key: Any, *dims: int) -> TensorType:
    """The type of ``x[key]`` for x of shape (4, 5, 6), read as a file would hold it."""
    start = ProgramInput(0, "x", (4, 5, 6), "float32")
    step = Step(Layer("op:GetItem", "get", {}, "get"), (Ref(0), key), {}, (1,), ())
    program = Program("p", (start,), (step,), Ref(1))
    flags = {"get": dims[0]} if dims else {}
    graph = lower(program, LOWERINGS, [TensorType((4, 5, 6), "float32")], flags)
    assert {n.op for n in graph.nodes} == {"input", "gather"}
    return graph.values[graph.outputs[0]]


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), [0, 2]),
        ([0, 1, 2], slice(None), [1, 1, 1]),
        (slice(None), [0, 2], [1, 3]),
        (..., [[0, 1], [2, 3], [4, 5]]),
        (None, [0, 2], slice(1, 3)),
        (2, slice(None), [0, 1]),
    ],
)
def test_integer_arrays_gather(key: Any) -> None:
    assert indexed(key).shape == np.zeros((4, 5, 6))[key].shape


def test_a_mask_picks_as_many_as_the_flag_says() -> None:
    mask = Constant(TensorType((4, 5), "bool"), "mask")
    assert indexed((mask,), 7).shape == (7, 6)
    assert indexed((mask, slice(1, 3)), 7).shape == (7, 2)
    index = Constant(TensorType((9, 2), "int32"), "index")
    assert indexed((slice(None), index)).shape == (4, 9, 2, 6)


def test_views_and_copies_of_an_index() -> None:
    def ops_of(key: Any) -> list[str]:
        return [n.op for n in graph_from(lambda x: x[key], ((4, 5, 1),)).nodes][1:]

    assert ops_of((slice(None), None)) == ["reshape"]
    assert ops_of((..., 0)) == ["reshape"]
    assert ops_of((slice(0, 4), ...)) == ["identity"]
    assert ops_of((slice(None, None, -1), ...)) == ["slice"]
    assert ops_of((0, ...)) == ["slice"]


def test_work_of_other_functions() -> None:
    """Counts by hand, on 2 lanes of 6 elements."""

    def cost(function: Callable[..., Any], *more: tuple[int, ...]) -> Cost:
        return cost_from(function, ((2, 6), *more))

    # scale, round, scale back
    rounded = cost(lambda x: ops.round(x, 2))
    assert (rounded.muls, rounded.comparisons, rounded.divs) == (12, 12, 12)
    # two extremes of 6 elements per lane, one difference
    if hasattr(ops, "ptp"):
        spread = cost(lambda x: ops.ptp(x, axis=1))
        assert (spread.comparisons, spread.adds) == (2 * 5 * 2, 2)
    # 2 differences of differences: 5 and then 4 per lane
    assert cost(lambda x: ops.diff(x, 2)).adds == 2 * (5 + 4)
    # weights along the axis contract with it: 12 products; 5 additions of weights, 2 quotients
    mean = cost(lambda x, w: ops.average(x, axis=1, weights=w), (6,))
    assert (mean.macs, mean.adds, mean.divs) == (12, 5, 2)
    # 5 trapezia per lane: a sum, a half, a width; 4 additions of areas
    if hasattr(ops, "trapezoid"):
        area = cost(ops.trapezoid)
        assert (area.adds, area.muls) == (2 * (5 + 4), 2 * (5 + 5))
    # test for nan, sum of 6, count of 6, one quotient per lane
    if hasattr(ops, "nanmean"):
        mean = cost(lambda x: ops.nanmean(x, axis=1))
        assert (mean.adds, mean.divs) == (2 * (5 + 5), 2)
    # a count is one addition per element, into its bin
    bins = graph_from(lambda x: ops.clip(x, 0, 1), ((2, 6),))
    assert cost_of(bins).comparisons == 24
