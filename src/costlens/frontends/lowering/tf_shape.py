"""Traced operations that reduce, reshape, move or look up."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.tf_common import (
    Index,
    axes,
    counted,
    ints,
    out,
    tensor,
    tensors,
)

_REDUCE = {
    "All": "all", "Any": "any", "EuclideanNorm": "sum", "Max": "max", "Mean": "mean",
    "Min": "min", "Prod": "prod", "Sum": "sum",
}  # fmt: skip


def _reduce(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        if isinstance(call.args[0], Index):
            return Index(out(call))
        x = tensor(b, call.args[0])
        over = axes(call, 1, x.rank) if x.rank else ()
        if call.layer.kind == "EuclideanNorm":
            x = b.unary("square", x)
        made = b.reduce(fn, x, over, bool(call.config.get("keep_dims")))
        return b.unary("sqrt", made) if call.layer.kind == "EuclideanNorm" else made

    return lowering


def _arg(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x = tensor(b, call.args[0])
        return b.reduce(fn, x, axes(call, 1, x.rank), dtype=out(call).dtype)

    return lowering


def _reshape(b: Builder, call: LayerCall) -> Tree:
    if isinstance(call.args[0], Index):
        return Index(out(call))
    return b.reshape(tensor(b, call.args[0]), out(call).shape)


def _transpose(b: Builder, call: LayerCall) -> Tree:
    x = tensor(b, call.args[0])
    return b.transpose(x, ints(call, 1))


def _concat(b: Builder, call: LayerCall) -> Tree:
    xs = tensors(b, call)[:-1]
    return b.concat(xs, ints(call, len(xs))[0])


def _pack(b: Builder, call: LayerCall) -> Tree:
    if counted(call.args):
        return Index(out(call))
    made = out(call)
    axis = int(call.config.get("axis") or 0) % len(made.shape)
    xs = [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in tensors(b, call)]
    return b.concat(xs, axis) if len(xs) > 1 else xs[0]


def _parts(b: Builder, call: LayerCall) -> Tree:
    """Split, SplitV, Unpack: a slice for each output."""
    x = tensor(b, call.args[1 if call.layer.kind == "Split" else 0])
    return [b.slice(x, out(call, i).shape, f"part {i}") for i in range(len(call.expected))]


def _slice(b: Builder, call: LayerCall) -> Tree:
    if isinstance(call.args[0], Index):
        return Index(out(call))
    x = tensor(b, call.args[0])
    shape = out(call).shape
    return b.slice(x, shape) if x.type.size != out(call).size else b.reshape(x, shape)


def _gather(table: int) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        xs = tensors(b, call)[:2]
        return b.gather((xs[table], xs[1 - table]), out(call).shape, out(call).dtype)

    return lowering


def _pad(b: Builder, call: LayerCall) -> Tree:
    x, flat = tensor(b, call.args[0]), ints(call, 1)
    padding = tuple(zip(flat[::2], flat[1::2], strict=True))
    return b.pad(x, padding) if any(map(any, padding)) else x


def _broadcast(b: Builder, call: LayerCall) -> Tree:
    x, made = tensor(b, call.args[0]), out(call)
    return x if x.shape == made.shape else b.broadcast(x, made.shape)


def _fill(fn: str) -> Lowering:
    return lambda b, call: b.fill(out(call).shape, out(call).dtype, fn)


def _moved(fn: str) -> Lowering:
    """Data movement that computes nothing."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        return b.rearrange(fn, tensor(b, call.args[0]), out(call).shape, out(call).dtype)

    return lowering


def _like(fn: str) -> Lowering:
    return lambda b, call: b.fill(out(call).shape, out(call).dtype, fn)


OPS: Mapping[str, Lowering] = {
    **{f"tf:{name}": _reduce(fn) for name, fn in _REDUCE.items()},
    "tf:ArgMax": _arg("argmax"),
    "tf:ArgMin": _arg("argmin"),
    **{f"tf:{name}": _reshape for name in ("Reshape", "Squeeze", "ExpandDims")},
    "tf:Transpose": _transpose,
    "tf:ConcatV2": _concat,
    "tf:Pack": _pack,
    **{f"tf:{name}": _parts for name in ("Split", "SplitV", "Unpack")},
    **{f"tf:{name}": _slice for name in ("Slice", "StridedSlice")},
    "tf:GatherV2": _gather(0),
    "tf:Gather": _gather(0),
    "tf:GatherNd": _gather(0),
    "tf:Pad": _pad,
    "tf:PadV2": _pad,
    "tf:MirrorPad": _pad,
    "tf:BroadcastTo": _broadcast,
    "tf:Tile": _broadcast,
    "tf:ZerosLike": _like("zeros"),
    "tf:OnesLike": _like("ones"),
    "tf:Fill": _fill("fill"),
    "tf:Range": _fill("arange"),
    "tf:ReverseV2": _moved("flip"),
    "tf:Roll": _moved("roll"),
    "tf:DepthToSpace": _moved("depth_to_space"),
    "tf:SpaceToDepth": _moved("space_to_depth"),
    "tf:MatrixBandPart": _moved("band"),
    "tf:OneHot": _moved("one_hot"),
}
