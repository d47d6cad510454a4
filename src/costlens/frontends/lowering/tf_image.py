"""Traced operations on images: resizing, sampling, colours, contrast, boxes."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.ops_image import hsv_to_rgb, rgb_to_hsv
from costlens.frontends.lowering.ops_warp import projected
from costlens.frontends.lowering.tf_common import looked_up, moved, opaque, out, retyped, table
from costlens.frontends.lowering.tf_index import scatter

TAPS = {"nearest": 1, "bilinear": 4, "bicubic": 16}
"""Elements that an interpolated one is made of, in two dimensions."""


def _resize(method: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, made = tensor(b, call.args[0]), out(call)
        return _resized(b, x, method, made.shape[1:3], made.dtype)

    return lowering


def _resized(
    b: Builder, x: Tensor, method: str, size: tuple[int, ...], dtype: str, antialias: bool = False
) -> Tensor:
    extra = {"antialias": True} if antialias else {}
    return b.emit(
        "resize",
        (x,),
        method=method,
        size=size,
        channels_last=True,
        label="resize",
        **extra,
        **retyped(dtype, x.dtype),
    )


_KERNELS = {
    "triangle": "bilinear",
    "keyscubic": "bicubic",
    "mitchellcubic": "bicubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def _scaled(b: Builder, call: LayerCall) -> Tree:
    """``ScaleAndTranslate``: TensorFlow's resizing with antialiasing."""
    x, made, kernel = tensor(b, call.args[0]), out(call), str(call.config["kernel_type"])
    if kernel not in _KERNELS:
        return b.opaque(f"resize_{kernel}", (x,), made)[0]
    size, wide = made.shape[1:3], bool(call.config.get("antialias", True))
    return _resized(b, x, _KERNELS[kernel], size, made.dtype, wide)


def _resize_gradient(method: str) -> Lowering:
    """Every element of dy goes, weighted, to those that it was interpolated from."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        dy, made = tensor(b, call.args[0]), out(call)
        fn = "add" if method == "nearest" else "weighted"
        return scatter(b, (dy,), made, fn, "resize_gradient", TAPS[method])

    return lowering


def _sampled(b: Builder, call: LayerCall) -> Tree:
    """``ImageProjectiveTransform``: images read where eight coefficients send each position."""
    x, transform = tensors(b, call)[:2]
    made, method = out(call), str(call.config["interpolation"]).lower()
    at = projected(b, transform, made.shape[1:3])
    return b.emit(
        "resize",
        (x, at),
        label="sample",
        method=method,
        size=made.shape[1:3],
        channels_last=True,
    )


def _crop_and_resize(b: Builder, call: LayerCall) -> Tree:
    """Boxes read from images at interpolated positions: as many taps as a resize."""
    made = out(call)
    read = b.gather(tensors(b, call)[:3], made.shape, made.dtype)
    method = str(call.config.get("method", "bilinear"))
    return _resized(b, read, method, made.shape[1:3], made.dtype)


def _crop_gradient(b: Builder, call: LayerCall) -> Tree:
    xs, made = tensors(b, call), out(call)
    method = str(call.config.get("method", "bilinear"))
    fn = "add" if method == "nearest" else "weighted"
    return scatter(b, (*xs[1:3], xs[0]), made, fn, "crop_gradient", TAPS[method])


def _contrast(b: Builder, call: LayerCall) -> Tree:
    """(x - mean) · factor + mean, the mean over the positions of each channel."""
    x = tensor(b, call.args[0])
    mean = b.reduce("mean", x, (x.rank - 3, x.rank - 2), True)
    return b.binary("add", b.binary("multiply", b.binary("subtract", x, mean), 1.0), mean)


def _hue(b: Builder, call: LayerCall) -> Tree:
    """Colours turned: to HSV, an addition modulo 1 to the hue, and back."""
    hsv = rgb_to_hsv(b, tensor(b, call.args[0]), -1)
    hue = b.binary("mod", b.binary("add", b.take(hsv, -1, 0, 1), 1.0), 1.0)
    return hsv_to_rgb(b, b.concat((hue, b.take(hsv, -1, 1, 3)), -1), -1)


def _saturation(b: Builder, call: LayerCall) -> Tree:
    hsv = rgb_to_hsv(b, tensor(b, call.args[0]), -1)
    more = b.unary("clip", b.binary("multiply", b.take(hsv, -1, 1, 2), 1.0))
    parts = (b.take(hsv, -1, 0, 1), more, b.take(hsv, -1, 2, 3))
    return hsv_to_rgb(b, b.concat(parts, -1), -1)


OPS: Mapping[str, Lowering] = {
    **table(
        "ResizeBilinear=bilinear ResizeNearestNeighbor=nearest ResizeBicubic=bicubic "
        "ResizeArea=area",
        _resize,
    ),
    **table(
        "ResizeBilinearGrad=bilinear ResizeNearestNeighborGrad=nearest ResizeBicubicGrad=bicubic",
        _resize_gradient,
    ),
    "tf:ScaleAndTranslate": _scaled,
    "tf:ScaleAndTranslateGrad": opaque("resize_gradient"),
    "tf:ImageProjectiveTransformV2": _sampled,
    "tf:ImageProjectiveTransformV3": _sampled,
    "tf:CropAndResize": _crop_and_resize,
    "tf:CropAndResizeGradImage": _crop_gradient,
    "tf:CropAndResizeGradBoxes": opaque("crop_gradient"),
    "tf:AdjustContrastv2": _contrast,
    "tf:AdjustHue": _hue,
    "tf:AdjustSaturation": _saturation,
    "tf:RGBToHSV": lambda b, call: rgb_to_hsv(b, tensor(b, call.args[0]), -1),
    "tf:HSVToRGB": lambda b, call: hsv_to_rgb(b, tensor(b, call.args[0]), -1),
    **table("ExtractGlimpse=gather ExtractGlimpseV2=gather", lambda _: looked_up()),
    **table("DrawBoundingBoxes DrawBoundingBoxesV2 ", moved),
    **table(
        "NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 "
        "NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps CombinedNonMaxSuppression",
        opaque,
    ),
}
"""Interpolation is multiplications and additions, never MACs."""
