"""Operators of ONNX that move data: views, slices, joins, lookups, resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, prod
from typing import Any

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.onnx_file.tensors import dtype_name
from costlens.frontends.opfile.model import FileTensor
from costlens.frontends.opfile.parts import (
    axes_of,
    cut,
    expanded,
    gathered,
    one_hot,
    reshaped,
    split,
    with_ones,
    without,
)
from costlens.frontends.opfile.site import Handler, Made, Site

# -- views -----------------------------------------------------------------------------------


def setting(site: Site, at: int, name: str) -> tuple[int, ...] | None:
    """Whole numbers that are an operand in new opsets and an attribute in old ones."""
    if site.has(at):
        return site.ints(at)
    given = site.attr(name)
    return None if given is None else tuple(int(n) for n in given)


def _reshape(site: Site) -> Tensor:
    sizes = setting(site, 1, "shape") or ()
    return reshaped(site, site.x(), sizes, not site.attr("allowzero", 0))


def _flatten(site: Site) -> Tensor:
    x = site.x()
    axis = int(site.attr("axis", 1))
    axis = axis + x.rank if axis < 0 else axis
    return site.b.reshape(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def squeezed(site: Site, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that a Squeeze drops."""
    axes = setting(site, 1, "axes")
    if axes is None:
        return tuple(at for at, n in enumerate(shape) if n == 1)
    return axes_of(axes, len(shape))


def _squeeze(site: Site) -> Tensor:
    x = site.x()
    return site.b.reshape(x, without(x.shape, squeezed(site, x.shape)))


def _unsqueeze(site: Site) -> Tensor:
    x = site.x()
    return site.b.reshape(x, with_ones(x.shape, setting(site, 1, "axes") or ()))


def _transpose(site: Site) -> Tensor:
    x = site.x()
    return site.b.transpose(x, site.attr("perm") or range(x.rank)[::-1])


def _cast(site: Site) -> Tensor:
    return site.b.cast(site.x(), dtype_name(int(site.attr("to", 0))))


def _cast_like(site: Site) -> Tensor:
    return site.b.cast(site.x(), site.type(1).dtype)


def _identity(site: Site) -> Tensor:
    return site.b.identity(site.x())


def _dropout(site: Site) -> Made:
    """Off at inference; its mask is all true."""
    x = site.b.identity(site.x())
    return (x, site.b.fill(x.shape, "bool")) if len(site.op.outputs) > 1 else x


# -- joins and cuts --------------------------------------------------------------------------


def _concat(site: Site) -> Tensor:
    xs = site.xs()
    return site.b.concat(xs, axes_of((int(site.attr("axis", 1)),), xs[0].rank)[0])


def _split(site: Site) -> Sequence[Tensor]:
    """Given sizes, or equal parts of which the last may be smaller."""
    x, axis = site.x(), int(site.attr("axis", 0))
    size = x.shape[axes_of((axis,), x.rank)[0]]
    sizes = setting(site, 1, "split")
    if sizes is None:
        count = int(site.attr("num_outputs", 0)) or len(site.op.outputs)
        if not 0 < count <= len(site.op.outputs):
            raise ValueError(f"{count} parts in {len(site.op.outputs)} outputs")
        each = -(-size // count)
        sizes = tuple([max(0, min(each, size - each * at)) for at in range(count)])
    return split(site, x, sizes, axis)


def sliced(site: Site, shape: tuple[int, ...]) -> list[slice]:
    """A slice per axis, its ends inside the axis."""
    starts, ends = setting(site, 1, "starts"), setting(site, 2, "ends")
    if starts is None or ends is None:
        raise ValueError("it has no starts or ends")
    axes = setting(site, 3, "axes")
    axes = tuple(range(len(starts))) if axes is None else axes_of(axes, len(shape))
    steps = setting(site, 4, "steps") or (1,) * len(starts)
    found = [slice(None)] * len(shape)
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        low = -shape[axis] - 1
        end = None if step < 0 and last <= low + 0 and last < -shape[axis] else last
        found[axis] = slice(first, end, step)
    return found


def _slice(site: Site) -> Tensor:
    x = site.x()
    parts = sliced(site, x.shape)
    shape = [
        cut(n, part.start, part.stop, 1 if part.step is None else part.step)
        for n, part in zip(x.shape, parts, strict=True)
    ]
    return site.b.slice(x, shape, "slice")


def _pad(site: Site) -> Tensor:
    x, pads = site.x(), setting(site, 1, "pads") or ()
    axes = axes_of(site.ints(3), x.rank) if site.has(3) else tuple(range(x.rank))
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} pads for {len(axes)} axes")
    pairs = [(0, 0)] * x.rank
    for at, axis in enumerate(axes):
        pairs[axis] = pads[at], pads[at + len(axes)]
    return site.b.pad(x, pairs, str(site.attr("mode", "constant")))


# -- lookups ---------------------------------------------------------------------------------


def _gather(site: Site) -> Tensor:
    """A constant table is an embedding."""
    return gathered(site, site.x(), site.x(1), int(site.attr("axis", 0)))


def _gather_elements(site: Site) -> Tensor:
    x, indices = site.x(), site.x(1)
    return site.b.gather((x, indices), indices.shape, x.dtype)


