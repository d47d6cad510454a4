"""Traced contractions: products of matrices, einsum, convolutions, and their gradients."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import Pairs, channels, padding_pairs, spatial
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.ops_contract import einsum as any_einsum
from costlens.frontends.lowering.tf_common import Spread, dtype_of, out, retyped
from costlens.frontends.lowering.tf_dilated import fits, less
from costlens.frontends.lowering.tf_index import scatter
from costlens.ir.ops import spatial_axes
from costlens.ir.types import Shape, promote


def _matmul(first: str, second: str) -> Lowering:
    """A product over the last two axes; the attributes say which operand is transposed."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, y = tensors(b, call)[:2]
        turned = bool(call.config.get(first)), bool(call.config.get(second))
        rank = max(x.rank, y.rank)
        batch = string.ascii_lowercase[: rank - 2]
        left = batch[rank - x.rank :] + ("YX" if turned[0] else "XY")
        right = batch[rank - y.rank :] + ("ZY" if turned[1] else "YZ")
        return b.einsum(f"{left},{right}->{batch}XZ", x, y, dtype_of(call), "matmul")

    return lowering


def _einsum(b: Builder, call: LayerCall) -> Tree:
    return any_einsum(b, str(call.config["equation"]), tensors(b, call), dtype_of(call))


def _sparse_matmul(b: Builder, call: LayerCall) -> Tree:
    """Each stored element times the row of the dense matrix that its column names."""
    _, values, _, dense = call.args
    stored, y, made = tensor(b, values), tensor(b, dense), out(call)
    rows = b.gather((y, tensor(b, call.args[0])), (stored.type.size, made.shape[-1]), y.dtype)
    products = b.einsum("z,zn->zn", stored, rows, made.dtype, "sparse_matmul")
    return scatter(b, (products,), made, "set")


# -- windows --------------------------------------------------------------------------------


def is_last(call: LayerCall) -> bool:
    """Whether channels are the last axis."""
    layout = str(call.config.get("data_format") or "NHWC")
    return not layout.startswith("NC") and layout != "CHANNELS_FIRST"


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


@dataclass(frozen=True, slots=True)
class _Window:
    """How a kernel slides over the input of a convolution, forward or in a gradient."""

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs
    last: bool
    groups: int = 1

    def spread(self, blocks: tuple[int, ...], net: Pairs) -> _Window:
        """The same over positions that were cut into blocks, with this padding."""
        axes = spatial_axes(len(blocks), self.last)
        own = tuple(blocks[a] * d for a, d in zip(axes, self.dilation, strict=True))
        return replace(self, dilation=own, padding=tuple(net[a] for a in axes))


def _slides(call: LayerCall, sizes: Shape, taps: Shape, groups: int, last: bool) -> _Window:
    strides = window(call, "strides", len(sizes), last)
    dilation = window(call, "dilations", len(sizes), last)
    padding = pairs(call, sizes, taps, strides, dilation, last)
    return _Window(strides, dilation, padding, last, groups)


def _plain(w: _Window) -> bool:
    """Whether a window over blocks is one that a dilated convolution has."""
    return not any(map(any, w.padding)) and set(w.strides) <= {1}


# -- convolutions ---------------------------------------------------------------------------


def _kernel(b: Builder, leaf: Any, depthwise: bool) -> Tensor:
    """A kernel (*k, Cin/groups, Cout); a depthwise one (*k, C, M) has as many groups as C."""
    kernel = tensor(b, leaf)
    if not depthwise:
        return kernel
    *taps, cin, multiplier = kernel.shape
    return b.reshape(kernel, (*taps, 1, cin * multiplier))


def _conv(depthwise: bool) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, last = call.args[0], is_last(call)
        given = x.type if isinstance(x, Spread) else tensor(b, x).type
        kernel = _kernel(b, call.args[1], depthwise)
        groups = channels(given.shape, last) // kernel.shape[-2]
        taps = kernel.shape[: given.rank - 2]
        w = _slides(call, spatial(given.shape, last), taps, groups, last)
        label, dtype = "depthwise_conv" if depthwise else "conv", dtype_of(call)

        def put(y: Tensor, v: _Window) -> Tensor:
            return _convolve(b, y, kernel, v, label, dtype)

        if isinstance(x, Spread) and x.source is not None and _plain(w):
            return _over_blocks(call, x, put, w)
        return put(tensor(b, x), w)

    return lowering


