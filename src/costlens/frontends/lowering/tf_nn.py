"""Traced operations of neural networks: pooling, normalisation, softmax, resizing."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import spatial
from costlens.frontends.lowering.tf_common import out, tensor, tensors
from costlens.frontends.lowering.tf_contract import is_last, pairs, window


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, last = tensor(b, call.args[0]), is_last(call)
        rank = x.rank - 2
        size = window(call, "ksize", rank, last)
        strides = window(call, "strides", rank, last)
        padding = pairs(call, spatial(x.shape, last), size, strides, (1,) * rank, last)
        return b.emit(
            "pool",
            (x,),
            label=f"{fn}_pool",
            fn=fn,
            window=size,
            strides=strides,
            padding=padding,
            channels_last=last,
        )

    return lowering


def _batch_norm(b: Builder, call: LayerCall) -> Tree:
    """``FusedBatchNorm`` at inference; the statistics that it gives besides are its operands."""
    x, *statistics = tensors(b, call)
    axis = x.rank - 1 if is_last(call) else 1
    y = b.emit("batch_norm", (x, *statistics[:4]), axis=axis)
    return [y, *statistics[2:4], *statistics[2:4], statistics[3]][: len(call.expected)]


def _softmax(fn: str) -> Lowering:
    return lambda b, call: b.softmax(tensor(b, call.args[0]), -1, fn)


def _resize(method: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, made = tensor(b, call.args[0]), out(call)
        size = made.shape[1:3]
        extra = {} if made.dtype == x.dtype else {"dtype": made.dtype}
        return b.emit(
            "resize", (x,), method=method, size=size, channels_last=True, label="resize", **extra
        )

    return lowering


OPS: Mapping[str, Lowering] = {
    "tf:MaxPool": _pool("max"),
    "tf:MaxPool3D": _pool("max"),
    "tf:AvgPool": _pool("average"),
    "tf:AvgPool3D": _pool("average"),
    "tf:FusedBatchNormV3": _batch_norm,
    "tf:Softmax": _softmax("softmax"),
    "tf:LogSoftmax": _softmax("log_softmax"),
    "tf:ResizeBilinear": _resize("bilinear"),
    "tf:ResizeNearestNeighbor": _resize("nearest"),
    "tf:ResizeBicubic": _resize("bicubic"),
    "tf:ResizeArea": _resize("area"),
}
