"""Attention layers against Keras (shapes, weights, values), TensorFlow's trace and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from costlens.cost.cost import ZERO, Cost
from costlens.cost.registry import price
from costlens.ir.graph import Graph
from tests.cost.counting import Number, Tally, exp, larger, tanh, total
from tests.oracles.traced import traced_macs
from tests.support import abstract, cost_of, functional, graph_of, nodes_of, params_of

layers = keras.layers
MHA, GQA = layers.MultiHeadAttention, layers.GroupQueryAttention
DTYPES = [None, "mixed_float16", "bfloat16"]


def _on(layer: Callable[[], Any], *shapes: Sequence[int], **call: Any) -> Callable[[], Any]:
    def build() -> Any:
        xs = [keras.Input(tuple(shape)) for shape in shapes]
        return functional(xs, layer()(*xs, **call))

    return build


def _flops(graph: Graph, layer: str, label: str) -> int:
    """Arithmetic of a layer's nodes whose name ends so."""
    pairs = zip(graph.nodes, price(graph), strict=True)
    return sum(
        cost.flops
        for node, cost in pairs
        if node.origin.layer == layer and node.name.rpartition("/")[2].split("#")[0] == label
    )


Q, V = (6, 8), (5, 8)
MULTI_HEAD: dict[str, tuple[Callable[..., Any], tuple[Sequence[int], ...], dict[str, Any]]] = {
    "plain": (lambda **kw: MHA(2, 4, **kw), (Q, V), {}),
    "key given, wider values": (
        lambda **kw: MHA(2, 4, value_dim=5, **kw),
        (Q, (5, 7), (5, 9)),
        {},
    ),
    "causal": (lambda **kw: MHA(2, 4, use_bias=False, **kw), (Q, V), {"use_causal_mask": True}),
    "scores": (
        lambda **kw: MHA(3, 4, **kw),
        (Q, V),
        {"return_attention_scores": True, "use_causal_mask": True},
    ),
    "dropout, output shape": (
        lambda **kw: MHA(2, 4, dropout=0.1, output_shape=(3, 7), **kw),
        (Q, V),
        {},
    ),
    "output size": (lambda **kw: MHA(2, 4, output_shape=3, **kw), (Q, V), {}),
    "over an image": (lambda **kw: MHA(2, 4, **kw), ((3, 4, 8), (2, 5, 8)), {}),
    "along rows": (lambda **kw: MHA(2, 4, attention_axes=2, **kw), ((3, 4, 8), (3, 5, 8)), {}),
    "along columns": (
        lambda **kw: MHA(2, 4, attention_axes=1, **kw),
        ((3, 4, 8), (5, 4, 8)),
        {"return_attention_scores": True},
    ),
    "along an axis from the end": (
        lambda **kw: MHA(2, 4, attention_axes=(-3,), **kw),
        ((3, 4, 8), (3, 4, 8)),
        {"return_attention_scores": True},
    ),
}


def _settles_axes() -> bool:
    """Whether a negative axis is one of the inputs': older versions count on the projections."""
    layer = MHA(1, 1, attention_axes=(-3,))
    layer.build((1, 2, 2, 2), (1, 2, 2, 2))
    return tuple(layer.get_config()["attention_axes"]) == (1,)


if _settles_axes():
    MULTI_HEAD["along columns from the end"] = (
        lambda **kw: MHA(2, 4, attention_axes=(-3,), **kw),
        ((3, 4, 8), (5, 4, 8)),
        {"return_attention_scores": True},
    )
