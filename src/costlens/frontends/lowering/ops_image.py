"""``keras.ops.image``: colours, resizing, cropping and padding, patches, filters.

Images are (B, H, W, C), (B, C, H, W) or one image without the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.convolution import convolve, depthwise
from costlens.frontends.lowering.geometry import (
    channels,
    channels_last,
    ntuple,
    padding_pairs,
    spatial,
)
from costlens.frontends.lowering.images import aspect_crop, crop
from costlens.frontends.lowering.ops_arguments import required
from costlens.frontends.lowering.ops_core import saturate_cast
from costlens.ir.ops import windows
from costlens.ir.types import is_int, promote


def batched(b: Builder, x: Tensor) -> Tensor:
    """One image as a batch of one: a view."""
    return b.reshape(x, (1, *x.shape)) if x.rank == 3 else x


def like(b: Builder, y: Tensor, x: Tensor) -> Tensor:
    """Without the batch axis again, where ``x`` had none."""
    return b.reshape(y, y.shape[1:]) if x.rank == 3 else y


# -- colours ---------------------------------------------------------------------------------


def _rgb_to_grayscale(b: Builder, call: LayerCall) -> Tensor:
    """Three channels contracted with the luma weights, in floats; a grey image passes."""
    x, last = call.x, channels_last(call.config)
    axis = x.rank - 1 if last else x.rank - 3
    if x.shape[axis] == 1:
        return b.identity(x)
    wide = b.cast(x, promote((x.dtype, "float")))
    weights = b.fill((3,), wide.dtype, "luma_weights")
    labels = "abcd"[: x.rank]
    rest = labels.replace(labels[axis], "")
    grey = b.einsum(f"{labels},{labels[axis]}->{rest}", wide, weights, label="luma")
    return b.cast(b.reshape(grey, (*x.shape[:axis], 1, *x.shape[axis + 1 :])), x.dtype)


def rgb_to_hsv(b: Builder, x: Tensor, axis: int) -> Tensor:
    """Value is the maximum, saturation its range over it, hue the angle of the largest channel."""
    value, low = b.reduce("max", x, axis, True), b.reduce("min", x, axis, True)
    spread = b.binary("subtract", value, low)
    saturation = b.binary("divide_no_nan", spread, value)
    scale = b.binary("multiply", b.unary("reciprocal", spread), 1 / 6)
    ahead, behind = b.rearrange("roll", x, x.shape), b.rearrange("roll", x, x.shape)
    hues = b.binary("multiply", b.binary("subtract", ahead, behind), scale)
    turned = b.binary("add", b.take(hues, axis, 1, 3), 1 / 3)
    largest = b.compare("equal", b.take(x, axis, 0, 2), value)
    red, green = (b.take(largest, axis, i, i + 1) for i in (0, 1))
    hue = b.emit("select", (green, *(b.take(turned, axis, i, i + 1) for i in (0, 1))))
    hue = b.emit("select", (red, b.take(hues, axis, 0, 1), hue))
    hue = b.emit("select", (b.compare("greater", spread, 0), hue))
    hue = b.emit("select", (b.compare("less", hue, 0), b.binary("add", hue, 1.0), hue))
    return b.concat((hue, saturation, value), axis)


def hsv_to_rgb(b: Builder, x: Tensor, axis: int) -> Tensor:
    """Each channel is v·(1 - s + s·d) with d = clip(±|6h - k| ∓ …) of its own angle k."""
    h, s, v = (b.take(x, axis, i, i + 1) for i in range(3))
    angle = b.broadcast(b.binary("multiply", h, 6.0), x.shape)
    away = b.unary("abs", b.binary("subtract", angle, 3.0))
    d = b.unary("clip", b.binary("subtract", away, 1.0))
    mixed = b.binary("add", b.binary("subtract", 1.0, s), b.binary("multiply", s, d))
    return b.binary("multiply", mixed, v)


def _colours(convert: Callable[[Builder, Tensor, int], Tensor]) -> Lowering:
    return lambda b, call: convert(b, call.x, -1 if channels_last(call.config) else -3)


# -- sizes -----------------------------------------------------------------------------------


def resize_images(
    b: Builder, x: Tensor, size: Sequence[int], method: str, antialias: bool, last: bool
) -> Tensor:
    """Interpolate (B, …) to (height, width), as TensorFlow: in float32 except for nearest.

    Images that have the size already are left alone; others return to their own dtype.
    """
    if spatial(x.shape, last) == tuple(size):
        return x
    wide = x.dtype if method == "nearest" else "float32"
    extra = {} if wide == x.dtype else {"dtype": wide}
    y = b.emit(
        "resize",
        (x,),
        method=method,
        size=tuple(size),
        channels_last=last,
        antialias=antialias,
        **extra,
    )
    if y.dtype == x.dtype:
        return y
    return saturate_cast(b, b.unary("round", y) if is_int(x.dtype) else y, x.dtype)


def crop_to_ratio(b: Builder, x: Tensor, size: Sequence[int], last: bool) -> Tensor:
    """The largest centred part of (B, …) that has the aspect ratio of ``size``."""
    (h, w), (rows, columns) = spatial(x.shape, last), size
    return crop(b, x, aspect_crop((h, w), (rows, columns)), last)


def pad_to_ratio(b: Builder, x: Tensor, size: Sequence[int], last: bool) -> Tensor:
    """Equal borders on both sides of (B, …), up to the aspect ratio of ``size``."""
    (h, w), (th, tw) = spatial(x.shape, last), size
    rows, columns = (max(h, w * th // tw) - h) // 2, (max(w, h * tw // th) - w) // 2
    return _bordered(b, x, ((rows, rows), (columns, columns)), last)


def _with_size(x: Tensor, size: Sequence[int], last: bool) -> tuple[int, ...]:
    """The shape of images with another height and width."""
    if last:
        return (*x.shape[:-3], *size, x.shape[-1])
    return (*x.shape[:-2], *size)


def _bordered(b: Builder, x: Tensor, pairs: Sequence[tuple[int, int]], last: bool) -> Tensor:
    if not any(n for pair in pairs for n in pair):
        return x
    none = (0, 0)
    image = (*pairs, none) if last else (none, *pairs)
    return b.pad(x, (*((none,) * (x.rank - 3)), *image))


def _resize(b: Builder, call: LayerCall) -> Tensor:
    config, x, last = call.config, call.x, channels_last(call.config)
    size, y = ntuple(config["size"], 2), batched(b, call.x)
    if config.get("crop_to_aspect_ratio"):
        y = crop_to_ratio(b, y, size, last)
    if config.get("pad_to_aspect_ratio"):
        y = pad_to_ratio(b, y, size, last)
    method = config.get("interpolation", "bilinear")
    return like(b, resize_images(b, y, size, method, bool(config.get("antialias")), last), x)


def _margins(config: Mapping[str, Any], what: str, size: Sequence[int], sign: int) -> list[Any]:
    """(before, after) per axis; one of before, after and target is None and follows."""
    names = (("top", "bottom", "target_height"), ("left", "right", "target_width"))
    pairs = []
    for n, (first, second, target) in zip(size, names, strict=True):
        before, after = config.get(f"{first}_{what}"), config.get(f"{second}_{what}")
        if before is None:
            before = sign * (config[target] - n) - after
        if after is None:
            after = sign * (config[target] - n) - before
        pairs.append((before, after))
    return pairs


def _image_size(x: Tensor, last: bool) -> tuple[int, ...]:
    return x.shape[-3:-1] if last else x.shape[-2:]


def _pad_images(b: Builder, call: LayerCall) -> Tensor:
    x, last = call.x, channels_last(call.config)
    pairs = _margins(call.config, "padding", _image_size(x, last), 1)
    return _bordered(b, x, pairs, last)


def _crop_images(b: Builder, call: LayerCall) -> Tensor:
    x, last = call.x, channels_last(call.config)
    size = _image_size(x, last)
    pairs = _margins(call.config, "cropping", size, -1)
    kept = [n - before - after for n, (before, after) in zip(size, pairs, strict=True)]
    return b.slice(x, _with_size(x, kept, last), f"from {tuple(p[0] for p in pairs)}")


def _extract_patches(b: Builder, call: LayerCall) -> Tensor:
    """Patches along the channel axis, in 2-D or 3-D.

    Keras writes it as a convolution with an identity kernel; it is data movement, so MACs 0.
    """
    config, x, last = call.config, call.x, channels_last(call.config)
    given = config["size"]
    rank = 2 if isinstance(given, int) else len(given)
    taps, dilation = ntuple(given, rank), ntuple(config.get("dilation_rate", 1), rank)
    strides = ntuple(config.get("strides") or given, rank)
    shape = x.shape if x.rank == rank + 2 else (1, *x.shape)
    sizes = spatial(shape, last)
    pads = padding_pairs(config.get("padding", "valid"), sizes, taps, strides, dilation)
    counts = [
        windows(n, k, s, d, p)
        for n, k, s, d, p in zip(sizes, taps, strides, dilation, pads, strict=True)
    ]
    depth = channels(shape, last)
    for k in taps:
        depth *= k
    made = (shape[0], *counts, depth) if last else (shape[0], depth, *counts)
    return b.rearrange("patches", x, made if x.rank == rank + 2 else made[1:])


# -- filters ---------------------------------------------------------------------------------


def blur(b: Builder, x: Tensor, taps: Sequence[int], last: bool) -> Tensor:
    """A depthwise convolution of (B, …) with one Gaussian kernel, computed on the spot."""
    kernel = b.fill((*taps, channels(x.shape, last), 1), x.dtype, "gaussian")
    ones = (1, 1)
    return depthwise(b, x, kernel, strides=ones, padding="same", dilation=ones, last=last)


def _gaussian_blur(b: Builder, call: LayerCall) -> Tensor:
    x, taps = call.x, ntuple(call.config.get("kernel_size", 3), 2)
    return like(b, blur(b, batched(b, x), taps, channels_last(call.config)), x)


def _sobel_edges(b: Builder, call: LayerCall) -> Tensor:
    """Two 3 × 3 filters on every channel of the reflected image: (…, 2) for dy and dx."""
    x, last = call.x, channels_last(call.config)
    image = x if last else b.transpose(x, (0, 2, 3, 1))
    n, h, w, c = image.shape
    padded = b.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    kernel, ones = b.fill((3, 3, c, 2), x.dtype, "sobel"), (1, 1)
    y = depthwise(b, padded, kernel, strides=ones, padding="valid", dilation=ones)
    y = b.reshape(y, (n, h, w, c, 2))
    return y if last else b.transpose(y, (0, 3, 1, 2, 4))


def _ssim(b: Builder, call: LayerCall) -> Tensor:
    """Structural similarity (Wang et al. 2004): means, variances, covariance under a Gaussian."""
    config, last = call.config, channels_last(call.config)
    first = required(b, call, 0, "image1")
    dtype = promote((first.dtype, "float"))
    x, y = (_planes(b, b.cast(image, dtype), last) for image in call.tensors[:2])
    taps = ntuple(config.get("filter_size", 11), 2)
    kernel = b.fill((*taps, 1, 1), dtype, "gaussian")

    def mean(image: Tensor) -> Tensor:
        return convolve(b, image, kernel, strides=(1, 1), padding="valid", dilation=(1, 1))

    mu_x, mu_y = mean(x), mean(y)
    products = [b.binary("multiply", p, q) for p, q in ((mu_x, mu_x), (mu_y, mu_y), (mu_x, mu_y))]
    spreads = [
        b.binary("subtract", mean(b.binary("multiply", p, q)), product)
        for (p, q), product in zip(((x, x), (y, y), (x, y)), products, strict=True)
    ]
    similar = b.binary("multiply", _twice_plus(b, products[2]), _twice_plus(b, spreads[2]))
    total = b.binary("multiply", _sum_plus(b, products), _sum_plus(b, spreads))
    batch = first.shape[0] if first.rank == 4 else 1
    per_channel = b.reduce("mean", b.binary("divide", similar, total), (1, 2, 3))
    result = b.reduce("mean", b.reshape(per_channel, (batch, -1)), -1)
    return b.cast(result if first.rank == 4 else b.reshape(result, ()), first.dtype)


def _twice_plus(b: Builder, x: Tensor) -> Tensor:
    return b.binary("add", b.binary("multiply", x, 2.0), 1.0)


def _sum_plus(b: Builder, xs: Sequence[Tensor]) -> Tensor:
    return b.binary("add", b.binary("add", xs[0], xs[1]), 1.0)


def _planes(b: Builder, image: Tensor, last: bool) -> Tensor:
    """Every channel as an image of its own: (B·C, H, W, 1)."""
    image = batched(b, image)
    if last:
        image = b.transpose(image, (0, 3, 1, 2))
    n, c, h, w = image.shape
    return b.reshape(image, (n * c, h, w, 1))


OPS: Mapping[str, Lowering] = {
    "op:CropImages": _crop_images,
    "op:ExtractPatches": _extract_patches,
    "op:GaussianBlur": _gaussian_blur,
    "op:HSVToRGB": _colours(hsv_to_rgb),
    "op:PadImages": _pad_images,
    "op:RGBToGrayscale": _rgb_to_grayscale,
    "op:RGBToHSV": _colours(rgb_to_hsv),
    "op:Resize": _resize,
    "op:SSIM": _ssim,
    "op:SobelEdges": _sobel_edges,
}
