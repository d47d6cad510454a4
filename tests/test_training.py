"""Training steps: multiplications of the forward and backward pass, by layer.

The law that the cases follow: a contraction of a trained kernel with a tensor that depends on
trained weights is differentiated by both, and each derivative takes as many multiplications as
the contraction itself; the gradient of an input of the model is never needed, and neither is
that of a frozen kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers, ops

import costlens
from costlens.study import Study
from tests.oracles.traced import build_abstractly


def trained(build: Callable[[], Any], **flags: Any) -> Study:
    found = costlens.analyze(build_abstractly(build), training=True, **flags)
    assert found.totals.training_macs == sum(row.training_macs or 0 for row in found.layers)
    assert "training_macs" not in found.totals.at_least
    return found


def factors(found: Study) -> dict[str, float]:
    """MACs of a training step as a multiple of inference's, by layer."""
    return {row.path: (row.training_macs or 0) / row.macs for row in found.layers if row.macs}


#: A convolution reads the image in each of these, and every other kernel is trained on features.
STEMS = {
    "VGG16": ["block1_conv1"],
    "MobileNetV2": ["Conv1"],
    "ResNet50": ["conv1_conv"],
    "DenseNet121": ["conv1_conv"],
    "EfficientNetB0": ["stem_conv"],
    "Xception": ["block1_conv1"],
    "InceptionV3": ["conv2d"],
    "NASNetMobile": ["stem_conv1"],
    "ConvNeXtTiny": ["convnext_tiny_stem"],
    "MobileNetV3Small": ["conv"],
}


@pytest.mark.parametrize("name", STEMS)
def test_an_application(name: str) -> None:
    options: dict[str, Any] = {"weights": None}
    if name.startswith("MobileNetV3"):
        options["input_shape"] = (224, 224, 3)
    build = getattr(keras.applications, name)
    assert inspect.isfunction(build)
    found = trained(lambda: build(**options))
    by_path = factors(found)
    stems = [path for path in by_path if path.startswith(tuple(STEMS[name]))][:1]
    assert {path: f for path, f in by_path.items() if f != 3} == dict.fromkeys(stems, 2)


def chain(*calls: Any, shape: tuple[int, ...]) -> Callable[[], Any]:
    def build() -> Any:
        x = y = keras.Input(shape)
        for call in calls:
            y = call(y)
        return keras.Model(x, y)

    return build


def test_windows_of_every_kind() -> None:
    found = trained(
        chain(
            layers.Conv2D(8, 3, strides=2, padding="same", name="stem"),
            layers.Conv2D(8, 3, groups=4, padding="same", name="grouped"),
            layers.Conv2D(6, 3, dilation_rate=2, name="dilated"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            layers.SeparableConv2D(5, 3, padding="same", name="separable"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="transposed"),
            layers.Activation("silu"),
            layers.UpSampling2D(interpolation="bilinear"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", name="head"),
            shape=(32, 32, 3),
        )
    )
    others = dict.fromkeys(
        ["grouped", "dilated", "depthwise", "separable", "transposed", "head"], 3
    )
    assert factors(found) == {"stem": 2, **others}


def test_lines_and_volumes() -> None:
    volume = trained(
        chain(layers.Conv3D(4, 3, name="a"), layers.Conv3D(4, 2, name="b"), shape=(8, 8, 8, 2))
    )
    assert factors(volume) == {"a": 2, "b": 3}
    line = trained(
        chain(
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2, name="a"),
            layers.Conv1D(4, 3, padding="causal", dilation_rate=4, name="b"),
            layers.SeparableConv1D(4, 3, name="c"),
            shape=(32, 2),
        )
    )
    assert factors(line) == {"a": 2, "b": 3, "c": 3}


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers(kind: Any) -> None:
    """Per step the input's kernel has no input to derive by in the first layer; the state's has."""
    found = trained(
        chain(kind(5, return_sequences=True, name="first"), kind(6, name="second"), shape=(9, 7))
    )
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind.__name__]
    steps = {row.path: row.training_macs for row in found.layers if row.macs}
    assert steps["first"] == 9 * gates * 5 * (2 * 7 + 3 * 5)
    assert steps["second"] == 9 * gates * 6 * (3 * 5 + 3 * 6)


def test_attention() -> None:
    """Products of activations are derived by both; the first projections only by their kernels."""
    found = trained(chain(lambda x: layers.MultiHeadAttention(2, 4)(x, x), shape=(10, 6)))
    projections, products = 3 * 10 * 6 * 8, 2 * 10 * 10 * 8
    assert found.totals.training_macs == 2 * projections + 3 * products + 3 * 10 * 8 * 6


def test_a_frozen_backbone_trains_only_its_head() -> None:
    def build() -> Any:
        x = keras.Input((16, 16, 3))
        backbone = keras.Sequential(
            [keras.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.Conv2D(8, 3)], name="backbone"
        )
        backbone.trainable = False
        y = layers.GlobalAveragePooling2D()(backbone(x))
        return keras.Model(x, layers.Dense(3, name="head")(y))

    by_path = factors(trained(build))
    assert by_path.pop("head") == 2
    assert set(by_path.values()) == {1}


def test_a_frozen_layer_still_hands_gradients_down() -> None:
    found = trained(
        chain(
            layers.Dense(4, name="below"),
            layers.Dense(5, trainable=False, name="frozen"),
            layers.Dense(2, name="above"),
            shape=(3,),
        )
    )
    assert factors(found) == {"below": 2, "frozen": 2, "above": 3}


def test_a_subclass_in_training_mode() -> None:
    """What a call does only in training counts in the step, and not in inference."""

    class Auxiliary(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="two_heads")
            self.body = layers.Dense(8, name="body")
            self.head = layers.Dense(2, name="head")
            self.extra = layers.Dense(3, name="extra")

        def call(self, x: Any, training: bool = False) -> Any:
            y = self.body(x)
            return (self.head(y), self.extra(y)) if training else self.head(y)

    found = trained(Auxiliary, input_shape=(4,))
    steps = {row.path: row.training_macs for row in found.layers if row.training_macs}
    assert steps == {"body": 2 * 32, "head": 3 * 16, "extra": 3 * 24}
    assert found.totals.macs == 32 + 16


def test_an_embedding_and_a_tied_head() -> None:
    class Tied(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.table = layers.Embedding(20, 4)
            self.mix = layers.Dense(4)

        def call(self, tokens: Any) -> Any:
            return ops.matmul(self.mix(self.table(tokens)), ops.transpose(self.table.embeddings))

    found = trained(Tied, inputs={"tokens": ("int32", (1, 5))})
    assert found.totals.params == 80 + 20
    assert found.totals.training_macs == 3 * (5 * 4 * 4 + 5 * 4 * 20)


def test_the_batch_multiplies() -> None:
    build = chain(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2), shape=(6, 6, 1))
    one, four = trained(build), trained(build, batch=4)
    assert four.totals.training_macs == 4 * (one.totals.training_macs or 0)
