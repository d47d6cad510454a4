"""Contractions, pools, normalisation and resizing of TensorFlow Lite.

Maps have their channels last. What an operator fuses is a second node in its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.lowering.geometry import padding_pairs
from costlens.frontends.opfile.parts import apply_binary, dense, matmul
from costlens.frontends.opfile.site import Handler, Made, Site
from costlens.frontends.tflite_file.options import ACTIVATIONS


def fused(site: Site, x: Tensor) -> Tensor:
    """The activation that an operator applies to its result."""
    number = site.attr("fused", 0)
    if not number:
        return x
    if not 0 < number < len(ACTIVATIONS):
        raise Unreadable(f"its activation {number} is not in the schema")
    return site.b.unary(ACTIVATIONS[number], x)


def _ended(site: Site, x: Tensor, bias: int) -> Tensor:
    """A bias, where there is one, and the fused activation."""
    if site.has(bias):
        held = site.param(bias, "bias")
        x = site.b.emit("binary", (x, held), label="bias_add", fn="add", dtype=site.dtype())
    return fused(site, x)


def _slides(site: Site, axes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and dilations per spatial axis."""
    strides = tuple(int(site.attr(f"stride_{axis}", 0)) for axis in axes)
    dilation = tuple(int(site.attr(f"dilation_{axis}", 1)) for axis in axes)
    if min(strides) < 1 or min(dilation) < 1:
        raise ValueError(f"strides {strides}, dilations {dilation}")
    return strides, dilation


def _padding(site: Site) -> str:
    return "valid" if site.attr("padding", 0) else "same"


def _conv(site: Site, kernel: Tensor, axes: str, groups: int, label: str = "conv") -> Tensor:
    x = site.x()
    strides, dilation = _slides(site, axes)
    taps = kernel.shape[:-2]
    y = site.b.emit(
        "conv",
        (x, kernel),
        label=label,
        strides=strides,
        padding=padding_pairs(_padding(site), x.shape[1:-1], taps, strides, dilation),
        dilation=dilation,
        groups=groups,
        channels_last=True,
        **site.keeping(x),
    )
    return _ended(site, y, 2)


