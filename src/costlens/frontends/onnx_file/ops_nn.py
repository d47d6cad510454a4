"""Contractions, pools and normalisation of ONNX; maps have their channels first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.lowering.convolution import bias_add
from costlens.frontends.lowering.geometry import Pairs, same_padding
from costlens.frontends.lowering.ops_contract import einsum
from costlens.frontends.opfile.parts import axes_of, dense, matmul
from costlens.frontends.opfile.site import Handler, Made, Site

_MOST_TERMS = 6

# -- windows ---------------------------------------------------------------------------------


def per_axis(site: Site, name: str, count: int, default: int = 1) -> tuple[int, ...]:
    """A setting with a number per spatial axis."""
    found = tuple(int(n) for n in site.attr(name) or (default,) * count)
    if len(found) != count or min(found, default=1) < 1:
        raise ValueError(f"{name} {list(found)[:8]} for {count} axes")
    return found


def explicit_pads(site: Site, count: int) -> Pairs:
    """The attribute ``pads``: all begins, then all ends."""
    pads = tuple(int(n) for n in site.attr("pads") or (0,) * (2 * count))
    if len(pads) != 2 * count:
        raise ValueError(f"{len(pads)} pads for {count} axes")
    return tuple(zip(pads[:count], pads[count:], strict=True))


def pads_of(
    site: Site,
    sizes: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    dil: Sequence[int],
) -> Pairs:
    """Padding per spatial axis, said outright or by ``auto_pad``."""
    mode = site.attr("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pairs = same_padding(sizes, taps, strides, dil)
        return pairs if mode == "SAME_UPPER" else tuple((after, at) for at, after in pairs)
    return ((0, 0),) * len(sizes) if mode == "VALID" else explicit_pads(site, len(sizes))


# -- contractions ----------------------------------------------------------------------------


def convolution(site: Site, x_at: int = 0, kernel_at: int = 1, dtype: str = "") -> Tensor:
    """A kernel (Cout, Cin/groups, *k)."""
    x, (cout, rows, *taps) = site.x(x_at), site.type(kernel_at).shape
    kernel = site.param(kernel_at, "kernel", (*taps, rows, cout))
    count, groups = len(taps), int(site.attr("group", 1))
    strides, dilation = per_axis(site, "strides", count), per_axis(site, "dilations", count)
    deep = groups == x.shape[1] > 1
    dtype = dtype or site.dtype()
    return site.b.emit(
        "conv",
        (x, kernel),
        label="depthwise_conv" if deep else "conv",
        strides=strides,
        padding=pads_of(site, x.shape[2:], taps, strides, dilation),
        dilation=dilation,
        groups=groups,
        channels_last=False,
        **({} if dtype == x.dtype else {"dtype": dtype}),
    )


def with_bias(site: Site, y: Tensor, at: int) -> Tensor:
    """The bias of a convolution, where it is given."""
    return bias_add(site.b, y, site.param(at, "bias"), False) if site.has(at) else y


def _conv(site: Site) -> Tensor:
    return with_bias(site, convolution(site), 2)


_FUSED = {
    "Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu",
    "Clip": "clip", "HardSigmoid": "hard_sigmoid", "HardSwish": "hard_silu",
}  # fmt: skip


def _fused_conv(site: Site) -> Tensor:
    """ONNX Runtime's: a convolution, what is added, an activation."""
    y = _conv(site)
    if site.has(3):
        y = site.b.binary("add", y, site.x(3))
    return _activated(site, y)


def _activated(site: Site, y: Tensor) -> Tensor:
    name = site.attr("activation")
    if not name:
        return y
    if name not in _FUSED:
        raise Unreadable(f"its activation {name} is not read")
    return site.b.unary(_FUSED[name], y)


