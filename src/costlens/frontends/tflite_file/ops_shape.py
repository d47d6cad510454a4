"""Operators of TensorFlow Lite that move data: views, slices, joins, lookups."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
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
from costlens.frontends.opfile.site import Handler, Site
from costlens.frontends.tflite_file.ops_nn import fused
from costlens.ir.types import Shape


def _reshape(site: Site) -> Tensor:
    sizes = site.ints(1) if site.has(1) else site.attr("new_shape")
    return reshaped(site, site.x(), sizes)


def _squeeze(site: Site) -> Tensor:
    x = site.x()
    gone = axes_of(site.attr("dims"), x.rank) or tuple(i for i, n in enumerate(x.shape) if n == 1)
    return site.b.reshape(x, without(x.shape, gone))


def _expand_dims(site: Site) -> Tensor:
    x = site.x()
    return site.b.reshape(x, with_ones(x.shape, site.ints(1)))


def _transpose(site: Site) -> Tensor:
    return site.b.transpose(site.x(), site.ints(1))


def _concatenation(site: Site) -> Tensor:
    xs = site.xs()
    axis = axes_of((int(site.attr("axis")),), xs[0].rank)[0]
    return fused(site, site.b.emit("concat", xs, axis=axis, dtype=site.dtype()))


def _pack(site: Site) -> Tensor:
    xs, axis = site.xs(), int(site.attr("axis"))
    views = [site.b.reshape(x, with_ones(x.shape, (axis,))) for x in xs]
    return site.b.concat(views, axis)


def _unpack(site: Site) -> list[Tensor]:
    x, axis = site.x(), axes_of((int(site.attr("axis")),), site.type().rank)[0]
    if len(site.op.outputs) != x.shape[axis]:
        raise ValueError(f"{len(site.op.outputs)} parts of an axis of {x.shape[axis]}")
    parts = split(site, x, (1,) * x.shape[axis], axis)
    return [site.b.reshape(part, without(part.shape, (axis,))) for part in parts]


def _split(site: Site) -> list[Tensor]:
    """Equal parts; the axis comes first."""
    x, (axis,) = site.x(1), site.ints(0)
    count = len(site.op.outputs)
    size = x.shape[axes_of((axis,), x.rank)[0]] // max(count, 1)
    return split(site, x, (size,) * count, axis)


def _split_v(site: Site) -> list[Tensor]:
    x, sizes, (axis,) = site.x(), list(site.ints(1)), site.ints(2)
    if -1 in sizes:
        rest = x.shape[axes_of((axis,), x.rank)[0]] - sum(n for n in sizes if n >= 0)
        sizes[sizes.index(-1)] = rest
    return split(site, x, sizes, axis)


def _pad(site: Site) -> Tensor:
    x, pads = site.x(), site.ints(1)
    pairs = list(zip(pads[::2], pads[1::2], strict=True))
    return site.b.pad(x, pairs, "reflect" if site.op.kind == "MIRROR_PAD" else "constant")


def _slice(site: Site) -> Tensor:
    """A part that begins at a place, known or not, of a known size; -1 is the rest."""
    x, size = site.x(), site.ints(2)
    begin = site.known(1)
    starts = site.ints(1) if begin is not None else (0,) * x.rank
    if begin is None and -1 in size:
        raise Unreadable("where it begins is computed at run time")
    shape = [n - at if s == -1 else s for n, at, s in zip(x.shape, starts, size, strict=True)]
    if any(not 0 <= at <= at + s <= n for n, at, s in zip(x.shape, starts, shape, strict=True)):
        raise ValueError(f"{list(shape)} from {list(starts)} of {x.type}")
    return site.b.slice(x, shape, f"from {list(starts)}" if begin is not None else "computed")


def strided_shape(site: Site, shape: Shape) -> tuple[Shape, Shape]:
    """The shape of a strided slice, with the axes that it makes, and without those it drops."""
    masks = {name: int(site.attr(name, 0)) for name in ("begin", "end", "ellipsis", "new_axis")}
    shrink, offset = int(site.attr("shrink", 0)), bool(site.attr("offset"))
    begin, end, steps = site.known(1), site.known(2), site.ints(3)
    count = len(steps)
    rest = len(shape) - count + sum(masks["new_axis"] >> i & 1 for i in range(count))
    cuts: list[int] = []
    views: list[int] = []
    axis = 0
    for i in range(count):
        if masks["ellipsis"] >> i & 1:
            for n in shape[axis : axis + rest + 1]:
                cuts.append(n)
                views.append(n)
            axis += rest + 1
            continue
        if masks["new_axis"] >> i & 1:
            views.append(1)
            continue
        if shrink >> i & 1:
            cuts.append(1)
            axis += 1
            continue
        first = None if masks["begin"] >> i & 1 else _bound(begin, i)
        last = None if masks["end"] >> i & 1 else _bound(end, i)
        if offset and first is not None and last is not None:
            last += first
        cuts.append(cut(shape[axis], first, last, steps[i]))
        views.append(cuts[-1])
        axis += 1
    return (*cuts, *shape[axis:]), (*views, *shape[axis:])


def _bound(known: object, at: int) -> int:
    if known is None:
        raise Unreadable("where it begins or ends is computed at run time")
    return int(known[at])  # type: ignore[index]


def _strided_slice(site: Site) -> Tensor:
    x = site.x()
    cuts, view = strided_shape(site, x.shape)
    y = x if cuts == x.shape else site.b.slice(x, cuts, "strided")
    return site.b.reshape(y, view)


def _gather(site: Site) -> Tensor:
    """A constant table is an embedding."""
    return gathered(
        site, site.x(), site.x(1), int(site.attr("axis")), int(site.attr("batch_dims", 0))
    )


def _embedding_lookup(site: Site) -> Tensor:
    return gathered(site, site.param(1, "embeddings"), site.x(), 0)


def _gather_nd(site: Site) -> Tensor:
    x, indices = site.x(), site.x(1)
    return site.b.gather(
        (x, indices), (*indices.shape[:-1], *x.shape[indices.shape[-1] :]), x.dtype
    )


def _scatter_nd(site: Site) -> Tensor:
    """Updates added into zeros of a known shape."""
    indices, updates = site.x(), site.x(1)
    return site.b.emit(
        "scatter", (indices, updates), shape=site.ints(2), fn="add", dtype=updates.dtype
    )


def _tile(site: Site) -> Tensor:
    x, times = site.x(), site.ints(1)
    return site.b.broadcast(x, [n * t for n, t in zip(x.shape, times, strict=True)])


def _broadcast_to(site: Site) -> Tensor:
    return expanded(site, site.x(), site.ints(1))


def _cast(site: Site) -> Tensor:
    return site.b.cast(site.x(), site.dtype())


def _fill(site: Site) -> Tensor:
    dtype = site.dtype() if site.op.kind == "ZEROS_LIKE" else site.type(1).dtype
    shape = site.type().shape if site.op.kind == "ZEROS_LIKE" else site.ints(0)
    return site.b.fill(shape, dtype)


def _random(site: Site) -> Tensor:
    return site.b.fill(site.ints(0), site.dtype(), "random")


def _range(site: Site) -> Tensor:
    start, limit, delta = (site.ints(at)[0] for at in range(3))
    return site.b.fill((len(range(start, limit, delta)),), site.dtype(), "range")


def _one_hot(site: Site) -> Tensor:
    return one_hot(site, site.x(), site.ints(1)[0], int(site.attr("axis", -1)))


def _rearranged(fn: str) -> Handler:
    """The same shape in another order."""
    return lambda site: site.b.rearrange(fn, site.x(), site.type().shape)


def _update_slice(site: Site) -> Tensor:
    """A part of the first operand is replaced by the second."""
    x = site.x()
    return site.b.emit("scatter", (x, site.x(1)), shape=x.shape, fn="set")


HANDLERS: Mapping[str, Handler] = {
    "ASSIGN_VARIABLE": lambda site: (),
    "BROADCAST_TO": _broadcast_to,
    "CAST": _cast,
    "CONCATENATION": _concatenation,
    "DYNAMIC_UPDATE_SLICE": _update_slice,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "MIRROR_PAD": _pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RANDOM_STANDARD_NORMAL": _random,
    "RANDOM_UNIFORM": _random,
    "RANGE": _range,
    "RESHAPE": _reshape,
    "REVERSE_SEQUENCE": _rearranged("reverse_sequence"),
    "REVERSE_V2": _rearranged("flip"),
    "SCATTER_ND": _scatter_nd,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
    "ZEROS_LIKE": _fill,
}
"""Handlers by the operator's name in the schema."""