def _gather_nd(site: Site) -> Tensor:
    x, indices, batch = site.x(), site.x(1), int(site.attr("batch_dims", 0))
    shape = (*indices.shape[:-1], *x.shape[batch + indices.shape[-1] :])
    return site.b.gather((x, indices), shape, x.dtype)


_REDUCTIONS = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}


def _scatter(site: Site) -> Tensor:
    x = site.x()
    fn = _REDUCTIONS[str(site.attr("reduction", "none"))]
    return site.b.emit("scatter", (x, site.x(1), site.x(2)), shape=x.shape, fn=fn)


def _one_hot(site: Site) -> Tensor:
    made = one_hot(site, site.x(), site.ints(1)[0], int(site.attr("axis", -1)))
    return site.b.cast(made, site.type(2).dtype)


# -- filling ---------------------------------------------------------------------------------


def _expand(site: Site) -> Tensor:
    return expanded(site, site.x(), site.ints(1))


def _tile(site: Site) -> Tensor:
    x, times = site.x(), site.ints(1)
    return site.b.broadcast(x, [n * t for n, t in zip(x.shape, times, strict=True)])


def _constant_of_shape(site: Site) -> Tensor:
    value = site.attr("value")
    dtype = value.dtype if isinstance(value, FileTensor) else "float32"
    return site.b.fill(site.ints(0), dtype)


def _range(site: Site) -> Tensor:
    """Of a known length."""
    values = [site.known(at) for at in range(3)]
    if any(value is None for value in values):
        raise Unreadable("its length is computed at run time")
    start, limit, delta = (float(v.reshape(-1)[0]) for v in values if v is not None)
    count = max(0, -int(-(limit - start) // delta)) if delta else 0
    return site.b.fill((count,), site.type().dtype, "range")


def _random(like: bool) -> Handler:
    def handler(site: Site) -> Tensor:
        shape = site.type().shape if like else tuple(int(n) for n in site.attr("shape") or ())
        number = int(site.attr("dtype", 0))
        dtype = dtype_name(number) if number else site.type().dtype if like else "float32"
        return site.b.fill(shape, dtype, "random")

    return handler


def _rearranged(fn: str) -> Handler:
    """The same shape in another order, or with a part set to 0."""
    return lambda site: site.b.rearrange(fn, site.x(), site.type().shape)


def _blocks(to: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x, size = site.x(), int(site.attr("blocksize", 0))
        n, c, h, w = x.shape
        if size < 1:
            raise ValueError(f"blocks of {size}")
        if to == "depth":
            shape = (n, c * size * size, h // size, w // size)
        else:
            shape = (n, c // (size * size), h * size, w * size)
        if prod(shape) != x.type.size:
            raise ValueError(f"{x.type} in blocks of {size}")
        return site.b.rearrange(f"to_{to}", x, shape)

    return handler


# -- resizing --------------------------------------------------------------------------------

_METHODS = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}


def _resize(site: Site) -> Tensor:
    """Sizes, or scales that are rounded down; operands 2 and 3, or 1 in old opsets."""
    x = site.x()
    old = len(site.values) <= 2
    sizes = _resized(site, x, 1 if old else 2, 99 if old else 3)
    method = _METHODS[str(site.attr("mode", "nearest"))]
    if x.rank < 3 or sizes[:2] != x.shape[:2]:
        if method != "nearest" and sizes != x.shape:
            raise Unreadable("it interpolates over other axes than the last ones")
        return site.b.rearrange("resize", x, sizes)
    wider: dict[str, Any] = {"antialias": True} if site.attr("antialias", 0) else {}
    return site.b.emit(
        "resize",
        (x,),
        method=method,
        size=sizes[2:],
        channels_last=False,
        **wider,
    )


def _resized(site: Site, x: Tensor, scales_at: int, sizes_at: int) -> tuple[int, ...]:
    axes = axes_of(site.attr("axes") or range(x.rank), x.rank)
    found = list(x.shape)
    if site.has(sizes_at) and site.type(sizes_at).size:
        if site.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Unreadable("it keeps the aspect ratio")
        given = site.ints(sizes_at)
        for axis, size in zip(axes, given, strict=True):
            found[axis] = size
        return tuple(found)
    scales = site.attr("scales")
    if scales is None:
        known = site.known(scales_at)
        if known is None:
            raise Unreadable("its scales are computed at run time")
        scales = [float(n) for n in known.reshape(-1)]
    for axis, scale in zip(axes, scales, strict=True):
        found[axis] = floor(x.shape[axis] * scale)
    return tuple(found)


HANDLERS: Mapping[str, Handler] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _blocks("space"),
    "Dropout": _dropout,
    "Expand": _expand,
    "EyeLike": _random(True),
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _identity,
    "OneHot": _one_hot,
    "Pad": _pad,
    "RandomNormal": _random(False),
    "RandomNormalLike": _random(True),
    "RandomUniform": _random(False),
    "RandomUniformLike": _random(True),
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _resize,
    "ReverseSequence": _rearranged("reverse_sequence"),
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Slice": _slice,
    "SpaceToDepth": _blocks("depth"),
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _rearranged("band"),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
"""Handlers by the operator's name."""
