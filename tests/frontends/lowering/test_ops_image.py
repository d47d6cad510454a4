"""``keras.ops.image``: every function against Keras, filters by hand-derived counts."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from costlens.ir.graph import Graph
from tests.frontends.lowering.ops_support import (
    Case,
    case,
    cost,
    exists,
    f,
    graph,
    h,
    ops_in,
    present,
    u,
)

FIRST = {"data_format": "channels_first"}
METHODS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5", "area")
TWO, ONE = np.ones(2, "float32"), np.ones(1, "float32")


def of(name: str, *args: Any, **kwargs: Any) -> Case:
    """A call of ``keras.ops.image.<name>``."""
    return case(f"image.{name}", *args, **kwargs)


def _strided() -> bool:
    """Keras 3.8 fails on any strides that are given to ``extract_patches``."""
    try:
        image = keras.KerasTensor((2, 8, 9, 3))
        return bool(keras.ops.image.extract_patches(image, (3, 2), (1, 1)).shape)
    except UnboundLocalError:
        return False


RESIZES = [
    *(
        of("resize", x, (4, 11), method, antialias=antialias)
        for x in (f(2, 8, 9, 3), u(2, 8, 9, 3), h(8, 9, 3))
        for method in METHODS
        if method != "area" or keras.backend.backend() == "tensorflow"
        for antialias in (False, True)
    ),
    of("resize", f(2, 3, 8, 9), (4, 5), **FIRST),
    of("resize", f(2, 8, 9, 3), (4, 9), crop_to_aspect_ratio=True),
    of("resize", f(8, 9, 3), (4, 9), pad_to_aspect_ratio=True),
    of("resize", u(2, 8, 9, 3), (8, 9)),
    of("scale_and_translate", f(2, 8, 9, 3), (2, 4, 13, 3), TWO, TWO, (1, 2), "linear"),
    of("scale_and_translate", u(8, 9), (8, 5), ONE, ONE, (-1,), "lanczos3", antialias=False),
]

BORDERS = [
    of("pad_images", f(2, 8, 9, 3), 1, 2, target_height=12, target_width=13),
    of("pad_images", f(3, 8, 9), 1, 2, 3, 4, **FIRST),
    of("crop_images", f(2, 8, 9, 3), 1, 2, target_height=4, target_width=5),
    of("crop_images", f(3, 8, 9), 1, None, None, 2, target_height=4, target_width=5, **FIRST),
    of("extract_patches", f(2, 8, 9, 3), 2),
    of("extract_patches", f(8, 9, 3), (3, 2), padding="same"),
    *(
        one
        for one in (
            of("extract_patches", f(8, 9, 3), (3, 2), strides=1, padding="same"),
            of("extract_patches", f(2, 3, 8, 9), (3, 2), (1, 1), 2, **FIRST),
        )
        if _strided()
    ),
    of("extract_patches_3d", f(2, 6, 7, 8, 2), (2, 3, 4)),
    of("extract_patches_3d", f(6, 7, 8, 2), 2, 1, padding="same"),
]

COLOURS = [
    of("rgb_to_grayscale", f(2, 8, 9, 3)),
    of("rgb_to_grayscale", u(3, 8, 9), **FIRST),
    *(
        of(name, *args, **kwargs)
        for name in ("rgb_to_hsv", "hsv_to_rgb")
        for args, kwargs in (((f(2, 8, 9, 3),), {}), ((h(3, 8, 9),), FIRST))
    ),
]

WARPS = [
    of("affine_transform", f(2, 8, 9, 3), np.ones((2, 8))),
    of("affine_transform", f(3, 8, 9), f(8), "nearest", **FIRST),
    of("perspective_transform", f(2, 8, 9, 3), f(2, 4, 2), np.ones((2, 4, 2))),
    of("perspective_transform", f(8, 9, 3), np.ones((4, 2)), np.ones((4, 2))),
    of("elastic_transform", f(2, 8, 9, 3), sigma=1.0),
    of("elastic_transform", f(3, 8, 9), sigma=1.0, interpolation="nearest", **FIRST),
    of("map_coordinates", f(5, 6), f(2, 7), order=1),
    of("map_coordinates", u(5, 6, 2), f(3, 7, 4), order=1, fill_mode="nearest"),
    of("map_coordinates", f(5, 6), f(2, 7), order=0),
]

FILTERS = [
    of("gaussian_blur", f(2, 8, 9, 3)),
    of("gaussian_blur", h(3, 8, 9), (5, 3), (1.0, 2.0), **FIRST),
    of("sobel_edges", f(2, 8, 9, 3)),
    of("sobel_edges", f(2, 3, 8, 9), **FIRST),
    of("ssim", f(2, 16, 17, 3), f(2, 16, 17, 3)),
    of("ssim", u(3, 16, 17), u(3, 16, 17), 255.0, **FIRST),
]

CASES = present([*RESIZES, *BORDERS, *COLOURS, *WARPS, *FILTERS])


@pytest.mark.parametrize("one", CASES, ids=str)
def test_every_function_has_keras_shapes_and_dtypes(one: Case) -> None:
    assert "unknown" not in ops_in(graph(one))


def test_every_public_function_has_a_case() -> None:
    image = keras.ops.image
    public = {f"image.{name}" for name in dir(image) if inspect.isfunction(getattr(image, name))}
    assert public <= {one.name for one in CASES}


def _shapes(made: Graph) -> set[tuple[int, ...]]:
    return {made.values[value].shape for node in made.nodes for value in node.outputs}


def test_a_resize_interpolates_and_never_contracts() -> None:
    """44 positions of 3 channels, each of 2·2 neighbours: 4 products and 3 additions."""
    found = cost("image.resize", f(1, 8, 9, 3), (4, 11))
    assert (found.macs, found.muls, found.adds) == (0, 4 * 132, 3 * 132)
    assert cost("image.resize", f(1, 8, 9, 3), (4, 11), "nearest").flops == 0
    assert ops_in(graph(of("resize", f(1, 8, 9, 3), (8, 9)))) == ["identity"]


def test_aspect_ratios_are_those_of_keras() -> None:
    """8×9 cut to 2:3 keeps 9·2/3 = 6 rows; padded to 4:9 it has 8·9/4 = 18 columns, of which
    Keras adds 4 on either side and drops the odd one."""
    cut = graph(of("resize", f(2, 8, 9, 3), (2, 3), crop_to_aspect_ratio=True))
    assert (2, 6, 9, 3) in _shapes(cut)
    wide = graph(of("resize", f(2, 8, 9, 3), (4, 9), pad_to_aspect_ratio=True))
    assert (2, 8, 17, 3) in _shapes(wide)


def test_one_axis_after_the_other() -> None:
    """2·4·9·3 values of 2 rows each (8 → 4 antialiased: 4), then 2·4·13·3 of 2 columns."""
    if exists("image.scale_and_translate"):
        args = (f(2, 8, 9, 3), (2, 4, 13, 3), TWO, TWO, (1, 2), "linear")
        found = cost("image.scale_and_translate", *args)
        assert (found.macs, found.muls) == (0, 216 * 4 + 312 * 2)


def test_a_gaussian_blur_is_a_depthwise_convolution() -> None:
    """Same padding: 8·9 positions of 3 channels under 5·3 taps; fewer land on the image.

    Along 8 rows 5 taps lose 2 + 1 at either end: 40 - 6; along 9 columns 3 taps lose 2: 25.
    """
    if exists("image.gaussian_blur"):
        found = cost("image.gaussian_blur", f(2, 8, 9, 3), (5, 3), (1.0, 1.0))
        assert found.macs == 2 * 3 * (8 * 5) * (9 * 3)
        assert found.macs_valid == 2 * 3 * 34 * 25


def test_filters_that_are_convolutions() -> None:
    """Grey is 3 products a pixel; Sobel 9 taps for 2 edges; SSIM 5 Gaussian means of 11×11."""
    assert cost("image.rgb_to_grayscale", f(2, 8, 9, 3)).macs == 2 * 72 * 3
    if exists("image.sobel_edges"):
        edges = cost("image.sobel_edges", f(2, 8, 9, 3))
        assert edges.macs == edges.macs_valid == 2 * 72 * 3 * 9 * 2
    if exists("image.ssim"):
        found = cost("image.ssim", f(2, 16, 17, 3), f(2, 16, 17, 3))
        assert found.macs == 5 * (2 * 3) * (6 * 7) * 11 * 11


def test_an_elastic_transform_blurs_two_fields() -> None:
    """σ = 1 gives a 7×7 kernel, over 8·9 positions of one channel, for dx and for dy."""
    if exists("image.elastic_transform"):
        found = cost("image.elastic_transform", f(2, 8, 9, 3), sigma=1.0)
        assert found.macs == 2 * 2 * 72 * 49


def test_an_affine_transform_projects_every_position() -> None:
    """72 positions: 6 products, 6 additions, 2 divisions; 216 values of 4 taps each."""
    found = cost("image.affine_transform", f(1, 8, 9, 3), np.ones((1, 8)))
    assert (found.macs, found.divs) == (0, 72 * 2)
    assert (found.muls, found.adds) == (72 * 6 + 216 * 4, 72 * 6 + 216 * 3)


def test_patches_are_data_movement() -> None:
    """2·8·9·3 floats in, 2·4·4 patches of 12 out."""
    found = cost("image.extract_patches", f(2, 8, 9, 3), 2)
    assert (found.macs, found.flops) == (0, 0)
    assert (found.bytes_read, found.bytes_written) == (4 * 432, 4 * 384)


def test_one_pixel_to_hsv() -> None:
    """Comparisons: two in the maximum, two in the minimum, a zero test, two equalities, grey,
    wrap. Additions: the range, three differences, two turns, one more turn."""
    found = cost("image.rgb_to_hsv", f(1, 1, 1, 3))
    assert (found.comparisons, found.adds) == (2 + 2 + 1 + 2 + 1 + 1, 1 + 3 + 2 + 1)
    assert (found.muls, found.divs) == (1 + 3, 1 + 1)


def test_one_pixel_from_hsv() -> None:
    """6h; per channel two differences, a clip, s·d, a sum, a product; and 1 - s."""
    found = cost("image.hsv_to_rgb", f(1, 1, 1, 3))
    assert (found.comparisons, found.adds, found.muls) == (3 * 2, 3 + 3 + 1 + 3, 1 + 3 + 3)


def test_sampling_reads_four_corners() -> None:
    """7 points in a plane: 2 floors, 2 + 2 weights; 4 corners of a product of two weights and
    one with the value, 3 additions."""
    found = cost("image.map_coordinates", f(5, 6), f(2, 7), order=1)
    assert (found.comparisons, found.adds, found.muls) == (7 * 2, 7 * (2 + 2 + 3), 7 * (4 + 4))


def test_the_global_data_format_is_the_one_at_the_call() -> None:
    """An image operation records None where the global default was meant."""
    keras.config.set_image_data_format("channels_first")
    try:
        made = graph(of("resize", f(2, 3, 8, 9), (4, 5)))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert made.values[made.outputs[0]].shape == (2, 3, 4, 5)
