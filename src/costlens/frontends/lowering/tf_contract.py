"""Traced contractions: products of matrices, einsum, convolutions and transposed ones."""

from __future__ import annotations

import string
from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.geometry import Pairs, channels, padding_pairs, spatial
from costlens.frontends.lowering.ops_contract import einsum as any_einsum
from costlens.frontends.lowering.tf_common import out, tensor, tensors


def _matmul(first: str, second: str) -> Lowering:
    """A product over the last two axes; the attributes say which operand is transposed."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, y = tensors(b, call)[:2]
        turned = bool(call.config.get(first)), bool(call.config.get(second))
        rank = max(x.rank, y.rank)
        batch = string.ascii_lowercase[: rank - 2]
        left = batch[rank - x.rank :] + ("YX" if turned[0] else "XY")
        right = batch[rank - y.rank :] + ("ZY" if turned[1] else "YZ")
        return b.einsum(f"{left},{right}->{batch}XZ", x, y, out(call).dtype, "matmul")

    return lowering


def _einsum(b: Builder, call: LayerCall) -> Tree:
    return any_einsum(b, str(call.config["equation"]), tensors(b, call), out(call).dtype)


def is_last(call: LayerCall) -> bool:
    """Whether channels are the last axis."""
    return not str(call.config.get("data_format") or "NHWC").startswith("NC")


def window(call: LayerCall, name: str, rank: int, last: bool) -> tuple[int, ...]:
    """A per-axis attribute (strides, dilations, ksize) on the spatial axes."""
    values = tuple(int(n) for n in call.config.get(name) or (1,) * (rank + 2))
    return values[1:-1] if last else values[2:]


def pairs(
    call: LayerCall,
    sizes: tuple[int, ...],
    taps: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    last: bool,
) -> Pairs:
    """The padding attribute as (before, after) per spatial axis."""
    padding = str(call.config["padding"])
    if padding == "EXPLICIT":
        given = [int(n) for n in call.config["explicit_paddings"]]
        every = tuple(zip(given[::2], given[1::2], strict=True))
        return every[1:-1] if last else every[2:]
    return padding_pairs(padding.lower(), sizes, taps, strides, dilation)


def _conv(b: Builder, call: LayerCall) -> Tree:
    x, kernel = tensors(b, call)[:2]
    last = is_last(call)
    return conv(b, call, x, kernel, channels(x.shape, last) // kernel.shape[-2], last)


def _depthwise(b: Builder, call: LayerCall) -> Tree:
    x, kernel = tensors(b, call)[:2]
    *taps, cin, multiplier = kernel.shape
    flat = b.reshape(kernel, (*taps, 1, cin * multiplier))
    return conv(b, call, x, flat, cin, is_last(call), "depthwise_conv")


def conv(
    b: Builder,
    call: LayerCall,
    x: Tensor,
    kernel: Tensor,
    groups: int,
    last: bool,
    label: str = "conv",
) -> Tensor:
    """One convolution, its window from the operation's attributes."""
    rank = x.rank - 2
    strides = window(call, "strides", rank, last)
    dilation = window(call, "dilations", rank, last)
    sizes = spatial(x.shape, last)
    padding = pairs(call, sizes, kernel.shape[:rank], strides, dilation, last)
    dtype = out(call).dtype
    return b.emit(
        "conv",
        (x, kernel),
        label=label,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=groups,
        channels_last=last,
        **({} if dtype == x.dtype else {"dtype": dtype}),
    )


def _conv_transpose(b: Builder, call: LayerCall) -> Tree:
    """``Conv2DBackpropInput``: sizes, kernel (*k, Cout, Cin), x; transposed convolutions too."""
    kernel, x = tensor(b, call.args[1]), tensor(b, call.args[2])
    last, made = is_last(call), out(call)
    rank = x.rank - 2
    strides = window(call, "strides", rank, last)
    dilation = window(call, "dilations", rank, last)
    if channels(made.shape, last) != kernel.shape[-2]:
        raise Unreadable("a transposed convolution in groups")
    sizes, taps = spatial(made.shape, last), kernel.shape[:rank]
    before = pairs(call, sizes, taps, strides, dilation, last)
    crop = tuple(
        (low, (n - 1) * s + (k - 1) * d + 1 - low - size)
        for (low, _), n, s, k, d, size in zip(
            before, spatial(x.shape, last), strides, taps, dilation, sizes, strict=True
        )
    )
    return b.emit(
        "conv_transpose",
        (x, kernel),
        strides=strides,
        crop=crop,
        dilation=dilation,
        channels_last=last,
    )


OPS: Mapping[str, Lowering] = {
    "tf:MatMul": _matmul("transpose_a", "transpose_b"),
    "tf:BatchMatMul": _matmul("adj_x", "adj_y"),
    "tf:BatchMatMulV2": _matmul("adj_x", "adj_y"),
    "tf:BatchMatMulV3": _matmul("adj_x", "adj_y"),
    "tf:Einsum": _einsum,
    "tf:Conv2D": _conv,
    "tf:Conv3D": _conv,
    "tf:DepthwiseConv2dNative": _depthwise,
    "tf:Conv2DBackpropInput": _conv_transpose,
    "tf:Conv3DBackpropInputV2": _conv_transpose,
}
