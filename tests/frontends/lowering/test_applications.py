"""The layers that keras.applications models bring along, and whole models that use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import pytest

from tests.support import abstract, cost_of, functional, graph_of, nodes_of, params_of

# MACs of TensorFlow's traced graph, walked op by op; parameters are Keras's own
TRACED: Mapping[str, int] = {
    "ConvNeXtTiny": 4_455_531_264,
    "EfficientNetB0": 385_814_752,
    "InceptionResNetV2": 13_155_794_016,
    "MobileNetV3Small": 56_510_400,
    "NASNetMobile": 563_638_816,
}


@pytest.mark.parametrize("name", TRACED)
def test_applications_read_completely(name: str) -> None:
    shape = {"input_shape": (224, 224, 3)} if name.startswith("MobileNetV3") else {}
    model = abstract(lambda: getattr(keras.applications, name)(weights=None, **shape))
    graph = graph_of(model)
    assert not [node.name for node in graph.nodes if node.op == "unknown"]
    assert params_of(graph) == model.count_params()
    assert cost_of(graph).macs == TRACED[name]


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_layer_scale_and_stochastic_depth(dtype: str) -> None:
    from keras.src.applications.convnext import LayerScale, StochasticDepth

    def build() -> Any:
        x = keras.Input((2, 3, 4))
        y = LayerScale(1e-6, 4, name="scale", dtype=dtype)(x)
        return functional(x, StochasticDepth(0.5, name="drop", dtype=dtype)(y))

    model = abstract(build)
    graph = graph_of(model, batch=2)
    assert params_of(graph) == model.count_params() == 4
    assert cost_of(graph).flops == 2 * 2 * 3 * 4  # one multiplication per element
    assert [node.op for node in nodes_of(graph, "drop")] == ["identity"]


def test_scaled_residual_sum() -> None:
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    def build() -> Any:
        x, y = keras.Input((5,)), keras.Input((5,))
        return functional([x, y], CustomScaleLayer(0.17)([x, y]))

    cost = cost_of(graph_of(abstract(build), batch=3))
    assert (cost.muls, cost.adds, cost.flops) == (15, 15, 30)