def _convolve(b: Builder, x: Tensor, kernel: Tensor, w: _Window, label: str, dtype: str) -> Tensor:
    return b.emit(
        "conv",
        (x, kernel),
        label=label,
        strides=w.strides,
        padding=w.padding,
        dilation=w.dilation,
        groups=w.groups,
        channels_last=w.last,
        **retyped(dtype, x.dtype),
    )


Put = Callable[[Tensor, _Window], Tensor]
"""Puts a kernel on a tensor through a window."""


def _over_blocks(call: LayerCall, x: Spread, put: Put, w: _Window) -> Spread:
    """A convolution over blocks: one dilated convolution, where the blocks are put together."""
    source = x.source
    assert source is not None

    def whole(crops: Pairs) -> Tensor:
        return put(source(), w.spread(x.blocks, less(x.pads, crops)))

    return Spread(out(call), x.blocks, x.pads, None, whole, lambda: put(x.literal(), w))


# -- gradients and transposed convolutions --------------------------------------------------


def _to_input(depthwise: bool) -> Lowering:
    """``Conv2DBackpropInput``: sizes, kernel, dy. A transposed convolution is one too.

    MACs are those of the forward convolution: positions of dy × taps × Cin/groups × Cout.
    """

    def lowering(b: Builder, call: LayerCall) -> Tree:
        dy, last, made = call.args[2], is_last(call), out(call)
        kernel = _kernel(b, call.args[1], depthwise)
        groups = channels(made.shape, last) // kernel.shape[-2]
        sizes, taps = spatial(made.shape, last), kernel.shape[: len(made.shape) - 2]
        w = _slides(call, sizes, taps, groups, last)

        def put(y: Tensor, v: _Window) -> Tensor:
            return _transposed(b, y, kernel, v, made.dtype)

        if isinstance(dy, Spread) and dy.source is not None and _plain(w):
            return _spread_to_input(b, call, dy, kernel, w)
        y = tensor(b, dy)
        return put(y, replace(w, padding=_crop(w, spatial(y.shape, last), taps, sizes)))

    return lowering


def _crop(w: _Window, positions: Shape, taps: Shape, sizes: Shape) -> Pairs:
    """What to take off the full transposed convolution so that ``sizes`` are left."""
    return tuple(
        (low, (n - 1) * s + (k - 1) * d + 1 - low - size)
        for (low, _), n, s, k, d, size in zip(
            w.padding, positions, w.strides, taps, w.dilation, sizes, strict=True
        )
    )


def _transposed(b: Builder, y: Tensor, kernel: Tensor, w: _Window, dtype: str) -> Tensor:
    groups: dict[str, Any] = {} if w.groups == 1 else {"groups": w.groups}
    return b.emit(
        "conv_transpose",
        (y, kernel),
        strides=w.strides,
        crop=w.padding,
        dilation=w.dilation,
        channels_last=w.last,
        **groups,
        **retyped(dtype, y.dtype),
    )


def _spread_to_input(b: Builder, call: LayerCall, dy: Spread, kernel: Tensor, w: _Window) -> Spread:
    """Of a dilated convolution: what is padded around dy is cropped less from its result."""
    source, made = dy.source, out(call)
    assert source is not None
    axes = spatial_axes(len(made.shape), w.last)
    taps = kernel.shape[: len(axes)]
    # the blocks of dx reach as far beyond those of dy as the kernel does
    reach = [(k - 1) * dy.blocks[a] for a, k in zip(axes, taps, strict=True)]

    def whole(crops: Pairs) -> Tensor:
        net = less(crops, dy.pads)
        return _transposed(b, source(), kernel, w.spread(dy.blocks, net), made.dtype)

    def literal() -> Tensor:
        y = tensor(b, dy)
        crop = _crop(w, spatial(y.shape, w.last), taps, spatial(made.shape, w.last))
        return _transposed(b, y, kernel, replace(w, padding=crop), made.dtype)

    pads = list(dy.pads)
    for axis, more in zip(axes, reach, strict=True):
        before, after = pads[axis]
        pads[axis] = before + more, after + more
    return Spread(made, dy.blocks, tuple(pads), None, whole, literal)


