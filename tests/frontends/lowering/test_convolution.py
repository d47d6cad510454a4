"""Convolution layers against Keras (shapes, weights) and nested loops (MACs, nominal and valid)."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import pytest

from costlens.cost.cost import Cost
from tests.oracles.loops import conv_macs, conv_transpose_macs, depthwise_macs
from tests.support import abstract, cost_of, functional, graph_of, params_of

SIZES = (7, 6, 5)
FORMATS = ("channels_last", "channels_first")


def costs(layer: Any, shape: tuple[int, ...]) -> tuple[Cost, tuple[int, ...], int]:
    """A layer's cost on one input, the shape that comes out, and its parameters."""

    def build() -> keras.Model:
        x = keras.Input(shape[1:], batch_size=shape[0])
        return functional(x, layer()(x))

    model = abstract(build)
    graph = graph_of(model)
    assert params_of(graph) == model.count_params()
    return cost_of(graph), graph.values[graph.outputs[0]].shape, params_of(graph)


def shaped(rank: int, channels: int, data_format: str) -> tuple[int, ...]:
    """Two samples of a small map."""
    sizes = SIZES[:rank]
    return (2, *sizes, channels) if data_format == "channels_last" else (2, channels, *sizes)


@pytest.mark.parametrize(
    ("rank", "data_format", "padding", "stride", "dilation", "groups"),
    [
        (rank, data_format, padding, stride, dilation, groups)
        for rank, data_format, padding, (stride, dilation), groups in product(
            (1, 2, 3), FORMATS, ("valid", "same"), ((1, 1), (2, 1), (1, 2)), (1, 2)
        )
    ],
)
def test_convolutions_multiply_what_the_loops_multiply(
    rank: int, data_format: str, padding: str, stride: int, dilation: int, groups: int
) -> None:
    layer = getattr(keras.layers, f"Conv{rank}D")
    shape, taps = shaped(rank, 4, data_format), (3, 2, 1)[:rank]

    def build() -> Any:
        return layer(
            6, taps, strides=stride, padding=padding, dilation_rate=dilation, groups=groups,
            data_format=data_format, use_bias=False,
        )  # fmt: skip

    cost, out, params = costs(build, shape)
    kernel = (*taps, 4 // groups, 6)
    nominal, valid, wanted = conv_macs(
        shape, kernel, stride, padding, dilation, groups, data_format
    )
    assert (cost.macs, cost.macs_valid, out) == (nominal, valid, tuple(wanted))
    assert params == len(list(product(*map(range, kernel))))


@pytest.mark.parametrize("dilation", [1, 3])
def test_causal_padding_is_real_input(dilation: int) -> None:
    cost, out, _ = costs(
        lambda: keras.layers.Conv1D(3, 4, padding="causal", dilation_rate=dilation), (2, 9, 5)
    )
    nominal, valid, wanted = conv_macs((2, 9, 5), (4, 5, 3), 1, "causal", dilation)
    assert (cost.macs, cost.macs_valid, out) == (nominal, valid, tuple(wanted))
    assert cost.macs == cost.macs_valid


@pytest.mark.parametrize(
    ("rank", "data_format", "padding", "stride", "multiplier"),
    list(product((1, 2), FORMATS, ("valid", "same"), (1, 2), (1, 3))),
)
def test_depthwise_convolutions(
    rank: int, data_format: str, padding: str, stride: int, multiplier: int
) -> None:
    layer = getattr(keras.layers, f"DepthwiseConv{rank}D")
    shape, taps = shaped(rank, 4, data_format), (3, 2)[:rank]

    def build() -> Any:
        return layer(
            taps, strides=stride, padding=padding, depth_multiplier=multiplier,
            data_format=data_format,
        )  # fmt: skip

    cost, out, _ = costs(build, shape)
    nominal, valid, wanted = depthwise_macs(
        shape, (*taps, 4, multiplier), stride, padding, data_format=data_format
    )
    assert (cost.macs, cost.macs_valid, out) == (nominal, valid, tuple(wanted))


@pytest.mark.parametrize(
    ("rank", "data_format", "padding", "stride", "taps"),
    list(product((1, 2, 3), FORMATS, ("valid", "same"), (1, 2, 3), (1, 2, 3))),
)
def test_transposed_convolutions(
    rank: int, data_format: str, padding: str, stride: int, taps: int
) -> None:
    layer = getattr(keras.layers, f"Conv{rank}DTranspose")
    shape = shaped(rank, 3, data_format)

    def build() -> Any:
        return layer(2, taps, strides=stride, padding=padding, data_format=data_format)

    cost, out, _ = costs(build, shape)
    nominal, valid, wanted = conv_transpose_macs(
        shape, (*(taps,) * rank, 2, 3), stride, padding, data_format=data_format
    )
    assert (cost.macs, cost.macs_valid, out) == (nominal, valid, tuple(wanted))


def test_separable_convolution_is_a_depthwise_and_a_pointwise() -> None:
    def build() -> keras.Model:
        x = keras.Input((8, 8, 4))
        return functional(x, keras.layers.SeparableConv2D(6, 3, activation="relu")(x))

    model = abstract(build)
    graph = graph_of(model)
    assert [n.op for n in graph.nodes] == ["input", "reshape", "conv", "conv", "binary", "unary"]
    assert params_of(graph) == model.count_params()
    # 6×6 positions: 9 taps on each of 4 channels, then 4 → 6 channels
    assert cost_of(graph).macs == 36 * 9 * 4 + 36 * 4 * 6


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "kind", ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]
)
def test_depthwise_convolutions_in_mixed_precision(kind: str, policy: str) -> None:
    """The kernel is cast to what the layer computes in, also where it is viewed first; the output
    dtype is compared with Keras's when the graph is read."""
    shape = (2, 6, 4) if kind.endswith("1D") else (2, 6, 5, 4)
    options = {"filters": 3} if kind.startswith("Separable") else {}

    def layer() -> keras.Layer:
        return getattr(keras.layers, kind)(kernel_size=3, dtype=policy, **options)

    full = costs(lambda: getattr(keras.layers, kind)(kernel_size=3, **options), shape)
    half = costs(layer, shape)
    assert (half[0].macs, half[1:]) == (full[0].macs, full[1:])
