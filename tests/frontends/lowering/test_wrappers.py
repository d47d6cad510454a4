"""TimeDistributed, SpectralNormalization and Masking against Keras, the trace and hand counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers

from tests.frontends.lowering.test_recurrent import BATCH, model_of, read
from tests.oracles.traced import traced_macs
from tests.support import abstract, cost_of, functional, graph_of, params_of


def test_a_layer_runs_once_per_step() -> None:
    model = model_of(layers.TimeDistributed(layers.Dense(5, activation="relu")), (7, 3))
    graph = read(model)
    assert [(n.op, n.repeat) for n in graph.nodes] == [
        ("input", 1),
        ("step", 7),
        ("einsum", 7),
        ("binary", 7),
        ("unary", 7),
        ("stack", 1),
    ]
    assert graph.values[graph.nodes[2].outputs[0]].shape == (BATCH, 5)
    cost = cost_of(graph)
    assert (cost.macs, cost.adds, cost.comparisons) == (2 * 7 * 15, 2 * 7 * 5, 2 * 7 * 5)


def test_wrapped_layers_of_every_kind_agree_with_keras_and_the_trace() -> None:
    def build(x: Any) -> Any:
        each = layers.TimeDistributed
        pooled = each(layers.GlobalAveragePooling2D())(x)
        rows = each(layers.Reshape((8, -1)))(x)
        return [
            each(layers.Conv2D(4, 3, padding="same"))(x),
            each(layers.Conv2DTranspose(4, 3, strides=2))(x),
            each(layers.SeparableConv2D(4, 3))(x),
            each(layers.BatchNormalization())(x),
            each(layers.LayerNormalization())(x),
            each(layers.Dropout(0.5))(x),
            each(layers.Flatten())(x),
            each(layers.Dense(2))(pooled),
            each(layers.LSTM(3))(rows),
            each(layers.Bidirectional(layers.GRU(3, return_sequences=True)))(rows),
            each(each(layers.Dense(3)))(rows),
            each(layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)]))(rows),
        ]

    model = model_of(build, (3, 8, 6, 2))
    assert cost_of(read(model)).macs == traced_macs(model, batch=BATCH).macs


def test_nested_loops_multiply() -> None:
    wrapped = layers.TimeDistributed(layers.Bidirectional(layers.LSTM(4)))
    graph = read(model_of(wrapped, (5, 6, 3)))
    # 5 sequences of 6 steps, 2 samples, 2 directions, 4 gates of 3·4 + 4·4
    assert cost_of(graph).macs == 5 * 6 * 2 * 2 * 4 * 28
    assert {node.repeat for node in graph.nodes} == {1, 5, 30}


MIXED = "mixed_float16"


def test_the_wrapper_decides_what_its_layer_computes_in() -> None:
    def build(x: Any) -> Any:
        inner = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
        return [
            layers.TimeDistributed(layers.Dense(5), dtype=MIXED)(x),
            layers.TimeDistributed(layers.Dense(5, dtype=MIXED))(x),
            layers.TimeDistributed(layers.Dense(5, dtype="float16"))(x),
            layers.TimeDistributed(layers.Dense(5, dtype=MIXED), dtype=MIXED)(x),
            layers.TimeDistributed(inner, dtype=MIXED)(x),
            layers.SpectralNormalization(layers.Dense(4), dtype=MIXED)(x),
            layers.SpectralNormalization(layers.Dense(4, dtype=MIXED))(x),
        ]

    graph = read(model_of(build, (7, 3)))
    found = [graph.values[value].dtype for value in graph.outputs]
    assert found == ["float16", "float32", "float32", "float16", "float16", "float16", "float32"]


def two_branches() -> keras.Model:
    """Slices, a layer and a model called twice, a model in the model, two branches."""
    x = keras.Input((5, 3), name="a")
    shared = layers.Dense(4, name="d")
    left, right = shared(x[:, 0]), shared(x[:, 1, :])
    inner = [layers.Dense(4, name="d"), layers.BatchNormalization(), layers.ReLU()]
    y = layers.Concatenate()([keras.Sequential(inner, name="q")(left), left + right * 2.0])
    h = keras.Input((4,), name="h")
    sub = functional(h, layers.Dense(4, name="d")(h))
    return functional(x, sub(sub(layers.Dense(4, name="z")(y))))


def test_a_wrapped_model_is_one_row() -> None:
    model = model_of(layers.TimeDistributed(two_branches()), (7, 5, 3))
    graph = read(model)
    # d twice on 3, q/d on 4, z on 8, sub/d twice on 4; all give 4
    assert cost_of(graph).macs == 2 * 7 * 4 * (3 + 3 + 4 + 8 + 4 + 4)
    assert cost_of(graph).macs == traced_macs(model, batch=BATCH).macs
    assert {node.origin.kind for node in graph.nodes} == {"InputLayer", "TimeDistributed"}


def test_a_wrapped_model_with_inputs_in_other_dtypes_and_frozen_parts() -> None:
    keras.config.set_dtype_policy(MIXED)
    try:
        read(model_of(layers.TimeDistributed(two_branches()), (7, 5, 3)))
    finally:
        keras.config.set_dtype_policy("float32")

    def build(x: Any) -> Any:
        inner = two_branches()
        inner.get_layer("z").trainable = False
        return layers.TimeDistributed(inner)(x)

    graph = read(model_of(build, (7, 5, 3)))
    assert sum(not weight.trainable for weight in graph.weights.values()) == 2 + 2  # z, BN


def test_masks_go_into_wrapped_layers_that_take_them() -> None:
    def build(x: Any) -> Any:
        y = layers.Embedding(9, 4, mask_zero=True)(x)
        model = keras.Sequential([keras.Input((6, 4)), layers.LSTM(3)])
        embeds = [layers.Embedding(9, 4, mask_zero=True), layers.GRU(3)]
        return [
            layers.TimeDistributed(layers.LSTM(3))(y),
            layers.TimeDistributed(layers.Dense(3))(y),
            layers.TimeDistributed(model)(y),
            layers.TimeDistributed(keras.Sequential(embeds))(x),
        ]

    graph = read(model_of(build, (5, 6), dtype="int32"))
    # an LSTM selects for its output, h and c, a GRU for its output and h, on 5 × 6 steps
    selects = [n for n in graph.nodes if n.op == "select"]
    assert [(n.repeat, n.origin.kind) for n in selects] == [(30, "TimeDistributed")] * 8


SPECTRAL: list[tuple[Callable[[], Any], tuple[int, ...], int]] = [
    (lambda: layers.Dense(4), (6, 3), 4),
    (lambda: layers.Conv2D(5, 3), (6, 6, 3), 5),
    (lambda: layers.Conv2DTranspose(5, 3), (6, 6, 3), 3),  # its kernel ends with the input's 3
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 3), 2),
    (lambda: layers.EinsumDense("abc,cd->abd", (None, 7)), (6, 3), 7),
]


@pytest.mark.parametrize(("layer", "shape", "n"), SPECTRAL)
def test_spectral_normalization_adds_a_vector_and_no_work(
    layer: Any, shape: tuple[int, ...], n: int
) -> None:
    model = model_of(layers.SpectralNormalization(layer(), power_iterations=3), shape)
    graph, plain = read(model), read(model_of(layer(), shape))
    assert params_of(graph) == params_of(plain) + n
    assert cost_of(graph) == cost_of(plain)
    (vector,) = [w for w in graph.weights.values() if not w.trainable]
    assert vector.type.shape == (1, n)


def test_spectral_normalization_of_a_shared_embedding() -> None:
    def build(x: Any) -> Any:
        shared = layers.SpectralNormalization(layers.Embedding(9, 4))
        return [shared(x), shared(x + 1)]

    assert params_of(read(model_of(build, (6,), dtype="int32"))) == 9 * 4 + 4


def test_masking_on_numbers_of_any_kind() -> None:
    def build(x: Any) -> Any:
        return [layers.Masking()(x), layers.Masking(2, dtype=MIXED)(x)]

    read(model_of(build))
    read(model_of(build, dtype="int32"))
    # not_equal on 2·6·3, any of 3 in 2·6 steps; the choice is free
    cost = cost_of(read(model_of(layers.Masking())))
    assert (cost.comparisons, cost.flops) == (36 + 24, 36 + 24)


@keras.saving.register_keras_serializable("costlens")
class _Mine(layers.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.one = self.add_weight(shape=(shape[-1], 2), name="w")
        self.two = self.add_weight(shape=(shape[-1], 2), name="w", trainable=False)

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, self.one + self.two)

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], 2)


def test_a_wrapped_custom_layer_is_traced_and_its_parameters_count() -> None:
    def inner() -> keras.Model:
        x = keras.Input((3,))
        return functional(x, _Mine()(layers.Dense(3)(x)))

    def build(x: Any) -> Any:
        return [layers.TimeDistributed(_Mine())(x), layers.TimeDistributed(inner())(x)]

    model = model_of(build, (7, 3))
    graph = graph_of(model, batch=BATCH)
    assert not [node for node in graph.nodes if node.op == "unknown"]
    assert {n.origin.kind for n in graph.nodes if n.op != "input"} == {"TimeDistributed"}
    assert params_of(graph) == model.count_params() == 12 + 12 + 12
    assert sum(weight.trainable for weight in graph.weights.values()) == 1 + 2 + 1


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_wrappers(frozen: bool) -> None:
    wrapped = layers.TimeDistributed(layers.Dense(4), trainable=frozen)
    graph = read(model_of(layers.TimeDistributed(layers.Dense(4, trainable=frozen))))
    assert all(weight.trainable is frozen for weight in graph.weights.values())
    # a wrapper that is made frozen leaves its layer as it is
    assert all(weight.trainable for weight in read(model_of(wrapped)).weights.values())


def test_a_model_given_by_name_and_with_a_mask() -> None:
    def build() -> keras.Model:
        inner_x = keras.Input((6, 3))
        inner = functional(inner_x, layers.LSTM(4)(inner_x))
        x = keras.Input((6, 3))
        masked = layers.Masking()(x)
        return functional(x, [inner(inputs=x), inner(masked), inner(x, mask=x[:, :, 0] > 0)])

    graph = read(abstract(build))
    calls = [n.origin.call for n in graph.nodes if n.op == "select" and n.origin.kind == "LSTM"]
    assert len(calls) == 2 * 3, "two of three calls are masked: the output, h and c"
    assert len(set(calls)) == 2