def _conv_transpose(site: Site) -> Tensor:
    """A kernel (Cin, Cout/groups, *k); groups are convolutions side by side."""
    x, (cin, cout, *taps) = site.x(), site.type(1).shape
    groups = int(site.attr("group", 1))
    if groups < 1 or cin % groups or x.shape[1] != cin:
        raise ValueError(f"{groups} groups of {cin} channels, on {x.type}")
    kernel = site.param(1, "kernel", (*taps, cout * groups, cin // groups))
    if groups == 1:
        return with_bias(site, _transposed(site, x, kernel, taps), 2)
    if groups > 4096:
        raise Unreadable(f"it has {groups} groups")
    size, parts = cin // groups, []
    for at in range(groups):
        part = site.b.take(x, 1, at * size, (at + 1) * size)
        own = site.b.take(kernel, -2, at * cout, (at + 1) * cout)
        parts.append(_transposed(site, part, own, taps))
    return with_bias(site, site.b.concat(parts, 1), 2)


def _transposed(site: Site, x: Tensor, kernel: Tensor, taps: Sequence[int]) -> Tensor:
    count = len(taps)
    strides, dilation = per_axis(site, "strides", count), per_axis(site, "dilations", count)
    more = tuple(int(n) for n in site.attr("output_padding") or (0,) * count)
    sizes = tuple(int(n) for n in site.attr("output_shape") or ())[-count:]
    mode, crop = site.attr("auto_pad", "NOTSET"), []
    same = mode.startswith("SAME")
    pairs = ((0, 0),) * count if mode == "VALID" or same else explicit_pads(site, count)
    axes = zip(x.shape[2:], taps, strides, dilation, more, pairs, strict=True)
    for at, (n, k, s, d, extra, (before, after)) in enumerate(axes):
        full = (n - 1) * s + (k - 1) * d + 1
        if sizes or same:
            total = full + extra - (sizes[at] if sizes else n * s)
            first = total // 2 if mode == "SAME_UPPER" else total - total // 2
            before, after = first, total - first
        crop.append((before, after - extra))
    return site.b.emit(
        "conv_transpose",
        (x, kernel),
        strides=strides,
        crop=tuple(crop),
        dilation=dilation,
        channels_last=False,
        **site.keeping(x),
    )


def _gemm(site: Site) -> Tensor:
    """α·A·B + β·C; a B that is turned is a kernel (units, n)."""
    b, x = site.b, site.x()
    turned = bool(site.attr("transA", 0)), bool(site.attr("transB", 0))
    rows = site.type(1).shape
    kernel = site.param(1, "kernel", rows[::-1] if turned[1] else rows)
    y = matmul(site, x, kernel, (turned[0], False), "dense")
    if site.attr("alpha", 1.0) != 1:
        y = b.unary("scale", y)
    if site.has(2):
        bias = site.param(2, "bias")
        if site.attr("beta", 1.0) != 1:
            bias = b.unary("scale", bias)
        y = b.emit("binary", (y, bias), label="bias_add", fn="add")
    return _activated(site, y)


def _matmul(site: Site) -> Tensor:
    """A constant second operand is a kernel, a constant first one too."""
    x = site.param(0, "kernel")
    kernel = site.param(1, "kernel")
    if kernel.rank == 2 and x.rank > 1:
        return dense(site, x, kernel)
    return matmul(site, x, kernel)


def _fused_matmul(site: Site) -> Tensor:
    turned = bool(site.attr("transA", 0)), bool(site.attr("transB", 0))
    y = matmul(site, site.x(), site.param(1, "kernel"), turned)
    return y if site.attr("alpha", 1.0) == 1 else site.b.unary("scale", y)


def _einsum(site: Site) -> Tensor:
    xs = [site.param(at, "kernel") for at in range(len(site.values))]
    if len(xs) > _MOST_TERMS:
        raise Unreadable(f"it contracts {len(xs)} operands")
    return einsum(site.b, site.attr("equation", ""), xs, site.dtype())


# -- pools -----------------------------------------------------------------------------------


def _pool(fn: str) -> Handler:
    def handler(site: Site) -> Made:
        b, x = site.b, site.x()
        count = x.rank - 2
        window = per_axis(site, "kernel_shape", count)
        strides, dilation = per_axis(site, "strides", count), per_axis(site, "dilations", count)
        pads = _pool_pads(site, x.shape[2:], window, strides, dilation)
        x = b.unary("abs" if site.attr("p", 2) == 1 else "square", x) if fn == "lp" else x
        kind = "max" if fn == "max" else "average"
        y = b.emit(
            "pool",
            (x,),
            label=f"{kind}_pool",
            fn=kind,
            window=window,
            strides=strides,
            padding=pads,
            channels_last=False,
        )
        if fn == "lp" and site.attr("p", 2) != 1:
            y = b.unary("sqrt", y)
        if len(site.op.outputs) > 1:  # where each maximum stands
            return y, b.rearrange("indices", y, y.shape, "int64")
        return y

    return handler


def _pool_pads(
    site: Site,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dil: Sequence[int],
) -> Pairs:
    """Padding so that the windows come out: rounded up, they reach over the end.

    A window that is spread out covers more than it reads. The last one starts on the input or
    on the padding before it.
    """
    pairs = []
    given = pads_of(site, sizes, window, strides, dil)
    for n, k, s, d, (before, after) in zip(sizes, window, strides, dil, given, strict=True):
        spread = (k - 1) * d + 1
        if site.attr("ceil_mode", 0) and site.attr("auto_pad", "NOTSET") == "NOTSET":
            count = -(-(n + before + after - spread) // s) + 1
            if (count - 1) * s >= n + before:
                count -= 1
            after = (count - 1) * s + spread - n - before
        pairs.append((before, after - (spread - k)))
    return tuple(pairs)


def _global_pool(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        b, x = site.b, site.x()
        x = b.unary("square", x) if fn == "lp" else x
        window = x.shape[2:]
        kind = "max" if fn == "max" else "average"
        y = b.emit(
            "pool",
            (x,),
            label=f"global_{kind}_pool",
            fn=kind,
            window=window,
            strides=(1,) * len(window),
            padding=((0, 0),) * len(window),
            channels_last=False,
        )
        return b.unary("sqrt", y) if fn == "lp" else y

    return handler


# -- normalisation ---------------------------------------------------------------------------


def _batch_normalization(site: Site) -> list[Tensor]:
    """Inference form; what training would give stays unread."""
    x = site.x()
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    stats = [site.param(at + 1, name) for at, name in enumerate(names)]
    if site.attr("training_mode", 0):
        raise Unreadable("it is in training mode")
    y = site.b.emit("batch_norm", (x, *stats), axis=min(1, x.rank - 1), **site.keeping(x))
    return [y] * len(site.op.outputs)


def _norm(
    site: Site, x: Tensor, fn: str, axes: Sequence[int], scale: int, center: int, groups: int = 0
) -> Tensor:
    held = [
        site.param(at, name) for at, name in ((scale, "gamma"), (center, "beta")) if site.has(at)
    ]
    return site.b.emit(
        "norm",
        (x, *held),
        label=f"{fn}_norm",
        fn=fn,
        axes=tuple(axes),
        scale=site.has(scale),
        center=site.has(center),
        **({"groups": groups} if groups else {}),
        **site.keeping(x),
    )


def _layer_normalization(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x = site.x()
        if any(site.op.outputs[1:]):
            raise Unreadable("it gives its statistics too")
        axis = axes_of((int(site.attr("axis", -1)),), x.rank)[0]
        return _norm(site, x, fn, range(axis, x.rank), 1, 2 if fn == "layer" else 99)

    return handler


def _skip_layer_normalization(fn: str) -> Handler:
    """ONNX Runtime's: x + skip (+ bias), normalised over the last axis."""

    def handler(site: Site) -> list[Tensor]:
        b, bias = site.b, 4 if fn == "layer" else 3
        x = b.binary("add", site.x(), site.x(1))
        if site.has(bias):
            x = b.binary("add", x, site.param(bias, "bias"))
        y = _norm(site, x, fn, (x.rank - 1,), 2, 3 if fn == "layer" else 99)
        return [y, y, y, x]

    return handler


def _group_normalization(site: Site) -> Tensor:
    x = site.x()
    return _norm(site, x, "group", range(1, x.rank), 1, 2, int(site.attr("num_groups", 1)))


def _instance_normalization(site: Site) -> Tensor:
    """Every channel of every image by itself: as many groups as channels."""
    x = site.x()
    return _norm(site, x, "group", range(1, x.rank), 1, 2, x.shape[1])


def _mean_variance_normalization(site: Site) -> Tensor:
    x = site.x()
    axes = axes_of(site.attr("axes", (0, 2, 3)), x.rank)
    return site.b.emit("norm", (x,), label="layer_norm", fn="layer", axes=tuple(sorted(axes)))


def _lp_normalization(site: Site) -> Tensor:
    b, x = site.b, site.x()
    axis = axes_of((int(site.attr("axis", -1)),), x.rank)[0]
    if site.attr("p", 2) == 2:
        return b.emit("norm", (x,), label="unit_norm", fn="unit", axes=(axis,))
    return b.binary("divide", x, b.reduce("sum", b.unary("abs", x), axis, True))


def _lrn(site: Site) -> Tensor:
    """x / (bias + α/size·Σx²)^β, the sum over a window of channels (Krizhevsky et al. 2012)."""
    b, x, size = site.b, site.x(), int(site.attr("size", 1))
    n, c, *rest = x.shape
    positions = x.type.size // (n * c) if n * c else 0
    lanes = b.reshape(b.unary("square", x), (n, 1, c, positions))
    before = (size - 1) // 2
    around = b.emit(
        "pool",
        (lanes,),
        fn="average",
        window=(size, 1),
        strides=(1, 1),
        padding=((before, size - 1 - before), (0, 0)),
        channels_last=False,
    )
    total = b.binary("add", b.unary("scale", b.reshape(around, (n, c, *rest))), 1.0)
    return b.binary("divide", x, b.binary("power", total, 1.0))


HANDLERS: Mapping[str, Handler] = {
    "Conv": _conv,
    "com.microsoft.FusedConv": _fused_conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "com.microsoft.FusedGemm": _gemm,
    "MatMul": _matmul,
    "com.microsoft.FusedMatMul": _fused_matmul,
    "Einsum": _einsum,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "LpPool": _pool("lp"),
    "GlobalMaxPool": _global_pool("max"),
    "GlobalAveragePool": _global_pool("average"),
    "GlobalLpPool": _global_pool("lp"),
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization("layer"),
    "RMSNormalization": _layer_normalization("rms"),
    "SimplifiedLayerNormalization": _layer_normalization("rms"),
    "com.microsoft.SimplifiedLayerNormalization": _layer_normalization("rms"),
    "com.microsoft.SkipLayerNormalization": _skip_layer_normalization("layer"),
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_layer_normalization("rms"),
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "MeanVarianceNormalization": _mean_variance_normalization,
    "LpNormalization": _lp_normalization,
    "LRN": _lrn,
}
"""Handlers by the operator's name, with its domain where that is not ONNX's own."""
