"""Keras's own layers as TensorFlow traces them: every operation is read, with the layer's MACs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers as L

from costlens.frontends import keras_live
from costlens.frontends.sizes import Wanted
from tests.frontends.tf_support import CHECKED, unknown_in
from tests.support import abstract, cost_of

Shape = tuple[int, ...]
IMAGE, LINE, VOLUME, ROWS = (12, 10, 4), (12, 4), (6, 6, 6, 4), (6,)


@pytest.fixture(autouse=True)
def _types_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_live, "TABLE", CHECKED)


def model_of(make: Callable[[], Any], *shapes: Shape, dtype: str = "float32") -> Any:
    """A model of one layer on inputs of these shapes, without the batch."""

    def build() -> Any:
        inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
        return keras.Model(inputs, make()(*inputs) if len(inputs) == 1 else make()(inputs))

    return abstract(build)


def conv(name: str, **settings: Any) -> Callable[[], Any]:
    """A layer of this class with four filters and a kernel of 3."""
    first = () if name.startswith("Depthwise") else (4,)
    return lambda: getattr(L, name)(*first, 3, **settings)


SHAPES = {1: LINE, 2: IMAGE, 3: VOLUME}
SAME = {"padding": "same"}
CONTRACTING: list[tuple[str, Callable[[], Any], Shape]] = [
    *(
        (f"{name}{rank}D{settings}", conv(f"{name}{rank}D", **settings), SHAPES[rank])
        for name, ranks in (("Conv", "123"), ("SeparableConv", "12"), ("DepthwiseConv", "12"))
        for rank in map(int, ranks)
        for settings in ({}, {"strides": 2, **SAME}, {"dilation_rate": 2, **SAME})
    ),
    *(
        (f"Conv{rank}DTranspose{settings}", conv(f"Conv{rank}DTranspose", **settings), SHAPES[rank])
        for rank in (1, 2, 3)
        for settings in ({}, {"strides": 2, **SAME})
    ),
    ("Conv1D causal", conv("Conv1D", padding="causal", dilation_rate=3), LINE),
    ("Conv2D grouped", conv("Conv2D", groups=2), IMAGE),
    ("Conv2D dilated unevenly", conv("Conv2D", dilation_rate=(1, 3)), IMAGE),
    ("DepthwiseConv2D multiplied", conv("DepthwiseConv2D", depth_multiplier=3), IMAGE),
    ("Dense", lambda: L.Dense(5), ROWS),
    ("Dense on a map", lambda: L.Dense(5), IMAGE),
    ("EinsumDense", lambda: L.EinsumDense("abc,cd->abd", (None, 5)), LINE),
]
OTHERS: list[tuple[str, Callable[[], Any], Shape]] = [
    ("LSTM", lambda: L.LSTM(5), LINE),
    ("GRU", lambda: L.GRU(5, return_sequences=True), LINE),
    ("SimpleRNN backwards", lambda: L.SimpleRNN(5, go_backwards=True), LINE),
    ("Bidirectional", lambda: L.Bidirectional(L.LSTM(5)), LINE),
    ("ConvLSTM2D", lambda: L.ConvLSTM2D(3, 3), (5, 8, 7, 2)),
    ("TimeDistributed", lambda: L.TimeDistributed(L.Dense(3)), LINE),
    ("BatchNormalization", L.BatchNormalization, IMAGE),
    ("LayerNormalization", L.LayerNormalization, IMAGE),
    ("GroupNormalization", lambda: L.GroupNormalization(2), IMAGE),
    ("UnitNormalization", L.UnitNormalization, IMAGE),
    ("SpectralNormalization", lambda: L.SpectralNormalization(L.Dense(3)), ROWS),
    ("MaxPooling2D", lambda: L.MaxPooling2D(3, 2, "same"), IMAGE),
    ("AveragePooling3D", lambda: L.AveragePooling3D(2), VOLUME),
    ("GlobalAveragePooling1D", L.GlobalAveragePooling1D, LINE),
    ("GlobalMaxPooling2D", L.GlobalMaxPooling2D, IMAGE),
    ("UpSampling2D", lambda: L.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    ("ZeroPadding2D", lambda: L.ZeroPadding2D(2), IMAGE),
    ("Cropping2D", lambda: L.Cropping2D(2), IMAGE),
    ("Resizing", lambda: L.Resizing(5, 7), IMAGE),
    ("PReLU", L.PReLU, IMAGE),
    ("Softmax", L.Softmax, ROWS),
    ("ELU", L.ELU, ROWS),
    ("LeakyReLU", L.LeakyReLU, ROWS),
    ("Dropout", lambda: L.Dropout(0.5), ROWS),
    ("GaussianNoise", lambda: L.GaussianNoise(0.5), ROWS),
    ("Flatten", L.Flatten, IMAGE),
    ("Permute", lambda: L.Permute((2, 1)), LINE),
    ("RepeatVector", lambda: L.RepeatVector(3), ROWS),
    ("Normalization", lambda: L.Normalization(mean=0.0, variance=1.0), ROWS),
    ("Rescaling", lambda: L.Rescaling(0.5), ROWS),
    ("Discretization", lambda: L.Discretization([0.0, 1.0]), ROWS),
    ("CategoryEncoding", lambda: L.CategoryEncoding(5, output_mode="multi_hot"), ROWS),
]


def macs(model: Any, wanted: Wanted) -> tuple[int, int]:
    """MACs of a model from its layers, and as it is traced; nothing traced is unknown."""
    graphs = keras_live.read(model, wanted)
    traced = graphs.step if wanted.training else graphs.traced
    assert traced is not None and not unknown_in(traced)
    return cost_of(graphs.graph).macs, cost_of(traced).macs


def _named(cases: list[tuple[str, Callable[[], Any], Shape]]) -> list[Any]:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


@pytest.mark.parametrize(("make", "shape"), _named([*CONTRACTING, *OTHERS]))
def test_a_layer_is_read_from_its_operations(make: Callable[[], Any], shape: Shape) -> None:
    own, traced = macs(model_of(make, shape), Wanted(verify=True))
    assert own == traced


def test_attention_and_embeddings() -> None:
    def attended() -> Any:
        tokens = keras.Input((7,), dtype="int32")
        x = L.Embedding(11, 6)(tokens)
        return keras.Model(tokens, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True))

    own, traced = macs(abstract(attended), Wanted(verify=True))
    assert own == traced > 0


@pytest.mark.parametrize(("make", "shape"), _named(CONTRACTING))
def test_a_training_step_multiplies_every_pair_again_for_each_gradient(
    make: Callable[[], Any], shape: Shape
) -> None:
    """Behind a layer that is trained, a contraction has two gradients of its own MACs each."""

    def build() -> Any:
        x = keras.Input(shape)
        scaled = L.BatchNormalization(name="first")(x)
        return keras.Model(x, make()(scaled))

    own, trained = macs(abstract(build), Wanted(training=True))
    assert trained == 3 * own


def test_the_first_layer_of_a_model_needs_no_gradient_for_its_input() -> None:
    own, trained = macs(model_of(conv("Conv2D"), IMAGE), Wanted(training=True))
    assert trained == 2 * own


@pytest.mark.parametrize("cell", [L.SimpleRNN, L.LSTM, L.GRU])
def test_a_training_step_of_a_recurrent_layer(cell: Any) -> None:
    """Every step's products again, for the weights and for what came before."""

    def build() -> Any:
        x = keras.Input(LINE)
        return keras.Model(x, cell(5)(L.BatchNormalization()(x)))

    own, trained = macs(abstract(build), Wanted(training=True))
    assert trained == 3 * own
