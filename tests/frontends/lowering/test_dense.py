"""Dense, EinsumDense, embeddings and LoRA against Keras, TensorFlow's trace and integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import pytest

from tests.oracles.traced import traced_macs
from tests.support import abstract, cost_of, functional, graph_of, nodes_of, params_of

layers = keras.layers
DTYPES = [None, "mixed_float16", "bfloat16", "float64"]


def _on(layer: Callable[[], Any], shape: Sequence[int], dtype: str | None = None) -> Any:
    def build() -> Any:
        x = keras.Input(tuple(shape), dtype=dtype)
        return functional(x, layer()(x))

    return build


DENSE: dict[str, tuple[Callable[..., Any], Sequence[int]]] = {
    "vector": (lambda **kw: layers.Dense(5, **kw), (3,)),
    "map, no bias": (lambda **kw: layers.Dense(5, use_bias=False, **kw), (4, 6, 3)),
    "activation": (lambda **kw: layers.Dense(5, activation="gelu", **kw), (4, 3)),
    "one leading axis": (
        lambda **kw: layers.EinsumDense("ab,bc->ac", 7, bias_axes="c", **kw),
        (3,),
    ),
    "heads": (
        lambda **kw: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", **kw),
        (4, 5),
    ),
    "heads together": (
        lambda **kw: layers.EinsumDense("abcd,cde->abe", (None, 7), bias_axes="e", **kw),
        (4, 2, 3),
    ),
    "bias on a middle axis": (
        lambda **kw: layers.EinsumDense("abc,cd->adb", (6, None), bias_axes="d", **kw),
        (4, 5),
    ),
    "ellipsis on the left": (
        lambda **kw: layers.EinsumDense("...x,xy->...y", 6, bias_axes="y", **kw),
        (2, 4, 5),
    ),
    "ellipsis on the left, two own axes": (
        lambda **kw: layers.EinsumDense("...xy,yz->...xz", (4, 6), bias_axes="xz", **kw),
        (2, 4, 5),
    ),
    "ellipsis on the right": (
        lambda **kw: layers.EinsumDense("ab...,bd->ad...", 6, bias_axes="d", **kw),
        (5, 3, 4),
    ),
    "a kernel per position": (
        lambda **kw: layers.EinsumDense("abc,bcd->abd", (4, 6), activation="relu", **kw),
        (4, 5),
    ),
    "a sum with weights": (lambda **kw: layers.EinsumDense("abc,bc->ab", (4,), **kw), (4, 5)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", DENSE)
def test_dense_agrees_with_keras(case: str, dtype: str | None) -> None:
    layer, shape = DENSE[case]
    build = _on(lambda: layer(dtype=dtype), shape)
    model = abstract(build)
    graph = graph_of(model, batch=3)
    assert params_of(graph) == model.count_params()
    assert cost_of(graph).macs == traced_macs(build, batch=3).macs


@pytest.mark.parametrize("dtype", [None, "mixed_float16"])
def test_integers_are_promoted(dtype: str | None) -> None:
    graph = graph_of(abstract(_on(lambda: layers.Dense(2, dtype=dtype), (3,), "int32")))
    assert graph.values[graph.outputs[0]].dtype == ("float16" if dtype else "float32")


def test_dense_on_a_map_is_a_pointwise_convolution() -> None:
    graph = graph_of(abstract(_on(lambda: layers.Dense(5, activation="relu"), (4, 6, 3))), batch=2)
    assert [n.op for n in graph.nodes] == ["input", "einsum", "binary", "unary"]
    cost = cost_of(graph)
    assert cost.macs == cost.macs_valid == 2 * 4 * 6 * 3 * 5
    assert (cost.adds, cost.comparisons) == (2 * 4 * 6 * 5, 2 * 4 * 6 * 5)


# -- LoRA ------------------------------------------------------------------------------------

LORA: dict[str, tuple[Callable[..., Any], Sequence[int], str | None]] = {
    "dense": (lambda **kw: layers.Dense(5, **kw), (4, 7), None),
    "einsum": (
        lambda **kw: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", **kw),
        (4, 7),
        None,
    ),
    "convolution": (lambda **kw: layers.Conv2D(4, 3, groups=2, **kw), (6, 6, 2), None),
    "embedding": (lambda **kw: layers.Embedding(11, 6, **kw), (4,), "int32"),
}


@pytest.mark.parametrize("dtype", [None, "mixed_float16"])
@pytest.mark.parametrize("case", LORA)
def test_lora_kernels_are_computed_on_each_call(case: str, dtype: str | None) -> None:
    layer, shape, ids = LORA[case]
    build = _on(lambda: layer(lora_rank=3, dtype=dtype), shape, ids)
    model = abstract(build)
    graph = graph_of(model, batch=2)
    assert params_of(graph) == model.count_params()
    assert cost_of(graph).macs == traced_macs(build, batch=2).macs
    frozen = {w.path for w in graph.weights.values() if not w.trainable}
    assert frozen == {w.path for w in model.weights if not w.trainable}


def test_lora_scales_and_adds_over_the_whole_kernel() -> None:
    graph = graph_of(abstract(_on(lambda: layers.Dense(5, use_bias=False, lora_rank=3), (7,))))
    cost = cost_of(graph)
    # A (7, 3) · B (3, 5), then α/r · 35 elements, + 35 elements; the input 7 × 5
    assert (cost.macs, cost.muls, cost.adds) == (7 * 3 * 5 + 7 * 5, 35, 35)


def test_lora_on_a_layer_inside_attention() -> None:
    x = keras.Input((6, 8))
    attention = layers.MultiHeadAttention(2, 4)
    model = functional(x, attention(x, x))
    attention.query_dense.enable_lora(2)
    graph = graph_of(model)
    # query (8, 2, 4): A (8, 2, 2), B (2, 4)
    assert params_of(graph) == model.count_params() == 4 * (64 + 8) + 32 + 8
    plain = 4 * 6 * 8 * 8 + 2 * (2 * 6 * 6 * 4)
    assert cost_of(graph).macs == plain + 8 * 2 * 2 * 4


# -- embeddings --------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["int32", "int64", "uint8", "float32"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_embedding_moves_and_computes_nothing(dtype: str | None, ids: str) -> None:
    model = abstract(_on(lambda: layers.Embedding(11, 6, dtype=dtype), (4,), ids))
    graph = graph_of(model, batch=3)
    assert params_of(graph) == model.count_params() == 66
    assert cost_of(graph).flops == 0


def test_a_mask_is_made_once_where_it_is_read() -> None:
    def build() -> Any:
        ids = keras.Input((4,), dtype="int32")
        x = layers.Embedding(11, 6, mask_zero=True, name="words")(ids)
        y = layers.Dense(6)(x)
        return functional(ids, [layers.Attention(name="a")([y, y]), layers.Attention()([y, x])])

    graph = graph_of(abstract(build))
    fns = [n.attrs.get("fn") for n in graph.nodes]
    assert fns.count("not_equal") == 1
    assert [n.op for n in nodes_of(graph, "words")] == ["gather"]


REVERSIBLE = getattr(layers, "ReversibleEmbedding", None)


def _reversible(**options: Any) -> Any:
    def build() -> Any:
        ids, x = keras.Input((4,), dtype="int32"), keras.Input((4, 6))
        assert REVERSIBLE is not None
        layer = REVERSIBLE(11, 6, **options)
        hidden = layer(ids)
        return functional([ids, x], [hidden, layer(x, reverse=True), layer(hidden, reverse=True)])

    return build


OPTIONS: list[dict[str, Any]] = [
    {},
    {"tie_weights": False},
    {"logit_soft_cap": 5.0},
    {"reverse_dtype": "float32"},
    {"dtype": "mixed_float16"},
    {"dtype": "bfloat16", "tie_weights": False},
    {"dtype": "mixed_bfloat16", "reverse_dtype": "float32", "mask_zero": True},
    {"lora_rank": 2, "logit_soft_cap": 2},
]


if REVERSIBLE:

    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_reversible_embedding_multiplies_by_its_table(options: dict[str, Any]) -> None:
        build = _reversible(**options)
        model = abstract(build)
        graph = graph_of(model, batch=3)
        assert params_of(graph) == model.count_params()
        assert cost_of(graph).macs == traced_macs(build, batch=3).macs
        if "logit_soft_cap" in options:
            logits = 2 * 3 * 4 * 11  # two calls
            assert (cost_of(graph).divs, cost_of(graph).transcendentals) == (logits, logits)


@pytest.mark.parametrize("name", ["Dense", "Embedding"])
def test_frozen_layers_have_no_trainable_weight(name: str) -> None:
    make = {"Dense": lambda: layers.Dense(4, trainable=False),
            "Embedding": lambda: layers.Embedding(5, 4, trainable=False)}[name]  # fmt: skip
    graph = graph_of(abstract(_on(make, (3,), "int32" if name == "Embedding" else None)))
    assert not any(weight.trainable for weight in graph.weights.values())
