"""Image preprocessing that acts at inference: resizing, cropping, contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.clahe import equalize
from costlens.frontends.lowering.geometry import channels, channels_last, spatial
from costlens.frontends.lowering.policy import computed
from costlens.frontends.lowering.reshaping import resize
from costlens.ir.types import is_float

Transform = Callable[[Builder, Mapping[str, Any], Tensor], Tensor]
Size = tuple[int, int]


def on_images(transform: Transform) -> Lowering:
    """A lowering of images (B, H, W, C); a single image is a batch of one."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        if isinstance(call.arg(0, "data"), Mapping):
            raise Unreadable(f"{call.layer.kind} is called on a dictionary of images and boxes")
        x = call.x
        if x.rank != 3:
            return transform(b, call.config, x)
        y = transform(b, call.config, b.reshape(x, (1, *x.shape)))
        return b.reshape(y, y.shape[1:])

    return computed(lowering)


def crop(b: Builder, x: Tensor, size: Size, last: bool) -> Tensor:
    """The middle ``size`` of the images; nothing where they have that size."""
    if spatial(x.shape, last) == size:
        return x
    batch, depth = x.shape[0], channels(x.shape, last)
    shape = (batch, *size, depth) if last else (batch, depth, *size)
    return b.slice(x, shape, f"centre {size[0]}×{size[1]}")


def aspect_crop(sizes: Size, target: Size) -> Size:
    """The largest part of the image that has the target's aspect ratio."""
    (height, width), (rows, columns) = sizes, target
    cut_height = max(min(height, int(width * rows / columns)), 1)
    cut_width = max(min(width, int(height * columns / rows)), 1)
    return cut_height, cut_width


def _padded(b: Builder, x: Tensor, target: Size, last: bool) -> Tensor:
    """Borders of a constant, so that the image has the target's aspect ratio.

    The same on either side: an odd element is left out.
    """
    (height, width), (rows, columns) = _sizes(x, last), target
    top = (max(height, int(width * rows / columns)) - height) // 2
    left = (max(width, int(height * columns / rows)) - width) // 2
    if not top and not left:
        return x
    sides = ((top, top), (left, left))
    return b.pad(x, ((0, 0), *sides, (0, 0)) if last else ((0, 0), (0, 0), *sides))


def _sizes(x: Tensor, last: bool) -> Size:
    height, width = spatial(x.shape, last)
    return height, width


def _target(config: Mapping[str, Any]) -> Size:
    return int(config["height"]), int(config["width"])


def _resizing(b: Builder, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """Resizing, after a crop or padding to the aspect ratio; integers are rounded and clipped."""
    last, target = channels_last(config), _target(config)
    if config.get("crop_to_aspect_ratio"):
        x = crop(b, x, aspect_crop(_sizes(x, last), target), last)
    elif config.get("pad_to_aspect_ratio"):
        x = _padded(b, x, target, last)
    method = str(config.get("interpolation", "bilinear")).lower()
    whole = not is_float(x.dtype) and method != "nearest"
    if whole:
        x = b.cast(x, "float32")
    y = resize(b, x, target, method, last, bool(config.get("antialias")))
    return b.unary("clip", b.unary("round", y)) if whole else y


def _smart_resize(b: Builder, x: Tensor, target: Size, last: bool) -> Tensor:
    """A crop to the target's aspect ratio, then a bilinear resize."""
    cut = crop(b, x, aspect_crop(_sizes(x, last), target), last)
    return resize(b, cut, target, "bilinear", last)


def _center_crop(b: Builder, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """The middle of a larger image; a smaller one is resized."""
    last, target = channels_last(config), _target(config)
    x = b.cast(x, b.policy.compute)
    if all(n >= m for n, m in zip(_sizes(x, last), target, strict=True)):
        return crop(b, x, target, last)
    return _smart_resize(b, x, target, last)


def _random_crop(b: Builder, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """Keras declares the cropped size and, at inference, does not crop.

    What follows is built for the cropped size, so that is what is counted.
    """
    last, target = channels_last(config), _target(config)
    if _sizes(x, last) == target:
        return x
    b.note(f"{b.scope[-1]}: counted as cropping; Keras leaves it out at inference")
    return _center_crop(b, config, x)


def value_range(
    b: Builder, x: Tensor, original: Sequence[float], target: Sequence[float], dtype: str
) -> Tensor:
    """Values moved from one range to another; nothing where the ranges are the same."""
    if tuple(original) == tuple(target):
        return x
    x = b.binary("subtract", b.cast(x, dtype), 1.0)
    x = b.binary("multiply", b.binary("divide", x, 1.0), 1.0)
    return b.binary("add", x, 1.0)


def _auto_contrast(b: Builder, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """Each channel stretched to the full range, between its extremes over axes 1 and 2."""
    compute, given = b.policy.compute, config.get("value_range", (0, 255))
    y = b.cast(value_range(b, x, given, (0, 255), compute), compute)
    low = b.reduce("min", y, (1, 2), keepdims=True)
    high = b.reduce("max", y, (1, 2), keepdims=True)
    scale = b.binary("divide", 255.0, b.binary("subtract", high, low))
    offset = b.binary("multiply", b.unary("negative", low), scale)
    y = b.unary("clip", b.binary("add", b.binary("multiply", y, scale), offset))
    y = value_range(b, y, (0, 255), given, compute)
    return b.emit("select", (b.unary("isnan", y, "bool"), x, y))


def _clahe(b: Builder, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """Contrast-limited adaptive histogram equalisation, in float32 (Zuiderveld 1994)."""
    dtype, last = x.dtype, channels_last(config)
    given = config.get("value_range", (0, 255))
    x = x if last else b.transpose(x, (0, 2, 3, 1))
    x = value_range(b, x, given, (0, 255), "float32")
    rows, columns = config.get("tile_grid_size", (8, 8))
    y = equalize(b, x, float(config.get("clip_limit", 4.0)), (rows, columns))
    y = b.cast(value_range(b, y, (0, 255), given, "float32"), dtype)
    return y if last else b.transpose(y, (0, 3, 1, 2))


LAYERS: Mapping[str, Lowering] = {
    "layer:Resizing": on_images(_resizing),
    "layer:CenterCrop": on_images(_center_crop),
    "layer:RandomCrop": on_images(_random_crop),
    "layer:AutoContrast": on_images(_auto_contrast),
    "layer:ContrastLimitedAdaptiveHistogramEqualization": on_images(_clahe),
}