def _to_filter(depthwise: bool) -> Lowering:
    """``Conv2DBackpropFilter``: x, sizes, dy → the gradient of the kernel.

    It is a convolution with the roles swapped: x, its channels as batch, slides over dy as its
    kernel, with the strides as dilation. MACs are those of the forward convolution.
    """

    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, dy, last, made = call.args[0], call.args[2], is_last(call), out(call)
        given = x.type if isinstance(x, Spread) else tensor(b, x).type
        taps, cin = made.shape[: given.rank - 2], channels(given.shape, last)
        groups = cin if depthwise else cin // made.shape[-2]
        w = _slides(call, spatial(given.shape, last), taps, groups, last)
        both = _sources(x, dy) if _plain(w) else None
        if both is None:
            return _swapped(b, tensor(b, x), tensor(b, dy), w, made.shape, made.dtype)
        w = w.spread(x.blocks, less(x.pads, dy.pads))
        return _swapped(b, both[0](), both[1](), w, made.shape, made.dtype)

    return lowering


def _sources(x: Any, dy: Any) -> tuple[Callable[[], Tensor], Callable[[], Tensor]] | None:
    """What two tensors were before both were cut into the same blocks; None if they were not."""
    if not isinstance(x, Spread) or not isinstance(dy, Spread):
        return None
    if x.source is None or dy.source is None or x.blocks != dy.blocks:
        return None
    return (x.source, dy.source) if fits(x.pads, dy.pads) else None


def _swapped(b: Builder, x: Tensor, dy: Tensor, w: _Window, kernel: Shape, dtype: str) -> Tensor:
    """The convolution of x over dy, on views: (Cin/g, *size, N·g) over (*positions, N, Cout)."""
    n, sizes, positions = x.shape[0], spatial(x.shape, w.last), spatial(dy.shape, w.last)
    cin, taps = channels(x.shape, w.last), kernel[: len(sizes)]
    image = b.reshape(x, (cin // w.groups, *sizes, n * w.groups))
    window = b.reshape(dy, (*positions, n, channels(dy.shape, w.last)))
    padding = tuple(
        (low, (k - 1) * d + (p - 1) * s + 1 - size - low)
        for (low, _), k, d, p, s, size in zip(
            w.padding, taps, w.dilation, positions, w.strides, sizes, strict=True
        )
    )
    swapped = _Window(w.dilation, w.strides, padding, True, w.groups)
    made = _convolve(b, image, window, swapped, "kernel_gradient", promote((x.dtype, dtype)))
    return b.cast(b.reshape(made, kernel), dtype)


OPS: Mapping[str, Lowering] = {
    "tf:MatMul": _matmul("transpose_a", "transpose_b"),
    "tf:SparseMatMul": _matmul("transpose_a", "transpose_b"),
    "tf:BatchMatMul": _matmul("adj_x", "adj_y"),
    "tf:BatchMatMulV2": _matmul("adj_x", "adj_y"),
    "tf:BatchMatMulV3": _matmul("adj_x", "adj_y"),
    "tf:Einsum": _einsum,
    "tf:SparseTensorDenseMatMul": _sparse_matmul,
    **dict.fromkeys(("tf:Conv", "tf:Conv2D", "tf:Conv3D"), _conv(False)),
    "tf:DepthwiseConv2dNative": _conv(True),
    **dict.fromkeys(
        (
            "tf:Conv2DBackpropInput",
            "tf:Conv2DBackpropInputV2",
            "tf:Conv3DBackpropInputV2",
        ),
        _to_input(False),
    ),
    "tf:DepthwiseConv2dNativeBackpropInput": _to_input(True),
    **dict.fromkeys(
        (
            "tf:Conv2DBackpropFilter",
            "tf:Conv2DBackpropFilterV2",
            "tf:Conv3DBackpropFilterV2",
        ),
        _to_filter(False),
    ),
    "tf:DepthwiseConv2dNativeBackpropFilter": _to_filter(True),
}