GROUPED: dict[str, tuple[Callable[..., Any], tuple[Sequence[int], ...], dict[str, Any]]] = {
    "plain": (lambda **kw: GQA(4, 6, 2, **kw), (Q, V), {}),
    "one key head": (lambda **kw: GQA(4, 6, 1, use_bias=False, **kw), (Q, V), {}),
    "as many heads": (lambda **kw: GQA(4, 2, 2, **kw), (Q, V, V), {}),
    "scores": (
        lambda **kw: GQA(4, 6, 3, **kw),
        (Q, V),
        {"return_attention_scores": True, "use_causal_mask": True},
    ),
    "causal": (lambda **kw: GQA(4, 6, 3, dropout=0.2, **kw), (Q, V), {"use_causal_mask": True}),
}
CASES = {
    **{f"multi-head, {name}": case for name, case in MULTI_HEAD.items()},
    **{f"grouped, {name}": case for name, case in GROUPED.items()},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_keras_on_types_and_weights(case: str, dtype: str | None) -> None:
    layer, shapes, call = CASES[case]
    model = abstract(_on(lambda: layer(dtype=dtype), *shapes, **call))
    graph = graph_of(model, batch=3)
    assert params_of(graph) == model.count_params()


@pytest.mark.parametrize("case", CASES)
def test_macs_are_those_of_the_traced_graph(case: str) -> None:
    layer, shapes, call = CASES[case]
    build = _on(layer, *shapes, **call)
    assert cost_of(graph_of(abstract(build), batch=3)).macs == traced_macs(build, batch=3).macs


NEWER = [name for name in ("sliding_window", "use_gate") if name in MHA(1, 1).get_config()]


if NEWER:

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("option", NEWER)
    @pytest.mark.parametrize("kind", ["multi-head", "grouped"])
    def test_newer_options(kind: str, option: str, dtype: str | None) -> None:
        extra = {option: 2, "dtype": dtype}
        made = {"multi-head": lambda: MHA(2, 4, **extra), "grouped": lambda: GQA(4, 6, 2, **extra)}
        build = _on(made[kind], Q, V, use_causal_mask=True)
        model = abstract(build)
        graph = graph_of(model, batch=2)
        assert params_of(graph) == model.count_params()
        assert cost_of(graph).macs == traced_macs(build, batch=2).macs


def test_parts_stand_in_scopes_named_as_keras_sublayers() -> None:
    model = abstract(_on(lambda: MHA(2, 4, name="mha"), Q, V))
    graph = graph_of(model)
    scopes = {node.scope for node in nodes_of(graph, "mha")}
    assert scopes == {
        ("mha",),
        *(("mha", part) for part in ("query", "key", "value", "attention_output")),
    }
    own = sorted(weight.path for weight in graph.weights.values())
    assert own == sorted(w.path for w in model.weights)


@pytest.mark.parametrize("late", [False, True])
def test_frozen_attention_is_as_frozen_as_keras_makes_it(late: bool) -> None:
    """``trainable=False`` given to the constructor does not reach the layers made in ``build``."""
    for make in (lambda **kw: MHA(2, 4, **kw), lambda **kw: GQA(4, 6, 2, **kw)):
        model = abstract(_on(lambda make=make: make(trainable=late), Q, V))
        if late:
            model.trainable = False
        found = {w.path: w.trainable for w in graph_of(model).weights.values()}
        assert found == {w.path: w.trainable for w in model.weights}
        assert any(found.values()) is not late


def test_each_product_is_a_node_of_its_own() -> None:
    # B=3, T=6, S=5, D=8, N=2 heads of 4
    graph = graph_of(abstract(_on(lambda: MHA(2, 4, name="mha"), Q, V)), batch=3)
    macs = [cost.macs for node, cost in zip(graph.nodes, price(graph), strict=True) if cost.macs]
    assert macs == [
        3 * 6 * 8 * 8,  # query
        3 * 5 * 8 * 8,  # key
        3 * 5 * 8 * 8,  # value
        3 * 2 * 6 * 5 * 4,  # scores
        3 * 2 * 6 * 5 * 4,  # context
        3 * 6 * 8 * 8,  # output
    ]
    scores = 3 * 2 * 6 * 5
    assert _flops(graph, "mha", "multiply") == scores  # the scale, on the scores
    # 36 lanes of 5: 4 comparisons, 5 subtractions, 5 exp, 4 additions, 5 divisions
    assert _flops(graph, "mha", "softmax") == 36 * 23
    biases = 3 * (6 * 8 + 5 * 8 + 5 * 8 + 6 * 8)
    assert cost_of(graph).flops == 2 * sum(macs) + scores + 36 * 23 + biases


def test_asking_for_scores_moves_the_scale_to_the_query() -> None:
    build = _on(lambda: MHA(2, 4, name="mha"), Q, V, return_attention_scores=True)
    graph = graph_of(abstract(build), batch=3)
    assert _flops(graph, "mha", "multiply") == 3 * 6 * 8


# -- masks -------------------------------------------------------------------------------------


def _two_decoder_layers() -> Any:
    ids, source = keras.Input((6,), dtype="int32"), keras.Input((5,), dtype="int32")
    words = layers.Embedding(11, 8, mask_zero=True, name="words")
    x, memory = words(ids), words(source)
    for i in (1, 2):
        x = MHA(2, 4, name=f"cross{i}")(x, memory)
    return functional([ids, source], x)


def test_masks_travel_from_an_embedding_and_are_taken_off_by_attention() -> None:
    """Keras's attention removes the masks of its inputs: the second layer sees no memory mask.

    Older versions record the masks as arguments of each call, and those stay.
    """
    model = abstract(_two_decoder_layers)
    graph = graph_of(model, batch=3)
    stays = "value_mask" in model.get_layer("cross2")._inbound_nodes[0].arguments.kwargs
    # (3, 6, 1) & (3, 1, 5)
    assert _flops(graph, "cross1", "logical_and") == 3 * 6 * 5
    assert _flops(graph, "cross2", "logical_and") == (3 * 6 * 5 if stays else 0)
    assert [n.op for n in graph.nodes].count("select") == 2
    # the query's mask and the memory's, each compared with 0 once; the query's mask as it is
    # recorded is an operation of the model too, though the layer reads the tensor's own
    made = sum(n.attrs.get("fn") == "not_equal" for n in graph.nodes)
    assert made == (3 if stays else 2)


def _tf_ops(build: Callable[[], Any], kinds: set[str], batch: int) -> dict[str, int]:
    """Output elements of TensorFlow ops by kind that the output of an eager model needs."""
    import tensorflow as tf

    model = build()
    specs = [tf.TensorSpec((batch, *x.shape[1:]), x.dtype) for x in model.inputs]
    graph = tf.function(lambda *xs: model(list(xs))).get_concrete_function(*specs).graph
    found: dict[str, int] = dict.fromkeys(kinds, 0)
    needed, met = [out.op for out in graph.outputs], set()
    while needed:
        op = needed.pop()
        if op.name not in met:
            met.add(op.name)
            needed += [x.op for x in op.inputs]
            found[op.type] = found.get(op.type, 0) + sum(_elements(op)[:1])
    return {kind: found[kind] for kind in kinds}


def _elements(op: Any) -> list[int]:
    return [x.shape.num_elements() or 0 for x in op.outputs]


def test_mask_arithmetic_is_tensorflows_own() -> None:
    """Layers that keep their scores merge masks one by one; TensorFlow's graph shows each."""

    def build() -> Any:
        ids, given = keras.Input((6,), dtype="int32"), keras.Input((6, 6), dtype="bool")
        x = layers.Embedding(11, 8, mask_zero=True)(ids)
        y, _ = MHA(2, 4)(
            x, x, attention_mask=given, use_causal_mask=True, return_attention_scores=True
        )
        z = GQA(4, 4, 2, dropout=0.1)(y, y, y, use_causal_mask=True)
        w, _ = MHA(2, 4)(z, x, return_attention_scores=True)  # the first took the mask off x
        return functional([ids, given], w)

    graph = graph_of(abstract(build), batch=3)
    fns = {"LogicalAnd": "logical_and", "GreaterEqual": "greater_equal", "NotEqual": "not_equal"}
    expected = _tf_ops(build, set(fns), 3)
    found = dict.fromkeys(fns, 0)
    for kind, fn in fns.items():
        sizes = (graph.values[n.outputs[0]].size for n in graph.nodes if n.attrs.get("fn") == fn)
        found[kind] = sum(sizes)
    assert found == expected


@pytest.mark.parametrize("make", [lambda: MHA(2, 4), lambda: GQA(4, 6, 2)])
def test_a_causal_mask_alone_is_made_where_keras_makes_it(make: Callable[[], Any]) -> None:
    """By running sums, until the fused product was told to mask by itself."""

    def build() -> Any:
        x = keras.Input((6, 8))
        return functional(x, make()(x, x, use_causal_mask=True))

    graph = graph_of(abstract(build), batch=3)
    sums = [graph.values[n.outputs[0]].size for n in graph.nodes if n.op == "cumulative"]
    assert sum(sums) == _tf_ops(build, {"Cumsum"}, 3)["Cumsum"]
    assert cost_of(graph).macs == traced_macs(build, batch=3).macs


def _masked_dot_product() -> Any:
    q, v = keras.Input((3, 4)), keras.Input((5, 4))
    keep = keras.Input((5,), dtype="bool")
    return functional([q, v, keep], layers.Attention()([q, v], mask=[None, keep]))


CHOOSES = _tf_ops(_masked_dot_product, {"SelectV2"}, 1)["SelectV2"] > 0
"""Whether Attention chooses by its masks; older versions multiply by them."""


def test_query_mask_reaches_the_layer_behind() -> None:
    def build() -> Any:
        ids = keras.Input((6,), dtype="int32")
        x = layers.Embedding(11, 8, mask_zero=True)(ids)
        y = GQA(4, 6, 2, name="first")(x, x)
        return functional(ids, layers.Attention(name="last")([y, y]))

    graph = graph_of(abstract(build), batch=2)
    hides, zeroes = ["subtract", "select"], ["select"]
    if not CHOOSES:
        hides, zeroes = ["cast", "multiply", "subtract"], ["cast", "multiply"]
    ops = [n.attrs.get("fn", n.op) for n in nodes_of(graph, "last")]
    assert ops == [
        *("einsum", "logical_not", "reshape", *hides, "softmax", "einsum", "reshape", *zeroes)
    ]


# -- Luong and Bahdanau, literally -------------------------------------------------------------


def _softmax(lane: Sequence[Number]) -> list[Number]:
    top = lane[0]
    for x in lane[1:]:
        top = larger(x, top)
    powers = [exp(x - top) for x in lane]
    whole = total(powers)
    return [p / whole for p in powers]


def _masked(lane: Sequence[Number], padding: Sequence[Number] | None) -> list[Number]:
    """Scores with 1e9 taken off where padding is; ``padding`` holds what is to be taken off."""
    if padding is None:
        return list(lane)
    if not CHOOSES:
        return [x - hide for x, hide in zip(lane, padding, strict=True)]
    lower = [x - 1e9 for x in lane]
    return [low if hide.value else x for x, low, hide in zip(lane, lower, padding, strict=True)]


def _padding(keep: Sequence[bool], tally: Tally) -> list[Number]:
    """Not ``keep``, and times 1e9 where Keras multiplies."""
    tally.comparisons += len(keep)  # one negation each
    hidden = [tally.number(float(not kept)) for kept in keep]
    return hidden if CHOOSES else [hide * 1e9 for hide in hidden]


def _masks_batches() -> bool:
    """Whether (B, S) masks go with (B, T, S) scores of any B; in older versions with 1 only."""
    q, v = np.zeros((2, 3, 4), "float32"), np.zeros((2, 5, 4), "float32")
    try:
        layers.Attention()([q, v], mask=[None, np.ones((2, 5), bool)])
    except Exception:  # the backend's own
        return False
    return True


SOME = 2 if _masks_batches() else 1


SEQUENCE: dict[str, Callable[[], Any]] = {
    "dot": layers.Attention,
    "scaled": lambda: layers.Attention(use_scale=True),
    "concat": lambda: layers.Attention(use_scale=True, score_mode="concat"),
    "additive": layers.AdditiveAttention,
    "additive, bare": lambda: layers.AdditiveAttention(use_scale=False),
}


def _score(kind: str, q: np.ndarray, k: np.ndarray, weights: list[Any], tally: Tally) -> Number:
    """One score; a dot product's multiply-accumulates are counted elsewhere."""
    if kind in ("dot", "scaled"):
        dot = tally.number(float(q @ k))
        return dot * float(weights[0]) if kind == "scaled" else dot
    pairs = [tally.number(a) + float(b) for a, b in zip(q, k, strict=True)]
    if kind == "concat":
        return total([tanh(x * float(weights[0])) for x in pairs]) * float(weights[1])
    scale = weights[0] if weights else np.ones(len(q))
    return total([tanh(x) * float(s) for x, s in zip(pairs, scale, strict=True)])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", SEQUENCE)
def test_sequence_attention_is_its_definition(kind: str, masked: bool) -> None:
    rng = np.random.default_rng(7)
    q, v = (rng.normal(size=(SOME, n, 4)).astype("float32") for n in (3, 5))
    layer = SEQUENCE[kind]()
    layer.build([q.shape, v.shape])
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    weights = [keras.ops.convert_to_numpy(w) for w in layer.weights]
    keep = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1]], bool)[:SOME] if masked else None
    tally, out = Tally(), np.zeros((SOME, 3, 4))
    for b in range(SOME):
        padding = None if keep is None else _padding(keep[b], tally)
        for t in range(3):
            scores = [_score(kind, q[b, t], v[b, s], weights, tally) for s in range(5)]
            lane = _softmax(_masked(scores, padding))
            out[b, t] = sum(p.value * v[b, s] for s, p in enumerate(lane))
    mask = None if keep is None else [None, keras.ops.convert_to_tensor(keep)]
    expected = layer([keras.ops.convert_to_tensor(q), keras.ops.convert_to_tensor(v)], mask=mask)
    np.testing.assert_allclose(out, keras.ops.convert_to_numpy(expected), atol=1e-4)
    products = SOME * 3 * 5 * 4 * (2 if kind in ("dot", "scaled") else 1)
    assert _cost_of_sequence(kind, masked) == tally.cost + Cost(products, products)


