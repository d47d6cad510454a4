"""Traced gradients that are no contraction: of elementwise functions, pools, norms, slices."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.tf_common import Listed, dtype_of, ints, opaque, out, outs, table
from costlens.frontends.lowering.tf_contract import is_last
from costlens.frontends.lowering.tf_fold import known
from costlens.frontends.lowering.tf_index import scatter
from costlens.frontends.lowering.tf_nn import pooling

_OF_OPERANDS = {
    "EluGrad": "elu", "LeakyReluGrad": "leaky_relu", "Relu6Grad": "relu6", "ReluGrad": "relu",
    "SeluGrad": "selu", "SoftplusGrad": "softplus", "SoftsignGrad": "softsign",
}  # fmt: skip
"""Gradients by function: dy comes first, then the function's operand or result."""

_OF_RESULTS = {
    "InvGrad": "reciprocal", "ReciprocalGrad": "reciprocal", "RsqrtGrad": "rsqrt",
    "SigmoidGrad": "sigmoid", "SqrtGrad": "sqrt", "TanhGrad": "tanh",
}  # fmt: skip
"""Gradients by function: its result comes first, then dy."""


def _elementwise(fn: str, first: int) -> Lowering:
    """dy, at this position, times the derivative."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        dy, y = tensor(b, call.args[first]), tensor(b, call.args[1 - first])
        return b.binary(f"{fn}_grad", dy, y, dtype_of(call))

    return lowering


def _bias(b: Builder, call: LayerCall) -> Tree:
    dy = tensor(b, call.args[0])
    axis = dy.rank - 1 if is_last(call) else 1
    return b.reduce("sum", dy, tuple(a for a in range(dy.rank) if a != axis))


# -- pools ----------------------------------------------------------------------------------


def _max_pool(b: Builder, call: LayerCall) -> Tree:
    """The maximum of every window is found again, and its gradient added to that element."""
    x, _, dy = (tensor(b, leaf) for leaf in call.args[:3])
    found = b.emit("pool", (x,), label="argmax", **pooling(call, x.shape, "max"))
    return scatter(b, (found, dy), out(call), "add", "max_pool_gradient")


def _max_pool_at(b: Builder, call: LayerCall) -> Tree:
    """``MaxPoolGradWithArgmax``: the places are known."""
    _, dy, places = tensors(b, call)
    return scatter(b, (places, dy), out(call), "add", "max_pool_gradient")


def _average_pool(b: Builder, call: LayerCall) -> Tree:
    """dy, divided by the window, is added to each of its elements."""
    dy, made = tensor(b, call.args[1]), out(call)
    window = prod(pooling(call, made.shape, "average")["window"])
    share = b.binary("divide", dy, float(window), dy.dtype)
    return scatter(b, (share,), made, "add", "average_pool_gradient", window)


# -- normalisation --------------------------------------------------------------------------


def _batch_norm(b: Builder, call: LayerCall) -> Tree:
    """dγ = Σ dy·x̂, dβ = Σ dy, dx = γ/σ (dy - dβ/m - x̂·dγ/m) (Ioffe & Szegedy 2015).

    With stored statistics dx is dy·γ/σ.
    """
    dy, x, gamma, mean, variance = tensors(b, call)[:5]
    axis = x.rank - 1 if is_last(call) else 1
    over = tuple(a for a in range(x.rank) if a != axis)

    def wide(v: Tensor) -> Tensor:
        return b.reshape(v, tuple(n if a == axis else 1 for a, n in enumerate(x.shape)))

    spread = wide(b.unary("rsqrt", b.binary("add", variance, 1e-3)))
    hat = b.binary("multiply", b.binary("subtract", x, wide(mean), gamma.dtype), spread)
    offset = b.reduce("sum", dy, over, dtype=gamma.dtype)
    scale = b.reduce("sum", b.binary("multiply", dy, hat, gamma.dtype), over)
    factor = b.binary("multiply", wide(gamma), spread)
    inner = dy
    if call.config.get("is_training", True):
        pull = b.binary("multiply", hat, wide(b.binary("divide", scale, 1.0)))
        inner = b.binary("subtract", dy, wide(b.binary("divide", offset, 1.0)), gamma.dtype)
        inner = b.binary("subtract", inner, pull)
    dx = b.binary("multiply", inner, factor, dtype_of(call))
    rest = [b.fill(t.shape, t.dtype, "empty") for t in outs(call)[3:]]
    return [dx, scale, offset, *rest]


# -- slices, shapes, copies -----------------------------------------------------------------


def _sliced(b: Builder, call: LayerCall) -> Tree:
    """``StridedSliceGrad``: dy where the slice was, zeros elsewhere."""
    return scatter(b, (tensor(b, call.args[-1]),), out(call), "set", "slice_gradient")


def _mirrored(b: Builder, call: LayerCall) -> Tree:
    """``MirrorPadGrad``: what lies in the border is added to what it mirrors."""
    dy, made = tensor(b, call.args[0]), out(call)
    core = b.slice(dy, made.shape, "core")
    border = b.slice(dy, (dy.type.size - made.size,), "border")
    return scatter(b, (core, border), made, "add", "pad_gradient")


def _broadcast_axes(b: Builder, call: LayerCall) -> Tree:
    """``BroadcastGradientArgs``: the axes that each of two shapes was broadcast over.

    One that both have once is among them: to sum over it changes nothing.
    """
    shapes = [ints(call, i) for i in (0, 1)]
    rank = max(map(len, shapes))
    wide = [(*(1,) * (rank - len(s)), *s) for s in shapes]
    return [
        known(call, [axis for axis in range(rank) if mine[axis] == 1], own)
        for own, mine in enumerate(wide)
    ]


def _zeros(b: Builder, call: LayerCall) -> Tree:
    """``ZerosLike``, of a list too."""
    if isinstance(call.args[0], Listed):
        return Listed()
    shape = out(call).shape if call.args[0] is None else tensor(b, call.args[0]).shape
    return b.fill(shape, dtype_of(call), "zeros")


OPS: Mapping[str, Lowering] = {
    **{f"tf:{name}": _elementwise(fn, 0) for name, fn in _OF_OPERANDS.items()},
    **{f"tf:{name}": _elementwise(fn, 1) for name, fn in _OF_RESULTS.items()},
    "tf:BiasAddGrad": _bias,
    **dict.fromkeys(("tf:MaxPoolGrad", "tf:MaxPoolGradV2", "tf:MaxPool3DGrad"), _max_pool),
    "tf:MaxPoolGradWithArgmax": _max_pool_at,
    "tf:AvgPoolGrad": _average_pool,
    "tf:AvgPool3DGrad": _average_pool,
    **dict.fromkeys(
        ("tf:FusedBatchNormGrad", "tf:FusedBatchNormGradV2", "tf:FusedBatchNormGradV3"), _batch_norm
    ),
    "tf:StridedSliceGrad": _sliced,
    "tf:MirrorPadGrad": _mirrored,
    "tf:BroadcastGradientArgs": _broadcast_axes,
    "tf:ZerosLike": _zeros,
    **table(
        "LRNGrad FractionalMaxPoolGrad FractionalAvgPoolGrad Dilation2DBackpropInput "
        "Dilation2DBackpropFilter MaxPoolGradGrad MaxPoolGradGradV2 MaxPool3DGradGrad "
        "MaxPoolGradGradWithArgmax",
        opaque,
    ),
}
