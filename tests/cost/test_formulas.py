"""Formulas in words and numbers: each is worked out as it stands, and has to give its figure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import costlens
from costlens.cost import formulas
from costlens.cost.cost import Call, Cost
from costlens.cost.formulas import FORMULAS, Term, formula, terms, traffic, where
from costlens.cost.functions import BINARY, UNARY
from costlens.cost.registry import MOVES, RULES, UNCOUNTED, VIEWS, price
from costlens.ir.check import check
from costlens.ir.graph import Graph
from costlens.ir.types import Shape, TensorType
from tests.cost.calls import BOUNDED, DTYPES, called, laid_out
from tests.cost.test_contractions import convolutions, equations, transposed
from tests.cost.test_functions import broadcasting
from tests.cost.test_lanes import ACCUMULATED, CUMULATIVE, NORMS, REDUCTIONS, SHAPES, axes_of
from tests.cost.test_windows import REACH, adaptive_pools, pools
from tests.ir.graphs import Draft
from tests.support import abstract, functional, graph_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def worked_out(numbers: str) -> int:
    """What arithmetic written with × · + − ÷ and parentheses comes to, exactly."""
    assert re.fullmatch(r"[0-9,×·+−÷() ]+", numbers), numbers
    text = re.sub("[0-9][0-9,]*", lambda n: f"F({n[0].replace(',', '')})", numbers)
    result = eval(text.translate(str.maketrans("×·−÷", "**-/")), {"F": Fraction})
    assert result.denominator == 1, numbers
    return int(result)


def figures(found: Iterable[Term]) -> dict[str, int]:
    """Every figure of some terms; no figure twice."""
    pairs = [(term.figure, worked_out(term.numbers)) for term in found]
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def nonzero(cost: Cost) -> dict[str, int]:
    """The fields of a cost that are not 0."""
    return {name: value for name in Cost.__slots__ if (value := getattr(cost, name))}


def agrees(op: str, call: Call) -> None:
    """A term for every figure of the rule, none for a zero, and all of them equal."""
    assert figures(formula(op, call)) == nonzero(RULES[op](call))


def test_every_rule_has_a_formula() -> None:
    assert set(FORMULAS) == set(RULES)


@BOUNDED
@given(case=convolutions())
def test_conv(case: dict[str, Any]) -> None:
    agrees("conv", called("conv", case.pop("x"), case.pop("kernel"), **case))


@BOUNDED
@given(case=transposed(grouped=True))
def test_conv_transpose(case: dict[str, Any]) -> None:
    agrees("conv_transpose", called("conv_transpose", case.pop("x"), case.pop("kernel"), **case))


@BOUNDED
@given(case=equations())
def test_einsum(case: tuple[str, Shape, Shape]) -> None:
    equation, left, right = case
    agrees("einsum", called("einsum", left, right, equation=equation))


@BOUNDED
@given(fn=st.sampled_from(sorted(UNARY)), shape=st.lists(st.integers(0, 4), max_size=4))
def test_unary(fn: str, shape: list[int]) -> None:
    agrees("unary", called("unary", shape, fn=fn))


@BOUNDED
@given(fn=st.sampled_from(sorted(BINARY)), shapes=broadcasting())
def test_binary(fn: str, shapes: list[Shape]) -> None:
    agrees("binary", called("binary", *shapes, fn=fn))


@BOUNDED
@given(shape=SHAPES)
def test_batch_norm(shape: Shape) -> None:
    agrees("batch_norm", called("batch_norm", shape, axis=len(shape) - 1))


@BOUNDED
@given(
    fn=st.sampled_from(sorted(NORMS)),
    shape=SHAPES,
    seed=st.integers(0, 15),
    scale=st.booleans(),
    center=st.booleans(),
)
def test_norm(fn: str, shape: Shape, seed: int, scale: bool, center: bool) -> None:
    axes = axes_of(shape, seed)
    agrees("norm", called("norm", shape, fn=fn, axes=axes, scale=scale, center=center))


@BOUNDED
@given(
    spatial=st.lists(st.integers(1, 3), max_size=2),
    groups=st.integers(1, 3),
    each=st.integers(1, 3),
    affine=st.booleans(),
)
def test_group_norm(spatial: list[int], groups: int, each: int, affine: bool) -> None:
    shape = (2, *spatial, groups * each)
    axes, attrs = tuple(range(1, len(shape))), {"scale": affine, "center": affine}
    agrees("norm", called("norm", shape, fn="group", axes=axes, groups=groups, **attrs))


@pytest.mark.parametrize("attrs", [{}, {"fn": "softmax"}, {"fn": "log_softmax"}])
@BOUNDED
@given(shape=SHAPES, seed=st.integers(0, 15))
def test_softmax(attrs: dict[str, str], shape: Shape, seed: int) -> None:
    axes = axes_of(shape, seed)
    for axis in (axes, axes[0]):
        agrees("softmax", called("softmax", shape, axis=axis, **attrs))


@BOUNDED
@given(
    fn=st.sampled_from(sorted(REDUCTIONS)),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    seed=st.integers(0, 15),
    dtype=st.sampled_from([*DTYPES, "bool"]),
)
def test_reduce(fn: str, shape: Shape, seed: int, dtype: str) -> None:
    """Over no axis too, and over axes without an element."""
    axes = tuple(axis for axis in range(len(shape)) if seed >> axis & 1)
    agrees("reduce", called("reduce", shape, fn=fn, axes=axes, dtype=dtype))


@BOUNDED
@given(fn=st.sampled_from(sorted(CUMULATIVE)), shape=SHAPES, seed=st.integers(0, 3))
def test_cumulative(fn: str, shape: Shape, seed: int) -> None:
    agrees("cumulative", called("cumulative", shape, fn=fn, axis=seed % len(shape)))


@BOUNDED
@given(case=pools(), fn=st.sampled_from(["max", "average"]))
def test_pool(case: dict[str, Any], fn: str) -> None:
    agrees("pool", called("pool", case.pop("x"), fn=fn, **case))


@BOUNDED
@given(case=adaptive_pools(), fn=st.sampled_from(["max", "average"]))
def test_adaptive_pool(case: tuple[Shape, Shape, bool, Shape], fn: str) -> None:
    x, size, last, _ = case
    agrees("adaptive_pool", called("adaptive_pool", x, fn=fn, size=size, channels_last=last))


@BOUNDED
@given(
    size=st.lists(st.integers(1, 7), min_size=1, max_size=2),
    target=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    method=st.sampled_from([*REACH, "area", "nearest"]),
    last=st.booleans(),
    antialias=st.booleans(),
)
def test_resize(
    size: list[int], target: list[int], method: str, last: bool, antialias: bool
) -> None:
    x, size_ = laid_out(2, size, 3, last), tuple(target[: len(size)])
    attrs = {"method": method, "channels_last": last, "antialias": antialias}
    agrees("resize", called("resize", x, size=size_, **attrs))


@BOUNDED
@given(
    fn=st.sampled_from([*ACCUMULATED, None]),
    updates=st.integers(0, 6),
    places=st.none() | st.integers(1, 4),
)
def test_scatter(fn: str | None, updates: int, places: int | None) -> None:
    attrs: dict[str, Any] = {"fn": fn} if fn else {}
    attrs |= {"places": places} if places else {}
    agrees("scatter", called("scatter", (5, 2), (updates, 1), (updates, 2), shape=(5, 2), **attrs))


def conv_like_papers() -> Graph:
    """A padded 3×3 convolution of stride 2 in two groups, and a bias."""
    draft = Draft()
    kernel, bias = draft.weight((3, 3, 32, 96)), draft.weight((96,))
    attrs = {"strides": (2, 2), "dilation": (1, 1), "groups": 2, "channels_last": True}
    x = draft.input((1, 56, 56, 64))
    y = draft.node("conv", (x, kernel), "conv", padding=((0, 1), (0, 1)), **attrs)
    return check(draft.graph(draft.node("binary", (y, bias), "conv", fn="add")))


def test_a_convolution_reads_like_a_paper() -> None:
    """The words and the numbers correspond factor by factor."""
    graph = conv_like_papers()
    macs, valid, read, written = terms(graph, graph.nodes[1])
    assert macs.words == "output positions × kernel taps × Cin/groups × Cout × batch"
    assert macs.numbers == "28·28 × 3·3 × (64 ÷ 2) × 96 × 1"
    # the last of 28 windows hangs over the border with one of its taps, on both axes
    assert valid.words == (
        "(positions·taps − those on padding) of each axis × Cin/groups × Cout × batch"
    )
    assert valid.numbers == "(28·3 − 1)·(28·3 − 1) × (64 ÷ 2) × 96 × 1"
    assert read.numbers == "1·56·56·64 × 4 + 3·3·32·96 × 4"
    assert (written.words, written.numbers) == ("elements × bytes of one", "1·28·28·96 × 4")


def test_an_epilogue_has_arithmetic_and_no_traffic() -> None:
    graph = conv_like_papers()
    (adds,) = terms(graph, graph.nodes[-1])
    assert adds == Term("adds", "additions in one add × elements", "1 × 1·28·28·96")


@pytest.mark.parametrize("steps", [0, 1, 2, 1500])
def test_a_loop_shows_its_steps(steps: int) -> None:
    """A sum is bracketed before it is multiplied."""
    draft = Draft()
    x, kernel = draft.input((2, 3)), draft.weight((3, 5))
    y = draft.node("einsum", (x, kernel), "loop", repeat=steps, equation="ab,bc->ac")
    draft.node("softmax", (y,), "loop", repeat=steps, axis=1)
    graph = check(draft.graph(x))
    for node, cost in zip(graph.nodes, price(graph), strict=True):
        found = terms(graph, node)
        assert figures(found) == nonzero(cost)
        assert all(("× steps" in term.words) is (steps > 1) for term in found)


def test_a_stack_reads_the_value_of_every_step() -> None:
    draft = Draft()
    x = draft.input((2, 9, 3))
    step = draft.node("step", (x,), "rnn", repeat=9, axis=1)
    y = draft.node("unary", (step,), "rnn", repeat=9, fn="tanh")
    graph = check(draft.graph(draft.node("stack", (y,), "rnn", axis=1, length=9)))
    assert figures(traffic(graph, graph.nodes[-1])) == dict.fromkeys(
        ("bytes_read", "bytes_written"), 4 * 2 * 9 * 3
    )


def test_text_has_no_bytes_and_an_op_without_a_rule_no_figures() -> None:
    draft = Draft()
    x = draft.input((2, 3), "string")
    draft.node("gather", (x,), "lookup", shape=(2, 3))
    draft.node("opaque", (x,), "sort", fn="sort", types=(TensorType((2, 3), "string"),))
    graph = check(draft.graph(x))
    assert [terms(graph, node) for node in graph.nodes] == [(), (), ()]
    for op in (*MOVES, *VIEWS, *UNCOUNTED):
        assert formula(op, Call((), (), {})) == ()


@pytest.mark.parametrize("op", sorted({*RULES, *MOVES, *VIEWS}))
def test_a_rule_stands_where_it_is_said_to_stand(op: str) -> None:
    path, line = where(op).split(":")
    text = (ROOT / "src" / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    name = op if op in RULES else "price" if op in VIEWS else "free"
    assert text.startswith(f"def {name}(")


def test_an_op_without_a_rule_has_no_place() -> None:
    assert {where(op) for op in UNCOUNTED} == {""}


def transformer() -> Any:
    """Attention, a normalisation, and a loop of as many steps as there are words."""
    from keras import Input, layers

    words = Input((7,), name="words")
    x = layers.Embedding(30, 12, name="embed")(words)
    x = layers.Add()([x, layers.MultiHeadAttention(3, 4, name="mha")(x, x)])
    x = layers.LayerNormalization(name="ln")(x)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="lstm")(x)
    x = layers.GRU(6, name="gru")(x)
    return functional(words, layers.Dense(4, activation="softmax", name="head")(x))


def mobilenet_v2() -> Any:
    from keras.applications import MobileNetV2

    return MobileNetV2(weights=None)


def all_agree(graph: Graph) -> None:
    """Every figure of every node of a model, bytes and repeats included."""
    for node, cost in zip(graph.nodes, price(graph), strict=True):
        assert figures(terms(graph, node)) == nonzero(cost), node.name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_node_of_the_examples(path: Path) -> None:
    all_agree(costlens.analyze(str(path)).graph)


@pytest.mark.parametrize("build", [mobilenet_v2, transformer])
def test_every_node_of_a_model(build: Callable[[], Any]) -> None:
    graph = graph_of(abstract(build), batch=2)
    assert any(node.repeat > 1 for node in graph.nodes) is (build is transformer)
    all_agree(graph)


def test_words_are_plain() -> None:
    """No formula leaves the name of a variable or a missing value in its words."""
    graph = graph_of(abstract(transformer))
    said = {term.words for node in graph.nodes for term in terms(graph, node)}
    assert said and not any(re.search("None|_[a-z]|[{}]", words) for words in said)
    assert formulas.dots(()) == "1"
