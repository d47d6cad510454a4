"""The traced-graph and jaxpr counters against published totals, hand counts and each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
from keras import layers, ops

from . import loops
from .awkward import MODELS
from .traced import CannotCount, build_abstractly, traced_macs

# Nominal MACs of keras.applications at their default size.
APPLICATIONS = {
    "MobileNetV2": 300_774_272,
    "ResNet50": 3_857_973_248,
    "VGG16": 15_470_264_320,
    "InceptionV3": 5_713_216_096,
    "DenseNet121": 2_834_161_664,
    "EfficientNetB0": 385_814_752,
    "Xception": 8_357_403_496,
    "ConvNeXtTiny": 4_455_531_264,
    "NASNetLarge": 23_783_414_658,
}

# One image or sequence through each awkward model, counted by hand: positions first.
BY_HAND = {
    "lstm_sequences": 7 * 4 * (3 * 5 + 5 * 5) + 7 * 4 * (5 * 4 + 4 * 4),
    "lstm_unrolled_backwards": 6 * 4 * (3 * 5 + 5 * 5),
    "lstm_encoder_decoder": 6 * 4 * (3 * 5 + 5 * 5) + 4 * 4 * (2 * 5 + 5 * 5) + 4 * 5 * 7,
    "gru_reset_after": 7 * 3 * (3 * 5 + 5 * 5),
    "gru_reset_before": 7 * 3 * (3 * 5 + 5 * 5),
    "simple_rnn_masked": 7 * (3 * 5 + 5 * 5) + 5 * 2,
    "bidirectional_lstm": 2 * 7 * 4 * (3 * 5 + 5 * 5),
    "bidirectional_mixed": 7 * 4 * (3 * 5 + 5 * 5) + 7 * 3 * (3 * 5 + 5 * 5),
    "stacked_cells": 7 * (4 * (2 * 5 + 5 * 5) + 3 * (5 * 4 + 4 * 4) + (4 * 3 + 3 * 3)),
    "conv_lstm1d_dilated": 4 * 9 * 3 * (2 + 3) * 4 * 3,
    "conv_lstm2d_strided": 3 * (4 * 4) * (3 * 2) * (2 + 4) * 4 * 4,
    "conv_lstm3d": 2 * (5 * 4 * 6) * 8 * (1 + 2) * 4 * 2,
    "time_distributed_conv": 3 * (5 * 4) * 9 * 2 * 4,
    "time_distributed_lstm": 3 * 5 * 4 * (2 * 4 + 4 * 4),
    # queries, keys, values; scores, weighted values; output
    "mha_cross": 5 * 6 * 6 + 7 * 4 * 6 + 7 * 4 * 10 + 2 * 5 * 7 * (3 + 5) + 5 * 10 * 8,
    "mha_causal_scores": 3 * 6 * 8 * 8 + 2 * 6 * 6 * (4 + 4) + 6 * 8 * 8,
    "mha_masked_embedding": 3 * 6 * 8 * 8 + 2 * 6 * 6 * (4 + 4) + 6 * 8 * 8,
    "mha_two_axes": 3 * 12 * 6 * 10 + 2 * 12 * 12 * (5 + 5) + 12 * 10 * 6,
    "grouped_query_attention": 6 * 12 * (12 + 6 + 6) + 4 * 6 * 6 * (3 + 3) + 6 * 12 * 12,
    "attention_layers": 5 * 7 * (6 + 6) + 5 * 7 * 6,  # additive scores multiply by no matrix
    "conv_grouped": 9 * 3 * 2 * 6 + (4 * 4) * 6 * 2 * 9 + (4 * 5 * 3) * 8 * 1 * 4,
    "conv_dilated": 19 * 3 * 3 * 4 + (5 * 2) * 9 * 3 * 4 + (7 * 6 * 5) * 27 * 2 * 3,
    "conv_causal": 11 * 3 * 3 * 4 + 6 * 2 * 4 * 5,
    "conv_grouped_dilated": (9 * 8) * 9 * 2 * 6,
    "conv1d_channels_first": 5 * 3 * 3 * 4,
    "conv2d_channels_first": 20 * 9 * 3 * 4 + 20 * 9 * 8 + 20 * 9 * 8 * 5,
    "conv3d_channels_first": (4 * 5 * 6) * 8 * 2 * 3,
    "depthwise": 5 * 3 * 6 + (7 * 7) * 6 * 9,
    "depthwise_dilated": 9 * 3 * 3 + (9 * 8) * 9 * 3,
    "depthwise_strided_dilated": (9 * 7) * 9 * 3 + (5 * 4) * (9 * 3 + 3 * 5),
    "separable": 9 * (3 * 3 + 3 * 5) + (4 * 3) * (9 * 6 + 6 * 5),
    "transposed": 7 * 3 * 3 * 4 + (5 * 4) * 6 * 3 * 2 + (3 * 4 * 2) * 27 * 3 * 2,
    "transposed_stride_one": (5 * 4) * 9 * 3 * 2 + (7 * 6) * 3 * 2 * 4,
    "dense_on_maps": (5 * 4) * (3 * 7 + 7 * 6 + 6 * 2),
    "einsum_dense": 4 * 3 * (2 * 5) + 4 * (2 * 5) * 6 + 4 * 6 * 7,
    "dot_products": 2 * 4 * 6 * 5,
    "functional_contractions": 4 * 5 * 6 + 4 * 5 * 6 + 3 * 7 + 4 * 6 * 2 + 7,
    "einsum_of_three": 4 * 5 * 2 + 3 * 4 * 2,
    "functional_convolutions": 20 * 9 * 4 * 6 + 20 * 4 * 6 + 8 * (6 * 12 + 12 * 5),
    "tied_embedding": 5 * 6 * 6 + 5 * 6 * 23,
    "shared_layers": (7 * 6 + 3 * 4) * 9 * 3 * 4 + 2 * 4 * 2,
    "nested_models": 2 * 2 * 4 * 4 + 8 * 3,
    "sequential_of_models": (7 * 6) * 9 * 3 * 4 + 4 * 2,
    "nested_at_two_sizes": (5 * 4 + 3 * 2) * (9 * 3 * 4 + 4 * 4 * 2),
    "unet": 192 * 9 * 3 * 4  # down at 16x12, 8x6 and 4x3
    + 48 * 9 * 4 * 6
    + 12 * 9 * 6 * 8
    + 12 * 4 * 8 * 6  # up
    + 48 * (9 * 12 + 12 * 6)
    + 48 * 4 * 6 * 4
    + 192 * (9 * 8 + 8 * 4)
    + 192 * 4,
    "resized": (10 * 8) * 9 * 2 * 3 + (6 * 3) * 4 * 3 * 2,
    "squeeze_excite": 8 * 2 + 2 * 8,
    "unused_branches": 5 * 3 * (1 * 3 + 3 * 3) + 3 * 2,
    "mixed_precision": (4 * 3) * 9 * 1 * 4 + 48 * 3,
    "dropout_and_constants": 3 * 4 + 4 * 2,
    "hand_written_loops": 3 * 4 * 5 * 5 + 6 * 4 * 5 * 5,
}


def sequential(shape: tuple, *stack: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications(name):
    counted = traced_macs(lambda: getattr(keras.applications, name)(weights=None))
    assert counted.macs == APPLICATIONS[name] == sum(counted.by_layer.values())


def test_every_awkward_model_has_a_hand_count():
    assert set(MODELS) <= set(BY_HAND)


@pytest.mark.parametrize("name", MODELS)
def test_awkward_models_by_hand(name):
    """In a batch of three: everything counted is linear in the batch."""
    assert traced_macs(MODELS[name], batch=3).macs == 3 * BY_HAND[name]


if find_spec("jax"):

    def test_jaxpr_counter_agrees():
        """Another framework, another graph, the same totals."""
        some = ["MobileNetV2", "InceptionV3", "EfficientNetB0"]
        expected = {f"keras.applications:{name}": APPLICATIONS[name] for name in some}
        awkward = f"{__package__}.awkward"
        expected |= {f"{awkward}:{name}": BY_HAND[name] for name in MODELS}
        root = Path(__file__).parents[__package__.count(".") + 1]
        run = subprocess.run(
            [sys.executable, "-m", f"{__package__}.jaxpr", *expected],
            cwd=root,
            env={**os.environ, "KERAS_BACKEND": "jax"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        counted = json.loads(run.stdout)
        assert {target: found.get("macs", found) for target, found in counted.items()} == expected


def test_by_layer_names_the_chain_of_calls():
    counted = traced_macs(MODELS["nested_models"])
    assert counted.by_layer == {"encoder/innermost/fc": 4 * 16, "fc": 24}
    assert counted.under("encoder") == counted.under("encoder/innermost") == 64
    decoder = traced_macs(MODELS["lstm_encoder_decoder"])
    assert decoder.under("encoder") == 960


def test_convolutions_equal_the_loops():
    """Tie the second witness to the first one."""
    x = (1, 9, 7, 4)
    conv = layers.Conv2D(6, (3, 2), dilation_rate=(2, 3), groups=2, padding="same")
    macs = traced_macs(lambda: sequential(x[1:], conv)).macs
    assert macs == loops.conv_macs(x, (3, 2, 2, 6), 1, "same", (2, 3), 2)[0]
    up = layers.Conv2DTranspose(5, (3, 2), strides=2, padding="same")
    macs = traced_macs(lambda: sequential(x[1:], up)).macs
    assert macs == loops.conv_transpose_macs(x, (3, 2, 5, 4), 2, "same")[0]


def test_subclassed_model_without_weights():
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, x):
            return ops.matmul(self.dense(x), ops.ones((3, 2)))

    net = build_abstractly(Net)
    assert traced_macs(net, (4, 5)).by_layer == {"dense": 4 * 5 * 3, "": 4 * 3 * 2}
    assert net.dense.kernel._value is None
    assert traced_macs(net, [(2, 5)], batch=2).macs == 2 * 2 * (15 + 6)


def test_open_dimensions_need_a_shape():
    def build() -> keras.Model:
        return sequential((None, 3), layers.GRU(5))

    with pytest.raises(CannotCount, match="input_shapes"):
        traced_macs(build)
    assert traced_macs(build, (7, 3)).macs == 7 * 3 * (3 * 5 + 5 * 5)


def test_loops_of_unknown_length_are_refused():
    class Halve(layers.Layer):
        def call(self, x):
            product = ops.ones((3, 3))
            return ops.while_loop(
                lambda y: ops.max(y) > 1.0, lambda y: (ops.matmul(y, product) / 6.0,), (x,)
            )[0]

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(CannotCount, match="loop"):
        traced_macs(lambda: sequential((3,), Halve()))


def test_a_loop_in_a_loop():
    class Nested(layers.Layer):
        def call(self, x):
            kernel = ops.ones((3, 3))

            def outer(_, y):
                return ops.fori_loop(0, 4, lambda _, z: ops.matmul(z, kernel), y)

            return ops.fori_loop(0, 5, outer, x)

        def compute_output_shape(self, shape):
            return shape

    assert traced_macs(lambda: sequential((3,), Nested())).macs == 5 * 4 * 9


def test_a_built_model_is_left_alone():
    model = sequential((5,), layers.Dense(4))
    before = model.get_weights()
    assert traced_macs(model).macs == traced_macs(model).macs == 20
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old == new).all()


def test_nothing_is_allocated_afterwards():
    """Keras would initialise abstract variables with the next layer that it builds."""
    model = build_abstractly(keras.applications.MobileNetV2, weights=None)
    traced_macs(model)
    sequential((5,), layers.Dense(4))
    assert all(variable._value is None for variable in model.weights)
