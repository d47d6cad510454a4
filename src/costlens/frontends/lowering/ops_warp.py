"""``keras.ops.image`` transforms that sample an image at computed coordinates.

Interpolation is a ``resize`` at coordinates: multiplications and additions, never MACs.
"""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.geometry import channels_last, spatial
from costlens.frontends.lowering.ops_arguments import required
from costlens.frontends.lowering.ops_image import batched, blur, like
from costlens.ir.types import TensorType, is_int


def _sample(b: Builder, x: Tensor, at: Tensor, method: str, last: bool) -> Tensor:
    """Images (B, …) read at coordinates (B, H, W, 2)."""
    size = spatial(x.shape, last)
    return b.emit("resize", (x, at), label="sample", method=method, size=size, channels_last=last)


def projected(b: Builder, transform: Tensor, size: tuple[int, ...]) -> Tensor:
    """Where eight coefficients send every position: (ax + by + c) / (gx + hy + 1), twice."""
    n = transform.shape[0]
    grid = b.fill((1, *size, 1, 2), "float32", "grid")
    slopes = b.rearrange("coefficients", transform, (n, 1, 1, 3, 2), "float32")
    offsets = b.rearrange("coefficients", transform, (n, 1, 1, 3), "float32")
    rows = b.reduce("sum", b.binary("multiply", grid, slopes), -1)
    rows = b.binary("add", rows, offsets)
    return b.binary("divide", b.take(rows, -1, 0, 2), b.take(rows, -1, 2, 3))


def _affine_transform(b: Builder, call: LayerCall) -> Tensor:
    """A projective map of 8 coefficients per image, or one for all."""
    x, transform = required(b, call, 0, "images"), required(b, call, 1, "transform")
    last, images = channels_last(call.config), batched(b, x)
    transform = b.reshape(transform, (1, 8)) if transform.rank == 1 else transform
    at = projected(b, transform, spatial(images.shape, last))
    method = call.config.get("interpolation", "bilinear")
    return like(b, _sample(b, images, at, method, last), x)


def _perspective_transform(b: Builder, call: LayerCall) -> Tensor:
    """Four pairs of points give an 8 × 8 system per image, whose solution is the map."""
    x = required(b, call, 0, "images")
    starts, ends = required(b, call, 1, "start_points"), required(b, call, 2, "end_points")
    n = starts.shape[0] if starts.rank == 3 else 1
    left, right = b.reshape(starts, (n, 4, 2, 1)), b.reshape(ends, (n, 4, 1, 2))
    products = b.binary("multiply", left, right, "float32")
    matrix = b.rearrange("system", (products, ends), (n, 8, 8), "float32")
    solved = b.opaque("solve", (matrix, starts), TensorType((n, 8), "float32"))[0]
    last, images = channels_last(call.config), batched(b, x)
    at = projected(b, solved, spatial(images.shape, last))
    method = call.config.get("interpolation", "bilinear")
    return like(b, _sample(b, images, at, method, last), x)


def _elastic_transform(b: Builder, call: LayerCall) -> Tensor:
    """Positions shifted by blurred noise (Simard et al. 2003), at inference too."""
    config, x, last = call.config, call.x, channels_last(call.config)
    images = batched(b, x)
    n, (h, w) = images.shape[0], spatial(images.shape, last)
    taps = 6 * int(config.get("sigma", 5.0)) | 1
    at = []
    for axis in ("x", "y"):
        noise = b.fill((n, h, w, 1) if last else (n, 1, h, w), x.dtype, "random_normal")
        shift = blur(b, b.binary("multiply", noise, 1.0), (taps, taps), last)
        shift = b.binary("multiply", b.reshape(shift, (n, h, w)), 1.0)
        at.append(b.binary("add", shift, b.fill((1, h, w), x.dtype, f"grid_{axis}")))
    coordinates = b.rearrange("stack", at, (n, h, w, 2))
    method = config.get("interpolation", "bilinear")
    return like(b, _sample(b, images, coordinates, method, last), x)


def _map_coordinates(b: Builder, call: LayerCall) -> Tensor:
    """An array of rank r read at coordinates (r, …): one neighbour, or 2ʳ weighted ones."""
    x, at = required(b, call, 0, "inputs"), required(b, call, 1, "coordinates")
    shape, rank = at.shape[1:], x.rank
    if call.config["order"] == 0:
        return b.gather((x, b.unary("round", at)), shape)
    low = b.unary("floor", at)
    upper = b.binary("subtract", at, low)
    lower = b.binary("subtract", 1.0, upper)
    corners = (2**rank, *shape)
    weights = b.rearrange("corners", (lower, upper), corners)
    for _ in range(rank - 1):
        more = b.rearrange("corners", (lower, upper), corners)
        weights = b.binary("multiply", weights, more)
    taps = b.gather((x, low), corners)
    y = b.reduce("sum", b.binary("multiply", weights, taps, weights.dtype), 0)
    return b.cast(b.unary("round", y) if is_int(x.dtype) else y, x.dtype)


_KERNELS = {
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), "bilinear"),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), "bicubic"),
}


def _scale_and_translate(b: Builder, call: LayerCall) -> Tensor:
    """One axis after the other interpolated to its new size; the weights are not counted.

    Keras writes each as a product with a matrix that is nearly all zeros; it is interpolation.
    """
    x, config = required(b, call, 0, "images"), call.config
    size = call.arg(1, "output_shape")
    if not isinstance(size, (list, tuple)) or not all(isinstance(n, int) for n in size):
        raise Unreadable("its output shape is computed by the model")
    method = _KERNELS.get(config["method"], config["method"])
    y = b.cast(x, "float32") if is_int(x.dtype) else x
    for axis in (d % x.rank for d in config["spatial_dims"]):
        before, after = y.shape[:axis], y.shape[axis + 1 :]
        flat = b.reshape(y, (TensorType(before, "bool").size, y.shape[axis], -1))
        flat = b.emit(
            "resize",
            (flat,),
            method=method,
            size=(size[axis],),
            channels_last=True,
            antialias=bool(config.get("antialias", True)),
        )
        y = b.reshape(flat, (*before, size[axis], *after))
    return b.cast(b.unary("clip", b.unary("round", y)), x.dtype) if is_int(x.dtype) else y


OPS: Mapping[str, Lowering] = {
    "op:AffineTransform": _affine_transform,
    "op:ElasticTransform": _elastic_transform,
    "op:MapCoordinates": _map_coordinates,
    "op:PerspectiveTransform": _perspective_transform,
    "op:ScaleAndTranslate": _scale_and_translate,
}
