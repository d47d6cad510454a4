"""Layers that move data, and those that do nothing at inference."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from tests.frontends.lowering.layer_support import BATCH, ops, out, read, read_layer, work
from tests.support import cost_of

layers = keras.layers
FORMATS = ("channels_last", "channels_first")
SHAPES = {1: (9, 4), 2: (9, 8, 4), 3: (9, 8, 6, 4)}


@pytest.mark.parametrize("shape", [(), (4,), (4, 5), (4, 5, 6)])
def test_flatten_is_a_view(shape: tuple[int, ...]) -> None:
    graph = read_layer(layers.Flatten, shape)
    assert [n.op for n in work(graph)] == ["identity" if len(shape) == 1 else "reshape"]
    size = 1
    for n in shape:
        size *= n
    assert out(graph)[0] == (BATCH, size)


def test_flatten_brings_channels_last() -> None:
    graph = read_layer(lambda: layers.Flatten(data_format="channels_first"), (4, 5, 6))
    assert ops(graph) == ["transpose", "reshape"]


@pytest.mark.parametrize("target", [(20,), (-1,), (2, -1), (5, 4), (2, 2, 5)])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_reshape_keeps_the_dtype(target: tuple[int, ...], dtype: str) -> None:
    graph = read_layer(lambda: layers.Reshape(target), (4, 5), dtype=dtype)
    assert ops(graph) == ["reshape"]
    assert out(graph)[1] == dtype


def test_a_reshape_to_the_same_shape_still_has_a_row() -> None:
    assert ops(read_layer(lambda: layers.Reshape((4, 5)), (4, 5))) == ["identity"]


def test_permute_copies_unless_it_permutes_nothing() -> None:
    graph = read_layer(lambda: layers.Permute((3, 1, 2)), (4, 5, 6))
    assert out(graph)[0] == (BATCH, 6, 4, 5)
    assert cost_of(graph).bytes_moved == 2 * BATCH * 120 * 4
    assert ops(read_layer(lambda: layers.Permute((1, 2)), (4, 5))) == ["identity"]


def test_repeat_vector() -> None:
    assert ops(read_layer(lambda: layers.RepeatVector(7), (5,))) == ["reshape", "broadcast"]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_padding_and_cropping(rank: int, data_format: str) -> None:
    given = {"data_format": data_format}
    pad = getattr(layers, f"ZeroPadding{rank}D")
    read_layer(lambda: pad(2, **given), SHAPES[rank])
    crop = getattr(layers, f"Cropping{rank}D")
    sides = {} if rank == 1 else given
    read_layer(lambda: crop(1, **sides), SHAPES[rank])
    pairs: Any = ((0, 1), (2, 0), (1, 1))[:rank] if rank > 1 else (0, 3)
    padded = read_layer(lambda: pad(pairs, **given), SHAPES[rank])
    cropped = read_layer(lambda: crop(pairs, **sides), SHAPES[rank])
    assert (ops(padded), ops(cropped)) == (["pad"], ["slice"])
    assert cost_of(padded).flops == cost_of(cropped).flops == 0


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_upsampling_repeats_and_computes_nothing(rank: int, data_format: str) -> None:
    layer = getattr(layers, f"UpSampling{rank}D")
    given = {} if rank == 1 else {"data_format": data_format}
    graph = read_layer(lambda: layer(2, **given), SHAPES[rank])
    assert ops(graph) == ["resize"]
    assert cost_of(graph).flops == 0


@pytest.mark.parametrize("data_format", FORMATS)
def test_bilinear_upsampling_is_never_macs(data_format: str) -> None:
    graph = read_layer(
        lambda: layers.UpSampling2D((2, 3), data_format, interpolation="bilinear"), SHAPES[2]
    )
    assert cost_of(graph).macs == 0
    # four taps per output element: four multiplications, three additions
    assert cost_of(graph).flops == BATCH * 9 * 8 * 4 * 6 * 7


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "lanczos3", "lanczos5"])
def test_other_interpolations(interpolation: str) -> None:
    read_layer(lambda: layers.UpSampling2D(2, interpolation=interpolation), SHAPES[2])


def test_integers_come_out_as_keras_declares_them() -> None:
    for make in (layers.ZeroPadding2D, layers.UpSampling2D, lambda: layers.Cropping2D(1)):
        assert out(read_layer(make, (8, 8, 3), dtype="uint8"))[1] == "float32"


DROPOUTS = {
    "Dropout": (5,),
    "AlphaDropout": (5,),
    "GaussianDropout": (5,),
    "GaussianNoise": (5,),
    "ActivityRegularization": (5,),
    "SpatialDropout1D": (4, 5),
    "SpatialDropout2D": (4, 5, 6),
    "SpatialDropout3D": (4, 5, 6, 2),
}


@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_regularization_is_a_view_at_inference(name: str, rate: float) -> None:
    graph = read_layer(lambda: getattr(layers, name)(rate), DROPOUTS[name])
    assert ops(graph) == ["identity"]
    assert cost_of(graph).flops == 0


@pytest.mark.parametrize("name", [n for n, shape in DROPOUTS.items() if len(shape) < 3])
def test_masks_pass_through(name: str) -> None:
    def call(x: Any) -> Any:
        y = getattr(layers, name)(0.5)(layers.Embedding(5, 3, mask_zero=True)(x))
        return layers.GlobalAveragePooling1D()(y)

    assert ops(read(call, (7,), dtype="int32"))[-1] == "divide"


def test_identity_of_a_tree() -> None:
    def call(x: Any, y: Any) -> Any:
        made = layers.Identity()({"b": x, "a": [y]})
        return layers.Concatenate()([made["b"], made["a"][0]])

    assert ops(read(call, (4,), (3,))) == ["identity", "identity", "concat"]
