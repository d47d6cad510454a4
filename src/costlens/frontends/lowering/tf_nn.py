"""Traced operations of neural networks: pooling, normalisation, softmax, losses, quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import spatial
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.ops_math import fake_quantised
from costlens.frontends.lowering.tf_common import ints, opaque, out, outs, table
from costlens.frontends.lowering.tf_contract import is_last, pairs
from costlens.frontends.lowering.tf_index import scatter
from costlens.ir.types import TensorType

# -- pooling --------------------------------------------------------------------------------


def pooling(call: LayerCall, shape: tuple[int, ...], fn: str) -> dict[str, Any]:
    """The attributes of a pool over an input of this shape; ``V2`` operations have operands."""
    last, rank = is_last(call), len(shape) - 2

    def own(name: str, position: int) -> tuple[int, ...]:
        given = call.config.get(name)
        every = tuple(map(int, given)) if given else ints(call, position)
        return every[1:-1] if last else every[2:]

    size = own("ksize", len(call.args) - 2)
    strides = own("strides", len(call.args) - 1)
    padding = pairs(call, spatial(shape, last), size, strides, (1,) * rank, last)
    return {
        "fn": fn,
        "window": size,
        "strides": strides,
        "padding": padding,
        "channels_last": last,
    }


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x = tensor(b, call.args[0])
        y = b.emit("pool", (x,), label=f"{fn}_pool", **pooling(call, x.shape, fn))
        rest = [b.rearrange("argmax", y, made.shape, made.dtype) for made in outs(call)[1:]]
        return [y, *rest]

    return lowering


# -- normalisation --------------------------------------------------------------------------


def _batch_norm(b: Builder, call: LayerCall) -> Tree:
    """``FusedBatchNorm``: by stored statistics, or in training by the batch's own.

    The statistics that it gives besides are operands at inference and a by-product in training.
    """
    x, *statistics = tensors(b, call)
    axis = x.rank - 1 if is_last(call) else 1
    if call.config.get("is_training", True):
        axes = tuple(a for a in range(x.rank) if a != axis)
        norm = {"fn": "layer", "axes": axes, "scale": True, "center": True}
        y = b.emit("norm", (x, *statistics[:2]), label="batch_norm", **norm)
        return [y, *_by_products(b, call, 1)]
    y = b.emit("batch_norm", (x, *statistics[:4]), axis=axis)
    rest = [*statistics[2:4], *statistics[2:4], statistics[3]]
    return [y, *rest][: len(call.expected)]


def _by_products(b: Builder, call: LayerCall, first: int) -> list[Tensor]:
    """Statistics that come out besides, and a scratch space whose size TensorFlow leaves open."""
    types = [TensorType(tuple(n or 0 for n in shape), d) for shape, d in call.expected[first:]]
    return [b.fill(t.shape, t.dtype, "batch_statistics") for t in types]


def _local_response(b: Builder, call: LayerCall) -> Tree:
    """x / (bias + α Σ x²)^β, the sum over neighbouring channels (Krizhevsky et al. 2012)."""
    x, radius = tensor(b, call.args[0]), int(call.config["depth_radius"])
    line = b.reshape(b.unary("square", x), (x.type.size // x.shape[-1], x.shape[-1], 1))
    sums = b.emit(
        "pool",
        (line,),
        label="neighbours",
        fn="average",
        window=(2 * radius + 1,),
        strides=(1,),
        padding=((radius, radius),),
        channels_last=True,
    )
    scale = b.binary("add", b.binary("multiply", b.reshape(sums, x.shape), 1.0), 1.0)
    return b.binary("multiply", x, b.binary("power", scale, -0.5))


def _halved_squares(b: Builder, call: LayerCall) -> Tree:
    """``L2Loss``: Σ x² / 2."""
    x = tensor(b, call.args[0])
    return b.binary("multiply", b.reduce("sum", b.unary("square", x)), 0.5)


# -- softmax and losses ---------------------------------------------------------------------


def _softmax(fn: str) -> Lowering:
    return lambda b, call: b.softmax(tensor(b, call.args[0]), -1, fn)


def _cross_entropy(b: Builder, call: LayerCall) -> Tree:
    """-Σ t·log softmax(x) of every row, and its gradient softmax(x) - t."""
    x, labels = tensors(b, call)
    logs = b.softmax(x, -1, "log_softmax")
    loss = b.unary("negative", b.reduce("sum", b.binary("multiply", labels, logs), -1))
    return [loss, b.binary("subtract", b.unary("exp", logs), labels, out(call, 1).dtype)]


def _sparse_cross_entropy(b: Builder, call: LayerCall) -> Tree:
    """-log softmax(x) of the target class, and its gradient: 1 less at the target."""
    x, target = tensors(b, call)
    logs = b.softmax(x, -1, "log_softmax")
    loss = b.unary("negative", b.gather((logs, target), target.shape))
    gradient = scatter(b, (b.unary("exp", logs), target), out(call, 1), "add", "loss_gradient")
    return [loss, gradient]


# -- quantisation ---------------------------------------------------------------------------


def _quantised(b: Builder, call: LayerCall) -> Tree:
    return fake_quantised(b, tensor(b, call.args[0]))


def _quantised_gradient(b: Builder, call: LayerCall) -> Tree:
    """dy where the operand is in range; the sums outside are the gradients of the limits."""
    dy, x = tensors(b, call)[:2]
    inside = b.binary("relu6_grad", dy, x)
    sums = []
    for made in outs(call)[1:]:
        beyond = b.emit("select", (b.compare("less", x, 0.0), dy), dtype=dy.dtype)
        axes = tuple(range(dy.rank - len(made.shape)))
        sums.append(b.reduce("sum", beyond, axes))
    return [inside, *sums]


OPS: Mapping[str, Lowering] = {
    **table("MaxPool=max MaxPoolV2=max MaxPool3D=max MaxPoolWithArgmax=max", _pool),
    **table("AvgPool=average AvgPool3D=average", _pool),
    **table("FractionalMaxPool FractionalAvgPool Dilation2D", opaque),
    **dict.fromkeys(
        ("tf:FusedBatchNorm", "tf:FusedBatchNormV2", "tf:FusedBatchNormV3"), _batch_norm
    ),
    "tf:LRN": _local_response,
    "tf:L2Loss": _halved_squares,
    "tf:Softmax": _softmax("softmax"),
    "tf:LogSoftmax": _softmax("log_softmax"),
    "tf:SoftmaxCrossEntropyWithLogits": _cross_entropy,
    "tf:SparseSoftmaxCrossEntropyWithLogits": _sparse_cross_entropy,
    **table(
        "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel "
        "QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 "
        "QuantizeAndDequantizeV4",
        lambda _: _quantised,
    ),
    **table(
        "FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVarsGradient "
        "FakeQuantWithMinMaxVarsPerChannelGradient QuantizeAndDequantizeV4Grad",
        lambda _: _quantised_gradient,
    ),
}