def _conv_2d(site: Site) -> Tensor:
    """A kernel (Cout, h, w, Cin/groups)."""
    cout, *taps, rows = site.type(1).shape
    kernel = site.param(1, "kernel", (*taps, rows, cout))
    return _conv(site, kernel, "hw", site.type().shape[-1] // rows)


def _depthwise_conv_2d(site: Site) -> Tensor:
    """A kernel (1, h, w, Cin·m): as many groups as channels."""
    _, *taps, cout = site.type(1).shape
    kernel = site.param(1, "kernel", (*taps, 1, cout))
    return _conv(site, kernel, "hw", site.type().shape[-1], "depthwise_conv")


def _conv_3d(site: Site) -> Tensor:
    kernel = site.param(1, "kernel")
    return _conv(site, kernel, "dhw", site.type().shape[-1] // kernel.shape[-2])


def _conv_transpose(axes: str) -> Handler:
    """Operands: the output's shape, kernel, x, bias. Crops so that this shape comes out.

    A 2-D kernel is (Cout, h, w, Cin), a 3-D one (d, h, w, Cout, Cin).
    """

    def handler(site: Site) -> Tensor:
        x, shape = site.x(2), site.type(1).shape
        if len(axes) == 2:
            shape = (*shape[1:3], shape[0], shape[3])
        kernel = site.param(1, "kernel", shape)
        strides, dilation = _slides(site, axes)
        wanted = site.known(0)
        sizes = _grown(site, x, shape, strides) if wanted is None else site.ints(0)[1:-1]
        crop = []
        for n, k, s, d, out in zip(x.shape[1:-1], shape, strides, dilation, sizes, strict=False):
            cut = (n - 1) * s + (k - 1) * d + 1 - out
            before = cut // 2 if cut > 0 and _padding(site) == "same" else 0
            crop.append((before, cut - before))
        y = site.b.emit(
            "conv_transpose",
            (x, kernel),
            strides=strides,
            crop=tuple(crop),
            dilation=dilation,
            channels_last=True,
            **site.keeping(x),
        )
        return _ended(site, y, 3)

    return handler


def _grown(site: Site, x: Tensor, kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """The sizes that a transposed convolution gives where nothing says them."""
    valid = _padding(site) == "valid"
    sizes = zip(x.shape[1:-1], kernel, strides, strict=False)
    return [n * s + (max(k - s, 0) if valid else 0) for n, k, s in sizes]


def _fully_connected(site: Site) -> Tensor:
    """A kernel (Cout, Cin), over the last axis or over rows of Cin elements."""
    x, (cout, cin) = site.x(), site.type(1).shape
    if site.attr("weights_format"):
        raise Unreadable("its kernel is shuffled")
    if not site.attr("keep_num_dims") and (x.rank != 2 or x.shape[-1] != cin):
        if not cin or x.type.size % cin:
            raise ValueError(f"{x.type} in rows of {cin}")
        x = site.b.reshape(x, (x.type.size // cin, cin))
    return _ended(site, dense(site, x, site.param(1, "kernel", (cin, cout))), 2)


def _batch_matmul(site: Site) -> Tensor:
    turned = bool(site.attr("adj_x")), bool(site.attr("adj_y"))
    one = site.x()
    return matmul(site, one, site.param(1, "kernel"), turned)


def _pool(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        b, x = site.b, site.x()
        window = int(site.attr("filter_h", 0)), int(site.attr("filter_w", 0))
        strides, ones = _slides(site, "hw")
        if min(window) < 1:
            raise ValueError(f"a window of {window}")
        x = b.unary("square", x) if fn == "l2" else x
        kind = "max" if fn == "max" else "average"
        y = b.emit(
            "pool",
            (x,),
            label=f"{kind}_pool",
            fn=kind,
            window=window,
            strides=strides,
            padding=padding_pairs(_padding(site), x.shape[1:3], window, strides, ones),
            channels_last=True,
        )
        return fused(site, b.unary("sqrt", y) if fn == "l2" else y)

    return handler


def _l2_normalization(site: Site) -> Tensor:
    x = site.x()
    return fused(site, site.b.emit("norm", (x,), label="unit_norm", fn="unit", axes=(x.rank - 1,)))


def _local_response_normalization(site: Site) -> Tensor:
    """x / (bias + α·Σx²)^β, the sum over a window of channels (Krizhevsky et al. 2012)."""
    b, x, radius = site.b, site.x(), int(site.attr("radius", 0))
    lanes = b.reshape(b.unary("square", x), (1, x.type.size // x.shape[-1], x.shape[-1], 1))
    around = b.emit(
        "pool",
        (lanes,),
        fn="average",
        window=(1, 2 * radius + 1),
        strides=(1, 1),
        padding=((0, 0), (radius, radius)),
        channels_last=True,
    )
    total = b.binary("add", b.binary("multiply", b.reshape(around, x.shape), 1.0), 1.0)
    return b.binary("divide", x, b.binary("power", total, 1.0))


def _softmax(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x = site.x()
        if site.attr("beta", 1) not in (0, 1):
            x = site.b.binary("multiply", x, 1.0)
        return site.b.softmax(x, -1, fn)

    return handler


def _prelu(site: Site) -> Tensor:
    return site.b.binary("prelu", site.x(), site.param(1, "alpha"), site.dtype())


def _fused_binary(fn: str) -> Handler:
    return lambda site: fused(site, apply_binary(site, fn))


# -- blocks and sizes ------------------------------------------------------------------------


def _rearranged(shape: str) -> Handler:
    """Blocks of positions into channels, or back."""

    def handler(site: Site) -> Tensor:
        x, block = site.x(), int(site.attr("block", 0))
        n, h, w, c = x.shape
        if block < 1:
            raise ValueError(f"blocks of {block}")
        if shape == "depth":
            sizes = (n, h // block, w // block, c * block * block)
        else:
            sizes = (n, h * block, w * block, c // (block * block))
        if prod(sizes) != x.type.size:
            raise ValueError(f"{x.type} in blocks of {block}")
        return site.b.rearrange(f"to_{shape}", x, sizes)

    return handler


def _space_to_batch(site: Site) -> Tensor:
    """Positions a block apart go to one image: how a dilated convolution may be written."""
    x, block, pads = site.x(), site.ints(1), site.ints(2)
    sizes = list(x.shape)
    for at, step in enumerate(block):
        sizes[0] *= step
        sizes[at + 1] = (sizes[at + 1] + pads[2 * at] + pads[2 * at + 1]) // step
    return site.b.rearrange("space_to_batch", x, sizes)


def _batch_to_space(site: Site) -> Tensor:
    x, block, crops = site.x(), site.ints(1), site.ints(2)
    sizes = list(x.shape)
    for at, step in enumerate(block):
        sizes[0] //= step
        sizes[at + 1] = sizes[at + 1] * step - crops[2 * at] - crops[2 * at + 1]
    return site.b.rearrange("batch_to_space", x, sizes)


def _resize(method: str) -> Handler:
    def handler(site: Site) -> Tensor:
        size = site.ints(1)
        return site.b.emit("resize", (site.x(),), method=method, size=size, channels_last=True)

    return handler


def _affine(site: Site) -> Made:
    """Quantised to real or back: a scale and a zero point, one multiplication and one addition."""
    b, x, dtype = site.b, site.x(), site.dtype()
    if site.op.kind == "QUANTIZE":
        y = b.binary("add", b.unary("scale", x), 0.0)
        return b.cast(b.unary("round", y) if x.dtype[0] in "bf" else y, dtype)
    if x.dtype[0] in "bf":
        return b.cast(x, dtype)
    return b.unary("scale", b.binary("subtract", b.cast(x, dtype), 0.0))


HANDLERS: Mapping[str, Handler] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "CONV_3D": _conv_3d,
    "TRANSPOSE_CONV": _conv_transpose("hw"),
    "CONV_3D_TRANSPOSE": _conv_transpose("dhw"),
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "AVERAGE_POOL_2D": _pool("average"),
    "MAX_POOL_2D": _pool("max"),
    "L2_POOL_2D": _pool("l2"),
    "L2_NORMALIZATION": _l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": _local_response_normalization,
    "SOFTMAX": _softmax("softmax"),
    "LOG_SOFTMAX": _softmax("log_softmax"),
    "PRELU": _prelu,
    "ADD": _fused_binary("add"),
    "SUB": _fused_binary("subtract"),
    "MUL": _fused_binary("multiply"),
    "DIV": _fused_binary("divide"),
    "SPACE_TO_DEPTH": _rearranged("depth"),
    "DEPTH_TO_SPACE": _rearranged("space"),
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "RESIZE_BILINEAR": _resize("bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "QUANTIZE": _affine,
    "DEQUANTIZE": _affine,
}
"""Handlers by the operator's name in the schema."""
