"""Pooling layers: windows, global and adaptive, both data formats, masks."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from tests.frontends.lowering.layer_support import BATCH, ops, out, read, read_layer
from tests.support import cost_of

layers = keras.layers

FORMATS = ("channels_last", "channels_first")
SIZES = (9, 8, 7)
CHANNELS = 4


def _shape(rank: int, data_format: str) -> tuple[int, ...]:
    sizes = SIZES[:rank]
    return (*sizes, CHANNELS) if data_format == "channels_last" else (CHANNELS, *sizes)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_windows_in_every_rank_and_format(
    kind: str, rank: int, data_format: str, dtype: str
) -> None:
    layer = getattr(layers, f"{kind}Pooling{rank}D")
    shape = _shape(rank, data_format)
    for options in ({}, {"padding": "same"}, {"strides": 1}, {"strides": 3, "padding": "same"}):
        graph = read_layer(
            lambda options=options: layer(2, data_format=data_format, dtype=dtype, **options), shape
        )
        assert ops(graph)[-1] == kind.lower()
        size, _ = out(graph)
        elements = 1
        for n in size:
            elements *= n
        assert cost_of(graph).flops == elements * (2**rank - 1)
        assert cost_of(graph).macs == 0


def test_a_window_of_its_own_size_per_axis() -> None:
    graph = read_layer(lambda: layers.MaxPooling2D((2, 3), strides=(1, 2)), (5, 7, 2))
    # 4 × 3 positions of 2 channels, 6 elements each
    assert cost_of(graph).comparisons == BATCH * 4 * 3 * 2 * 5


def test_integers_come_out_as_keras_declares_them() -> None:
    graph = read_layer(lambda: layers.MaxPooling1D(2), (6, 2), dtype="int32")
    assert out(graph) == ((BATCH, 3, 2), "float32")


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_global_pooling(kind: str, rank: int, data_format: str, keepdims: bool) -> None:
    layer = getattr(layers, f"Global{kind}Pooling{rank}D")
    shape = _shape(rank, data_format)
    graph = read_layer(lambda: layer(data_format=data_format, keepdims=keepdims), shape)
    positions = (9, 72, 504)[rank - 1]
    assert cost_of(graph).flops == BATCH * CHANNELS * (positions - 1)


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_masked_global_average_counts_the_steps_that_are_kept(data_format: str) -> None:
    shape = (9, 4) if data_format == "channels_last" else (4, 9)

    def call(x: Any, steps: Any) -> Any:
        layer = layers.GlobalAveragePooling1D(data_format=data_format)
        return layer(x, mask=keras.ops.greater(steps, 0))

    graph = read(call, shape, (9,))
    pooling = ["reshape", "select", "sum", "cast", "sum", "divide"]
    assert ops(graph)[-6:] == pooling
    # 8 additions per channel, 8 for the count, one division per channel; 9 comparisons for the mask
    assert cost_of(graph).flops == BATCH * (4 * 8 + 8 + 4 + 9)


def test_a_mask_that_travels_is_used() -> None:
    def call(x: Any) -> Any:
        return layers.GlobalAveragePooling1D()(layers.Embedding(5, 3, mask_zero=True)(x))

    assert ops(read(call, (9,), dtype="int32"))[-1] == "divide"


if hasattr(layers, "AdaptiveMaxPooling2D"):

    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("rank", [1, 2, 3])
    @pytest.mark.parametrize("kind", ["Max", "Average"])
    def test_adaptive_pooling(kind: str, rank: int, data_format: str) -> None:
        layer = getattr(layers, f"Adaptive{kind}Pooling{rank}D")
        shape = _shape(rank, data_format)
        graph = read_layer(lambda: layer(3, data_format=data_format), shape)
        assert ops(graph) == [kind.lower()]

    def test_adaptive_windows_cover_their_inputs() -> None:
        graph = read_layer(lambda: layers.AdaptiveAveragePooling1D(2), (5, 1))
        # windows 0..2 and 2..4: three elements each, two additions each
        assert cost_of(graph).adds == BATCH * 4
