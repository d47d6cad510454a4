"""Merging layers: ranks, masks, dot products."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import keras
import numpy as np
import pytest

from tests.frontends.lowering.layer_support import BATCH, ops, out, read, read_layer, work
from tests.support import cost_of

layers = keras.layers

ELEMENTWISE = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Average"])
def test_operands_of_one_shape(name: str) -> None:
    graph = read_layer(getattr(layers, name), (4, 5), (4, 5))
    halving = 1 if name == "Average" else 0
    assert cost_of(graph).flops == BATCH * 20 * (1 + halving)


@pytest.mark.parametrize("name", [n for n in (*ELEMENTWISE, "Average") if n != "Subtract"])
def test_three_operands_take_two_steps(name: str) -> None:
    graph = read_layer(getattr(layers, name), (5,), (5,), (5,))
    assert cost_of(graph).flops == BATCH * 5 * (3 if name == "Average" else 2)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Average"])
def test_a_lower_rank_gets_axes_after_the_batch(name: str) -> None:
    graph = read_layer(getattr(layers, name), (4, 6, 5), (5,))
    assert work(graph)[0].attrs["shape"] == (BATCH, 1, 1, 5)
    assert out(graph)[0] == (BATCH, 4, 6, 5)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Average", "Concatenate"])
@pytest.mark.parametrize("dtype", ["mixed_float16", "float32"])
def test_dtypes(name: str, dtype: str) -> None:
    make = getattr(layers, name)
    read_layer(lambda: make(dtype=dtype), (4, 5), (4, 5))
    assert out(read_layer(make, (4, 5), (4, 5), dtype="int32"))[1] == "float32"


def test_a_constant_operand() -> None:
    ones = np.ones((1, 5), "float32")
    graph = read(lambda x: layers.Add()([x, ones]), (5,))
    assert [t.shape for t in graph.constants.values()] == [(1, 5)]


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_concatenation(axis: int) -> None:
    shapes = [(4, 5), (4, 2)] if axis in (-1, 2) else [(4, 5), (7, 5)]
    graph = read_layer(lambda: layers.Concatenate(axis), *shapes)
    assert ops(graph) == ["concat"]
    assert cost_of(graph).flops == 0


DOTS = [
    (1, (4,), (4,)),
    (2, (3, 4), (5, 4)),
    ((1, 2), (4, 3), (5, 4)),
    (-1, (3, 4), (4,)),
    (-1, (4,), (3, 4)),
    ((2, 1), (3, 4), (4, 5, 6)),
    (1, (4, 3, 2), (4, 5)),
]


@pytest.mark.parametrize(("axes", "left", "right"), DOTS)
def test_dot_multiplies_what_a_loop_multiplies(
    axes: Any, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    graph = read_layer(lambda: layers.Dot(axes), left, right)
    first, second = (axes, axes) if isinstance(axes, int) else axes
    products = 0
    for index in itertools.product(range(BATCH), *map(range, left)):
        along = index[first]
        for other in itertools.product([index[0]], *map(range, right)):
            products += other[second] == along
    assert cost_of(graph).macs == products


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_normalized_dot_normalizes_both(dtype: str) -> None:
    graph = read_layer(lambda: layers.Dot(-1, normalize=True, dtype=dtype), (3, 4), (5, 4))
    assert [node.op for node in work(graph) if node.op != "cast"] == [
        "norm", "norm", "transpose", "einsum",
    ]  # fmt: skip


def _pooled(merge: Any, *masked: bool) -> Any:
    """Two embeddings, merged, and averaged where the merged mask keeps them."""

    def call(*inputs: Any) -> Any:
        xs = [
            layers.Embedding(5, 3, mask_zero=zero)(x)
            for x, zero in zip(inputs, masked, strict=True)
        ]
        return layers.GlobalAveragePooling1D()(merge(xs))

    return call


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Average"])
def test_masks_travel_through(name: str) -> None:
    both = read(_pooled(getattr(layers, name)(), True, True), (7,), (7,), dtype="int32")
    assert ops(both)[-1] == "divide"
    assert "logical_or" in ops(both)


def test_masks_are_spread_and_concatenated() -> None:
    """Spread over the features by or-ing them with zeros, or in older versions by repeating."""
    both = read(_pooled(layers.Concatenate(1), True, True), (7,), (7,), dtype="int32")
    repeats = "broadcast_to" in inspect.getsource(layers.Concatenate.compute_mask)
    assert ops(both)[-1] == "divide"
    assert ops(both).count("broadcast" if repeats else "logical_or") == 2


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Average"])
def test_one_mask_does_not_make_one(name: str) -> None:
    one = read(_pooled(getattr(layers, name)(), True, False), (7,), (7,), dtype="int32")
    assert ops(one)[-2:] == ["average", "reshape"]


def test_concatenation_fills_in_a_missing_mask() -> None:
    one = read(_pooled(layers.Concatenate(1), True, False), (7,), (7,), dtype="int32")
    assert ops(one)[-1] == "divide"


def _masked_merge(name: str) -> Any:
    def call(*inputs: Any) -> Any:
        return getattr(layers, name)()([layers.Embedding(5, 3, mask_zero=True)(x) for x in inputs])

    return call


def test_keras_chooses_among_masked_operands() -> None:
    for name in ("Maximum", "Minimum"):
        assert ops(read(_masked_merge(name), (7,), (7,), dtype="int32")).count("select") == 2
    # each factor is 1 where it is masked, the product 0 where both are
    assert ops(read(_masked_merge("Multiply"), (7,), (7,), dtype="int32")).count("select") == 3
    for name in ("Add", "Subtract", "Average"):
        assert "select" not in ops(read(_masked_merge(name), (7,), (7,), dtype="int32"))


def test_the_mask_of_a_merge_is_made_once_where_it_is_read() -> None:
    def call(*inputs: Any) -> Any:
        xs = [layers.Embedding(5, 4, mask_zero=True)(x) for x in inputs]
        x = layers.Add()(xs)
        attend = layers.MultiHeadAttention(2, 3)
        return layers.Concatenate()([attend(x, x), attend(x, x)])

    graph = read(call, (7,), (7,), dtype="int32")
    merged = [n for n in work(graph) if n.attrs.get("fn") == "logical_or"]
    # some releases of Keras record the mask as an operation of the model besides
    assert sum(n.origin.kind == "MultiHeadAttention" for n in merged) <= 1 <= len(merged)
