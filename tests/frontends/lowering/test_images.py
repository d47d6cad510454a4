"""Image preprocessing: what acts at inference, and random augmentation, which does not."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from tests.frontends.lowering.layer_support import BATCH, ops, out, read, read_layer, work
from tests.support import abstract, cost_of, functional, graph_of

layers = keras.layers
FORMATS = ("channels_last", "channels_first")

_ANTIALIAS: dict[str, Any] = (
    {"antialias": True}
    if "antialias" in inspect.signature(layers.Resizing.__init__).parameters
    else {}
)


def _images(height: int, width: int, data_format: str) -> tuple[int, ...]:
    return (height, width, 3) if data_format == "channels_last" else (3, height, width)


def _size(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    return shape[1:3] if data_format == "channels_last" else shape[2:]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos5"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_resizing(data_format: str, interpolation: str, dtype: str) -> None:
    graph = read_layer(
        lambda: layers.Resizing(
            12, 10, interpolation, data_format=data_format, dtype=dtype, **_ANTIALIAS
        ),
        _images(20, 30, data_format),
    )
    assert ops(graph)[-1] == "resize"
    assert cost_of(graph).macs == 0


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    ("sizes", "target"), [((20, 30), (12, 12)), ((30, 20), (12, 12)), ((7, 5), (9, 4))]
)
def test_resizing_keeps_the_aspect_ratio(
    data_format: str, sizes: tuple[int, int], target: tuple[int, int]
) -> None:
    shape = _images(*sizes, data_format)
    cropped = read_layer(
        lambda: layers.Resizing(*target, crop_to_aspect_ratio=True, data_format=data_format), shape
    )
    padded = read_layer(
        lambda: layers.Resizing(*target, pad_to_aspect_ratio=True, data_format=data_format), shape
    )
    inner = [graph.values[work(graph)[0].outputs[0]].shape for graph in (cropped, padded)]
    expected = {
        (20, 30): ((20, 20), (30, 30)),
        (30, 20): ((20, 20), (30, 30)),
        # 5·9/4 = 11.25 rows wanted of 7; 7·4/9 = 3.1 columns of 5: cut to 3, padded to 7 + 2·2
        (7, 5): ((7, 3), (11, 5)),
    }[sizes]
    assert tuple(_size(shape, data_format) for shape in inner) == expected


def test_resizing_integers_rounds_and_clips() -> None:
    graph = read_layer(lambda: layers.Resizing(4, 4), (8, 8, 3), dtype="uint8")
    assert ops(graph) == ["cast", "resize", "round", "clip"]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", ["CenterCrop", "RandomCrop"])
def test_crops(name: str, data_format: str) -> None:
    shape = _images(20, 30, data_format)
    make = getattr(layers, name)
    for target, expected in (
        ((12, 12), ["slice"]),
        ((20, 30), ["identity"]),
        ((40, 20), ["slice", "resize"]),  # 20×10 has the target's aspect ratio
    ):
        graph = read_layer(lambda target=target: make(*target, data_format=data_format), shape)
        assert ops(graph) == expected
        assert _size(out(graph)[0], data_format) == target
        assert bool(graph.notes) == (name == "RandomCrop" and expected != ["identity"])


def test_one_image_without_a_batch() -> None:
    def build() -> Any:
        x = keras.Input(batch_shape=(8, 9, 3))
        return functional(x, layers.Resizing(4, 5)(x))

    graph = graph_of(abstract(build))
    assert out(graph)[0] == (4, 5, 3)


if hasattr(layers, "AutoContrast"):

    def test_auto_contrast_stretches_each_channel() -> None:
        n, lanes = BATCH * 8 * 9 * 3, BATCH * 3
        graph = read_layer(layers.AutoContrast, (8, 9, 3))
        # least and greatest; three operations per channel; multiply, add, clip, isnan
        assert cost_of(graph).flops == 2 * (n - lanes) + 3 * lanes + 5 * n
        ranged = read_layer(lambda: layers.AutoContrast((0, 1)), (8, 9, 3), dtype="uint8")
        # there and back: subtract, divide, multiply, add, each time
        assert cost_of(ranged).flops == cost_of(graph).flops + 8 * n


_CLAHE = "ContrastLimitedAdaptiveHistogramEqualization"

if hasattr(layers, _CLAHE):

    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_adaptive_histogram_equalization(data_format: str, dtype: str) -> None:
        shape = _images(20, 30, data_format)
        for options in ({}, {"tile_grid_size": (4, 5)}, {"clip_limit": 0, "value_range": (0, 1)}):
            graph = read_layer(
                lambda options=options: getattr(layers, _CLAHE)(data_format=data_format, **options),
                shape,
                dtype=dtype,
            )
            assert cost_of(graph).macs == 0
            assert ops(graph).count("gather") == 4

    def test_its_histograms_are_sums_of_one_hot_vectors() -> None:
        graph = read_layer(lambda: getattr(layers, _CLAHE)(tile_grid_size=(2, 2)), (4, 6, 1))
        (hot,) = [n for n in work(graph) if n.attrs.get("fn") == "one_hot"]
        # 2×2 tiles of 2×3 pixels, 256 levels
        assert graph.values[hot.outputs[0]].shape == (BATCH, 2, 2, 1, 6, 256)


_ACTS = {"Resizing", "CenterCrop", "RandomCrop", "AutoContrast", _CLAHE}
_OPTIONS: dict[str, dict[str, Any]] = {
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
    "RandomPosterization": {"factor": 4},
    "MaxNumBoundingBoxes": {"max_number": 5},
}


def _cyclic(name: str) -> bool:
    """Whether a layer returns its own symbolic input, so that Keras builds no graph with it."""
    if name not in ("Equalization", "RandomGrayscale"):
        return False
    x = keras.KerasTensor((None, 8, 8, 3))
    return _augmentation(name).compute_output_spec(x) is x


def _augmentations() -> list[str]:
    names = []
    for name in dir(layers):
        value = getattr(layers, name)
        if inspect.isclass(value) and ".image_preprocessing." in value.__module__:
            names.append(name)
    return sorted(name for name in set(names) - _ACTS if not _cyclic(name))


def _augmentation(name: str, **more: Any) -> Any:
    layer = getattr(layers, name)
    parameters = inspect.signature(layer.__init__).parameters
    needed = parameters.get("factor")
    options = _OPTIONS.get(name, {})
    if needed is not None and needed.default is inspect.Parameter.empty and not options:
        options = {"factor": 0.1}
    return layer(**options, **more)


@pytest.mark.parametrize("name", _augmentations())
def test_random_augmentation_is_a_view_at_inference(name: str) -> None:
    assert ops(read_layer(lambda: _augmentation(name), (8, 8, 3))) == ["identity"]
    read_layer(lambda: _augmentation(name), (8, 8, 3), dtype="uint8")
    read_layer(lambda: _augmentation(name, dtype="mixed_float16"), (8, 8, 3))


@pytest.mark.parametrize("name", _augmentations())
def test_keras_itself_changes_nothing_at_inference(name: str) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    made = _augmentation(name)(images, training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(made), images)


if hasattr(layers, "MaxNumBoundingBoxes"):

    @pytest.mark.parametrize("number", [5, 9])
    def test_bounding_boxes_are_cut_or_filled_up(number: int) -> None:
        def call(images: Any, boxes: Any, labels: Any) -> Any:
            data = {"images": images, "bounding_boxes": {"boxes": boxes, "labels": labels}}
            made = layers.MaxNumBoundingBoxes(number)(data)["bounding_boxes"]
            return layers.Flatten()(made["boxes"])

        graph = read(call, (8, 8, 3), (7, 4), (7,))
        assert out(graph)[0] == (BATCH, number * 4)
        assert cost_of(graph).flops == 0