def _cost_of_sequence(kind: str, masked: bool) -> Cost:
    def build() -> Any:
        q, v = keras.Input((3, 4)), keras.Input((5, 4))
        keep = keras.Input((5,), dtype="bool")
        xs = [q, v, keep] if masked else [q, v]
        return functional(xs, SEQUENCE[kind]()([q, v], mask=[None, keep] if masked else None))

    graph = graph_of(abstract(build), batch=SOME)
    cost = cost_of(graph)
    return cost + Cost(bytes_read=-cost.bytes_read, bytes_written=-cost.bytes_written)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sequence_attention_agrees_with_keras(dtype: str | None) -> None:
    def build() -> Any:
        q, v, k = keras.Input((3, 4)), keras.Input((5, 7)), keras.Input((5, 4))
        flags = {"return_attention_scores": True, "use_causal_mask": True}
        outs = []
        for make in (layers.Attention, layers.AdditiveAttention):
            outs += [make(dropout=0.3, dtype=dtype)([q, v, k]), make(dtype=dtype)([q, k], **flags)]
        return functional([q, v, k], outs)

    model = abstract(build)
    graph = graph_of(model, batch=2)
    assert params_of(graph) == model.count_params()
    assert cost_of(graph).macs == traced_macs(build, batch=2).macs


def test_query_mask_zeroes_rows_and_costs_nothing_where_it_is_a_choice() -> None:
    def build(masked: bool) -> Any:
        q, v, keep = keras.Input((3, 4)), keras.Input((5, 4)), keras.Input((3,), dtype="bool")
        mask = [keep, None] if masked else None
        return functional([q, v, keep], layers.Attention()([q, v], mask=mask))

    costs = [cost_of(graph_of(abstract(lambda on=on: build(on)))) for on in (False, True)]
    assert costs[1].flops - costs[0].flops == (0 if CHOOSES else 3 * 4)


def test_an_empty_sequence_costs_nothing() -> None:
    def build() -> Any:
        x = keras.Input((4, 8))
        return functional(x, MHA(2, 4)(x[:, :0], x))

    pairs = _priced_under(graph_of(abstract(build)), "MultiHeadAttention")
    assert pairs.macs == 2 * 4 * 8 * 8  # key and value only


def _priced_under(graph: Graph, kind: str) -> Cost:
    pairs = zip(graph.nodes, price(graph), strict=True)
    return sum((cost for node, cost in pairs if node.origin.kind == kind), ZERO)
