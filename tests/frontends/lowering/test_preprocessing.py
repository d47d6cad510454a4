"""Preprocessing: numbers, categories, vocabularies, text and spectrograms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from costlens.errors import InputError
from tests.frontends.lowering.layer_support import BATCH, ops, out, read, read_layer, work
from tests.support import cost_of, graph_of

layers = keras.layers
WORDS = ["a", "b", "c"]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_rescaling_multiplies_and_adds(dtype: str) -> None:
    graph = read_layer(lambda: layers.Rescaling(1 / 255, offset=-1.0), (4, 4, 3), dtype=dtype)
    assert cost_of(graph).flops == BATCH * 48 * 2
    assert ("cast" in ops(graph)) == (dtype != "float32")


@pytest.mark.parametrize("scale", [[1.0, 2.0, 3.0], (1.0, 2.0, 3.0), np.array([1.0, 2.0, 3.0])])
def test_rescaling_by_channel_holds_constants(scale: Any) -> None:
    graph = read_layer(lambda: layers.Rescaling(scale, offset=scale), (4, 4, 3))
    assert [t.shape for t in graph.constants.values()] == [(3,), (3,)]


@pytest.mark.parametrize(
    ("axis", "sizes"), [(-1, (3,)), (1, (4,)), ((1, 2), (4, 3)), ((2, 1), (4, 3)), (None, ())]
)
def test_normalization_holds_its_statistics(axis: Any, sizes: tuple[int, ...]) -> None:
    graph = read_layer(lambda: layers.Normalization(axis=axis), (4, 3))
    weights = list(graph.weights.values())
    assert [w.type.shape for w in weights] == [sizes, sizes, ()]
    assert not any(w.trainable for w in weights)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("mean", [None, 1.0, [1.0, 2.0, 3.0]])
def test_normalization_computes(mean: Any, dtype: str, invert: bool) -> None:
    graph = read_layer(
        lambda: layers.Normalization(mean=mean, variance=mean, invert=invert, dtype=dtype), (4, 3)
    )
    # two operations per element; a root and a maximum per statistic
    assert cost_of(graph).flops == BATCH * 12 * 2 + 3 * 2
    assert len(graph.constants) == (0 if mean is None else 2)


def test_an_adapted_normalization() -> None:
    layer = layers.Normalization()
    layer.adapt(np.ones((10, 3), "float32"))
    x = keras.Input((3,))
    model = keras.Model(x, layer(x))
    assert sum(w.params for w in graph_of(model).weights.values()) == model.count_params() == 7


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 5)])
def test_encodings_of_numbers(mode: str, shape: tuple[int, ...]) -> None:
    read_layer(lambda: layers.CategoryEncoding(6, output_mode=mode), shape, dtype="int32")
    read_layer(lambda: layers.Hashing(6, output_mode=mode), shape, dtype="string")
    if len(shape) < 2:  # above that, releases of Keras disagree about the shape
        graph = read_layer(lambda: layers.Discretization([1.0, 2.0], output_mode=mode), shape)
        assert work(graph)[0].op == "opaque"


def test_counting_adds_once_per_element() -> None:
    graph = read_layer(lambda: layers.CategoryEncoding(6, output_mode="count"), (5,), dtype="int32")
    assert cost_of(graph).flops == BATCH * 5
    hot = read_layer(lambda: layers.CategoryEncoding(6), (5,), dtype="int32")
    assert cost_of(hot).flops == 0

    def weighted(x: Any, w: Any) -> Any:
        return layers.CategoryEncoding(6, output_mode="count")(x, count_weights=w)

    assert cost_of(read(weighted, (5,), (5,))).flops == BATCH * 5


def test_discretization() -> None:
    graph = read_layer(lambda: layers.Discretization([1.0, 2.0]), (5,))
    assert out(graph)[1] in ("int32", "int64")  # by release of Keras
    layer = layers.Discretization(num_bins=4, output_mode="one_hot")
    layer.adapt(np.linspace(0, 1, 100, dtype="float32")[:, None])
    x = keras.Input((5,))
    model = keras.Model(x, layer(x))
    assert out(graph_of(model)) == ((1, *model.output_shape[1:]), "float32")
    half = read_layer(
        lambda: layers.Discretization([1.0], output_mode="one_hot", dtype="mixed_float16"), (5,)
    )
    assert out(half)[1] == "float16"


def test_hashing_is_index_arithmetic() -> None:
    for dtype, options in (("string", {"mask_value": "", "salt": 3}), ("int32", {})):
        graph = read_layer(lambda options=options: layers.Hashing(7, **options), (5,), dtype=dtype)
        assert (ops(graph), out(graph)[1]) == (["hash"], "int64")
        assert cost_of(graph).flops == 0


@pytest.mark.parametrize("mode", ["int", "one_hot"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_hashed_crossing(mode: str, shape: tuple[int, ...]) -> None:
    read_layer(lambda: layers.HashedCrossing(7, output_mode=mode), shape, shape, dtype="string")


LOOKUPS = {
    "strings": (lambda **kw: layers.StringLookup(vocabulary=WORDS, **kw), "string"),
    "masked": (lambda **kw: layers.StringLookup(vocabulary=WORDS, mask_token="", **kw), "string"),
    "integers": (lambda **kw: layers.IntegerLookup(vocabulary=[7, 8, 9], **kw), "int64"),
    "padded": (
        lambda **kw: layers.IntegerLookup(
            vocabulary=[7, 8, 9], max_tokens=9, pad_to_max_tokens=True, **kw
        ),
        "int64",
    ),
}


@pytest.mark.parametrize("case", LOOKUPS)
@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
def test_lookups_in_every_mode(case: str, mode: str) -> None:
    make, dtype = LOOKUPS[case]
    options: dict[str, Any] = {"idf_weights": [0.1, 0.2, 0.3]} if mode == "tf_idf" else {}
    for shape in ((), (1,), (5,), (4, 5)):
        graph = read_layer(lambda: make(output_mode=mode, **options), shape, dtype=dtype)
        assert next(n.op for n in work(graph)) == "gather"
        assert len(graph.constants) == (mode == "tf_idf")


def test_an_adapted_lookup_knows_its_depth() -> None:
    layer = layers.StringLookup(output_mode="multi_hot")
    layer.adapt(["a", "b", "a"])
    x = keras.Input((5,), dtype="string")
    assert out(graph_of(keras.Model(x, layer(x))))[0] == (1, 3)  # and the unknown token


def test_text_of_a_fixed_length() -> None:
    graph = read_layer(
        lambda: layers.TextVectorization(vocabulary=WORDS, output_sequence_length=6),
        (1,),
        dtype="string",
    )
    assert out(graph) == ((BATCH, 6), "int64")


def test_text_of_an_open_length_takes_a_flag() -> None:
    def make() -> Any:
        return layers.TextVectorization(vocabulary=WORDS, name="text")

    graph = read_layer(make, (1,), dtype="string", dims={"text": 8})
    assert out(graph) == ((BATCH, 8), "int64")
    with pytest.raises(InputError, match="--dim text=N"):
        read_layer(make, (1,), dtype="string")


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_text_as_one_vector(mode: str) -> None:
    options: dict[str, Any] = {"idf_weights": [0.1, 0.2, 0.3]} if mode == "tf_idf" else {}

    def make() -> Any:
        return layers.TextVectorization(vocabulary=WORDS, output_mode=mode, name="text", **options)

    dims = None if mode == "multi_hot" else {"text": 8}
    graph = read_layer(make, (1,), dtype="string", dims=dims)
    flops = {"multi_hot": 0, "count": 8, "tf_idf": 8 + 4}[mode]  # 4: the words and the unknown
    assert cost_of(graph).flops == BATCH * flops


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["log", "magnitude", "psd", "real", "imag", "angle", "stft"])
def test_stft_is_a_convolution_with_weights(mode: str, data_format: str) -> None:
    shape = (160, 2) if data_format == "channels_last" else (2, 160)
    for options in ({}, {"expand_dims": True, "padding": "same", "frame_step": 10}):
        graph = read_layer(
            lambda options=options: layers.STFTSpectrogram(
                mode, frame_length=50, data_format=data_format, **options
            ),
            shape,
        )
        frames = 16 if options else 5  # ⌈160/10⌉; (160 - 50)/25 + 1
        parts = 1 if mode in ("real", "imag") else 2
        # 50 taps, 64/2 + 1 frequencies, each of 2 channels by itself
        assert cost_of(graph).macs == BATCH * 2 * frames * 50 * 33 * parts


def test_a_mel_spectrogram_needs_an_fft() -> None:
    for dtype in ("float32", "mixed_float16"):
        graph = read_layer(
            lambda dtype=dtype: layers.MelSpectrogram(256, 128, num_mel_bins=20, dtype=dtype),
            (1000,),
        )
        assert [n.op for n in work(graph)].count("opaque") == 1
        # 8 frames of 129 frequencies into 20 bands
        assert cost_of(graph).macs == BATCH * 8 * 129 * 20


if hasattr(layers, "Pipeline"):

    def test_a_pipeline_is_one_row_of_many_nodes() -> None:
        graph = read_layer(
            lambda: layers.Pipeline([layers.Rescaling(2.0), layers.Normalization()]), (4, 3)
        )
        assert {n.origin.kind for n in work(graph)} == {"Pipeline"}
        assert [w.type.shape for w in graph.weights.values()] == [(3,), (3,), ()]


def test_a_feature_space() -> None:
    import tensorflow as tf

    space = keras.utils.FeatureSpace(
        features={"a": "float_normalized", "b": "string_categorical", "c": "integer_hashed"},
        crosses=[("b", "c")],
        output_mode="concat",
    )
    data = {"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]}
    space.adapt(tf.data.Dataset.from_tensor_slices(data))
    model = keras.Model(space.get_inputs(), layers.Dense(3)(space.get_encoded_features()))
    graph = graph_of(model)
    assert "unknown" not in {n.op for n in work(graph)}
    assert sum(w.params for w in graph.weights.values()) == model.count_params()
