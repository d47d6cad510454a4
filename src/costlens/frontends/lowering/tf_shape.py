"""Traced operations that reduce, reshape, or move."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Known, LayerCall, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.tf_common import (
    Index,
    Spread,
    axes,
    counted,
    dtype_of,
    filled,
    ints,
    moved,
    opaque,
    out,
    retyped,
    table,
)
from costlens.frontends.lowering.tf_dilated import reshaped, thinned
from costlens.frontends.lowering.tf_fold import shapes
from costlens.ir.types import TensorType, promote

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
        if not over:
            return x
        if call.layer.kind == "EuclideanNorm":
            x = b.unary("square", x)
        made = b.reduce(fn, x, over, bool(call.config.get("keep_dims")))
        return b.unary("sqrt", made) if call.layer.kind == "EuclideanNorm" else made

    return lowering


def _arg(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x = tensor(b, call.args[0])
        return b.reduce(fn, x, axes(call, 1, x.rank), dtype=dtype_of(call))

    return lowering


def _reshape(b: Builder, call: LayerCall) -> Tree:
    x = call.args[0]
    if isinstance(x, Index):
        return Index(out(call))
    if isinstance(x, Spread):
        turned = reshaped(b, x, call)
        if turned is not None:
            return turned
    shape = _wanted(call, 1) if call.layer.kind == "Reshape" else out(call).shape
    return b.reshape(tensor(b, x), shape)


def _wanted(call: LayerCall, position: int) -> tuple[int, ...]:
    """The shape that comes out, else the one that an operand asks for."""
    shape = call.expected[0][0]
    return ints(call, position) if None in shape else out(call).shape


def _transpose(b: Builder, call: LayerCall) -> Tree:
    x = tensor(b, call.args[0])
    return b.transpose(x, ints(call, 1))


def _concat(b: Builder, call: LayerCall) -> Tree:
    """The axis is the last operand, the first (``Concat``), or 0 (``ParallelConcat``)."""
    at = {"ConcatV2": -1, "Concat": 0}.get(call.layer.kind)
    rest = list(call.args)
    axis = 0 if at is None else ints(call, at % len(rest))[0]
    if at is not None:
        del rest[at]
    if counted(rest):
        return Index(out(call))
    made, xs = out(call), [tensor(b, x) for x in rest]
    return b.emit(
        "concat", xs, axis=axis % xs[0].rank, **retyped(made.dtype, promote(x.dtype for x in xs))
    )


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
    whole = thinned(b, x, call) if call.layer.kind == "StridedSlice" else None
    if whole is not None:
        return whole
    shape = out(call).shape
    return b.slice(x, shape) if x.type.size != out(call).size else b.reshape(x, shape)


def _pad(b: Builder, call: LayerCall) -> Tree:
    x, flat = tensor(b, call.args[0]), ints(call, 1)
    padding = tuple(zip(flat[::2], flat[1::2], strict=True))
    mode = str(call.config.get("mode", "constant")).lower()
    return b.pad(x, padding, mode) if any(map(any, padding)) else x


def _broadcast(b: Builder, call: LayerCall) -> Tree:
    x, tiles = tensor(b, call.args[0]), call.layer.kind == "Tile"
    shape = _wanted(call, 1)
    if tiles and None in call.expected[0][0]:
        shape = tuple(n * m for n, m in zip(x.shape, shape, strict=True))
    return x if x.shape == shape else b.broadcast(x, shape)


def _band(b: Builder, call: LayerCall) -> Tree:
    x = tensor(b, call.args[0])
    return b.rearrange("band", x, x.shape)


def _one_hot(b: Builder, call: LayerCall) -> Tree:
    index, made = call.args[0], out(call)
    xs = [] if isinstance(index, Known) else [tensor(b, index)]
    return b.emit("fill", xs, shape=made.shape, dtype=made.dtype, fn="one_hot")


def _cumulative(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        if isinstance(call.args[0], Index):
            return Index(out(call))
        x = tensor(b, call.args[0])
        return b.emit("cumulative", (x,), fn=fn, axis=axes(call, 1, x.rank)[0])

    return lowering


def _sizes(b: Builder, call: LayerCall) -> Tree:
    """A shape; where it is not known while reading it is index arithmetic."""
    found = shapes(b, call) if call.layer.kind != "ConcatOffset" else None
    return found or [
        Index(TensorType(tuple(n or 0 for n in s), dtype)) for s, dtype in call.expected
    ]


def _reversed_axes(b: Builder, call: LayerCall) -> Tree:
    """``ConjugateTranspose``: the sign flip of imaginary parts is free."""
    return b.transpose(tensor(b, call.args[0]), ints(call, 1))


OPS: Mapping[str, Lowering] = {
    **{f"tf:{name}": _reduce(fn) for name, fn in _REDUCE.items()},
    "tf:ArgMax": _arg("argmax"),
    "tf:ArgMin": _arg("argmin"),
    **{f"tf:{name}": _reshape for name in ("Reshape", "Squeeze", "ExpandDims")},
    "tf:Transpose": _transpose,
    "tf:ConjugateTranspose": _reversed_axes,
    "tf:Concat": _concat,
    "tf:ConcatV2": _concat,
    "tf:ParallelConcat": _concat,
    "tf:Pack": _pack,
    **{f"tf:{name}": _parts for name in ("Split", "SplitV", "Unpack")},
    **{f"tf:{name}": _slice for name in ("Slice", "StridedSlice")},
    "tf:Pad": _pad,
    "tf:PadV2": _pad,
    "tf:MirrorPad": _pad,
    "tf:BroadcastTo": _broadcast,
    "tf:Tile": _broadcast,
    "tf:Cumprod": _cumulative("cumprod"),
    "tf:Cumsum": _cumulative("cumsum"),
    "tf:CumulativeLogsumexp": opaque("cumulative_logsumexp"),
    **{f"tf:{name}": _sizes for name in ("Shape", "ShapeN", "Size", "Rank", "ConcatOffset")},
    "tf:MatrixBandPart": _band,
    "tf:OneHot": _one_hot,
    **table(
        "ZerosLike=zeros OnesLike=ones Fill Range=arange LinSpace=linspace Empty=empty", filled
    ),
    **table(
        "ReverseV2=flip Reverse=flip ReverseSequence=flip Roll DepthToSpace SpaceToDepth "
        "MatrixDiag=diag MatrixDiagV2=diag MatrixDiagV3=diag MatrixDiagPart=diagonal "
        "MatrixDiagPartV2=diagonal MatrixDiagPartV3=diagonal MatrixSetDiag=set_diagonal "
        "MatrixSetDiagV2=set_diagonal MatrixSetDiagV3=set_diagonal Diag DiagPart=diagonal "
        "ExtractImagePatches=patches ExtractVolumePatches=patches InvertPermutation "
        "RandomShuffle=shuffle StatelessShuffle=shuffle DataFormatVecPermute DataFormatDimMap "
        "TensorStridedSliceUpdate=slice_update",
        moved,
    ),
}
