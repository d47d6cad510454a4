"""Convolution layers against Keras (shapes, weights) and nested loops (MACs)."""

from __future__ import annotations

import keras
from tests.support import abstract, cost_of, functional, graph_of, params_of


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
