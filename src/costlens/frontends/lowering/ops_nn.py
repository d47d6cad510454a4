"""``keras.ops.nn``: activations, convolutions, pooling, normalisation, patches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.activations import UNARY_ACTIVATIONS, glu, relu, sparsemax
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.convolution import convolve, crops, depthwise
from costlens.frontends.lowering.geometry import channels, channels_last, ntuple, spatial
from costlens.frontends.lowering.ops_arguments import operand, required, stated
from costlens.frontends.lowering.ops_common import axes_of
from costlens.frontends.lowering.ops_linalg import vector_norm
from costlens.frontends.lowering.pooling import pool
from costlens.ir.ops import windows
from costlens.ir.types import promote

_ELEMENTWISE = (
    "Celu Elu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid Mish Relu Relu6 Selu "
    "Sigmoid Silu SoftShrink Softplus Softsign SparsePlus SparseSigmoid Squareplus TanhShrink "
    "Threshold"
).split()


def _elementwise(name: str) -> Lowering:
    fn = UNARY_ACTIVATIONS[re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()]

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        return b.unary(fn, call.x)

    return lowering


def _gelu(b: Builder, call: LayerCall) -> Tensor:
    """Keras's function approximates with tanh by default."""
    return b.unary("gelu_tanh" if call.config.get("approximate", True) else "gelu", call.x)


def _relu(b: Builder, call: LayerCall) -> Tensor:
    """``keras.activations.relu`` with its slope, ceiling and threshold."""
    config = call.config
    slope, threshold = config.get("negative_slope") or 0.0, config.get("threshold") or 0.0
    return relu(b, call.x, slope, config.get("max_value"), threshold)


def _glu(b: Builder, call: LayerCall) -> Tensor:
    """Older versions of Keras declare the input's shape, and return half of an axis."""
    x, axis = call.x, call.config.get("axis", -1) % call.x.rank
    if call.expected and call.expected[0][0][axis] == x.shape[axis]:
        raise Unreadable("Keras declares the input's shape for what is half of it")
    return glu(b, x, axis)


def _softmax(fn: str) -> Lowering:
    """Over one axis, several together, or (None) all of them."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        axis, x = call.config.get("axis", -1), call.x
        axes = axis % x.rank if isinstance(axis, int) else axes_of(axis, x.rank)
        return b.emit("softmax", (x,), label=fn, fn=fn, axis=axes)

    return lowering


# -- convolutions and pooling ----------------------------------------------------------------


def _settings(call: LayerCall, x: Tensor) -> dict[str, Any]:
    config, rank = call.config, x.rank - 2
    return {
        "strides": ntuple(config.get("strides", 1), rank),
        "padding": config.get("padding", "valid"),
        "dilation": ntuple(config.get("dilation_rate", 1), rank),
        "last": channels_last(config),
    }


def _conv(b: Builder, call: LayerCall) -> Tensor:
    """The kernel (*k, Cin/groups, Cout) is an argument; its depth tells the groups."""
    x = required(b, call, 0, "inputs")
    kernel = required(b, call, 1, "kernel")
    settings = _settings(call, x)
    groups = channels(x.shape, settings["last"]) // (kernel.shape[-2] or 1)
    return convolve(b, x, kernel, groups=groups, dtype=x.dtype, **settings)


def _depthwise_conv(b: Builder, call: LayerCall) -> Tensor:
    x = required(b, call, 0, "inputs")
    return depthwise(b, x, required(b, call, 1, "kernel"), dtype=x.dtype, **_settings(call, x))


def _separable_conv(b: Builder, call: LayerCall) -> Tensor:
    """Strides and dilation belong to the depthwise half."""
    x = required(b, call, 0, "inputs")
    deep, point = required(b, call, 1, "depthwise_kernel"), required(b, call, 2, "pointwise_kernel")
    settings = _settings(call, x)
    y = depthwise(b, x, deep, dtype=x.dtype, **settings)
    ones = (1,) * (x.rank - 2)
    return convolve(
        b,
        y,
        point,
        strides=ones,
        padding="valid",
        dilation=ones,
        last=settings["last"],
        label="pointwise_conv",
        dtype=x.dtype,
    )


def _conv_transpose(b: Builder, call: LayerCall) -> Tensor:
    """The kernel is (*k, Cout, Cin)."""
    x = required(b, call, 0, "inputs")
    kernel = required(b, call, 1, "kernel")
    rank, s = x.rank - 2, _settings(call, x)
    given = call.config.get("output_padding")
    extra = (None,) * rank if given is None else ntuple(given, rank)
    sizes, taps = spatial(x.shape, s["last"]), kernel.shape[:-2]
    return b.emit(
        "conv_transpose",
        (x, kernel),
        strides=s["strides"],
        crop=crops(sizes, taps, s["strides"], s["dilation"], s["padding"], extra),
        dilation=s["dilation"],
        channels_last=s["last"],
        dtype=x.dtype,
    )


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        config, x = call.config, call.x
        window = ntuple(config["pool_size"], x.rank - 2)
        given = config.get("strides")
        strides = window if given is None else ntuple(given, x.rank - 2)
        padding = config.get("padding", "valid")
        return pool(b, x, fn, window, strides, padding, channels_last(config))

    return lowering


def _adaptive_pool(fn: str) -> Lowering:
    """Keras 3.15 declares an axis too many for channels last; then what follows is unreadable."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x = call.x
        if call.expected and len(call.expected[0][0]) != x.rank:
            raise Unreadable("Keras declares another rank for this adaptive pooling than it gives")
        size, last = ntuple(call.config["output_size"], x.rank - 2), channels_last(call.config)
        label = f"adaptive_{fn}_pool"
        return b.emit("adaptive_pool", (x,), label=label, fn=fn, size=size, channels_last=last)

    return lowering


# -- normalisation ---------------------------------------------------------------------------


def _batch_norm(b: Builder, call: LayerCall) -> Tensor:
    """By statistics that are arguments; offset and scale are optional."""
    x = required(b, call, 0, "x")
    names = ("mean", "variance", "offset", "scale")
    stats = [operand(b, call, i, name) for i, name in enumerate(names, 1)]
    given = [x, *(s for s in stats if s is not None)]
    return b.emit("batch_norm", given, axis=call.config["axis"] % x.rank, dtype=x.dtype)


def _moments(b: Builder, call: LayerCall) -> list[Tensor]:
    """Mean and variance; half precision is computed in float32 and clipped back."""
    x, config = call.x, call.config
    half = x.dtype in ("float16", "bfloat16")
    wide = b.cast(x, "float32") if half else x
    axes = axes_of(config["axes"], x.rank)
    mean = b.reduce("mean", wide, axes, True)
    variance = b.reduce("mean", b.binary("squared_difference", wide, mean), axes, True)
    made = [b.cast(b.unary("clip", y), x.dtype) if half else y for y in (mean, variance)]
    if config.get("keepdims"):
        return made
    shape = [n for axis, n in enumerate(x.shape) if axis not in axes]
    return [b.reshape(y, shape) for y in made]


def _normalize(b: Builder, call: LayerCall) -> Tensor:
    """x / max(‖x‖ₚ, ε) along axes."""
    config, x = call.config, call.x
    axes, order = axes_of(config.get("axis", -1), x.rank), config.get("order", 2)
    dtype = stated(call, "float32")
    if order == 2:
        return b.emit("norm", (x,), label="normalize", fn="unit", axes=axes, dtype=dtype)
    size = b.binary("maximum", vector_norm(b, x, order, axes, True), 1e-7)
    return b.binary("divide", x, size, dtype)


def _own_norm(b: Builder, call: LayerCall, fn: str, scale: Any, center: Any) -> Tensor:
    """Normalisation in at least float32, returned in the input's dtype."""
    x = required(b, call, 0, "x")
    wide = b.cast(x, promote((x.dtype, "float32")))
    given = [wide, *(y for y in (scale, center) if y is not None)]
    axes = axes_of(call.config.get("axis", -1), x.rank)
    flags = {"scale": scale is not None, "center": center is not None}
    return b.cast(b.emit("norm", given, label=fn, fn=fn, axes=axes, **flags), x.dtype)


def _rms_norm(b: Builder, call: LayerCall) -> Tensor:
    """Root-mean-square normalisation (Zhang & Sennrich 2019)."""
    return _own_norm(b, call, "rms", operand(b, call, 1, "scale"), None)


def _layer_norm(b: Builder, call: LayerCall) -> Tensor:
    """Layer normalisation (Ba et al. 2016)."""
    gamma, beta = operand(b, call, 1, "gamma"), operand(b, call, 2, "beta")
    if call.config.get("rms_scaling"):
        return _variance_scaling(b, call, gamma)
    return _own_norm(b, call, "layer", gamma, beta)


def _variance_scaling(b: Builder, call: LayerCall, gamma: Tensor | None) -> Tensor:
    """The deprecated ``rms_scaling``: divide by the deviation without taking off the mean."""
    x = required(b, call, 0, "x")
    wide = b.cast(x, promote((x.dtype, "float32")))
    axes = axes_of(call.config.get("axis", -1), x.rank)
    variance = b.reduce("var", wide, axes, True)
    y = b.binary("multiply", wide, b.unary("rsqrt", b.binary("add", variance, 1e-7)))
    if gamma is not None:
        if gamma.rank != x.rank and axes != (x.rank - 1,):
            gamma = b.reshape(gamma, [n if a in axes else 1 for a, n in enumerate(x.shape)])
        y = b.binary("multiply", y, gamma, y.dtype)
    return b.cast(y, x.dtype)


# -- encodings, patches, complex numbers -----------------------------------------------------


def _one_hot(b: Builder, call: LayerCall) -> Tensor:
    """Zeros, and a one at each index: written, not computed."""
    config, x = call.config, call.x
    axis, count = config.get("axis", -1), int(config["num_classes"])
    at = axis if axis >= 0 else x.rank
    dtype = config.get("dtype") or "float32"
    return _hot(b, x, (*x.shape[:at], count, *x.shape[at:]), dtype, config)


def _hot(
    b: Builder, x: Tensor, shape: tuple[int, ...], dtype: str, config: Mapping[str, Any]
) -> Tensor:
    if config.get("sparse"):
        b.note("Sparse tensors are counted at their dense size.")
    return b.emit("fill", (x,), shape=shape, dtype=dtype, fn="one_hot")


def _multi_hot(b: Builder, call: LayerCall) -> Tensor:
    """One-hot rows, and their maximum over the first axis after the batch."""
    config, x = call.config, call.x
    axis, count = config.get("axis", -1), int(config["num_classes"])
    at, dtype = axis if axis >= 0 else x.rank, config.get("dtype") or "float32"
    y = _hot(b, x, (*x.shape[:at], count, *x.shape[at:]), dtype, config)
    fn = "any" if dtype == "bool" else "max"
    return b.reduce(fn, y, 1 if x.rank > 1 else 0, dtype=stated(call, x.dtype))


def _polar(b: Builder, call: LayerCall) -> Tensor:
    """r·cos θ + i·r·sin θ, which Keras declares as float32."""
    r, theta = required(b, call, 0, "abs_"), required(b, call, 1, "angle")
    parts = [b.binary("multiply", r, b.unary(fn, theta)) for fn in ("cos", "sin")]
    return b.rearrange("complex", parts, parts[0].shape, stated(call, "float32"))


def _unfold(b: Builder, call: LayerCall) -> Tensor:
    """(N, C, H, W) → (N, C·kH·kW, positions): patches copied."""
    config, x = call.config, call.x
    n, c, *sizes = x.shape
    taps, strides = ntuple(config["kernel_size"], 2), ntuple(config.get("stride", 1), 2)
    pads, dilation = ntuple(config.get("padding", 0), 2), ntuple(config.get("dilation", 1), 2)
    if any(pads):
        x = b.pad(x, ((0, 0), (0, 0), *((p, p) for p in pads)))
    counts = [
        windows(size, k, s, d, (p, p))
        for size, k, s, d, p in zip(sizes, taps, strides, dilation, pads, strict=True)
    ]
    return b.rearrange("patches", x, (n, c * taps[0] * taps[1], counts[0] * counts[1]))


def _fold(b: Builder, call: LayerCall) -> Tensor:
    """The inverse of unfold: patches added where they overlap, then the padding cut off."""
    config, x = call.config, call.x
    taps, pads = ntuple(config["kernel_size"], 2), ntuple(config.get("padding", 0), 2)
    size = ntuple(config["output_size"], 2)
    n, c = x.shape[0], x.shape[1] // (taps[0] * taps[1])
    padded = (n, c, size[0] + 2 * pads[0], size[1] + 2 * pads[1])
    y = b.emit("scatter", (x,), label="fold", shape=padded, fn="add")
    return b.slice(y, (n, c, *size), "without padding") if any(pads) else y


def _blocks(fn: str) -> Lowering:
    """Blocks of s × s positions and s² channels, exchanged."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, s, last = call.x, call.config["block_size"], channels_last(call.config)
        n, (h, w), c = x.shape[0], spatial(x.shape, last), channels(x.shape, last)
        if fn == "depth_to_space":
            h, w, c = h * s, w * s, c // (s * s)
        else:
            h, w, c = h // s, w // s, c * s * s
        return b.rearrange(fn, x, (n, h, w, c) if last else (n, c, h, w))

    return lowering


OPS: Mapping[str, Lowering] = {
    **{f"op:{name}": _elementwise(name) for name in _ELEMENTWISE},
    "op:AdaptiveAveragePool": _adaptive_pool("average"),
    "op:AdaptiveMaxPool": _adaptive_pool("max"),
    "op:AveragePool": _pool("average"),
    "op:BatchNorm": _batch_norm,
    "op:Conv": _conv,
    "op:ConvTranspose": _conv_transpose,
    "op:DepthToSpace": _blocks("depth_to_space"),
    "op:DepthwiseConv": _depthwise_conv,
    "op:Fold": _fold,
    "op:Gelu": _gelu,
    "op:Glu": _glu,
    "op:LayerNorm": _layer_norm,
    "op:LogSoftmax": _softmax("log_softmax"),
    "op:MaxPool": _pool("max"),
    "op:Moments": _moments,
    "op:MultiHot": _multi_hot,
    "op:Normalize": _normalize,
    "op:OneHot": _one_hot,
    "op:Polar": _polar,
    "op:RMSNorm": _rms_norm,
    "op:ReLU": _relu,
    "op:SeparableConv": _separable_conv,
    "op:Softmax": _softmax("softmax"),
    "op:SpaceToDepth": _blocks("space_to_depth"),
    "op:Sparsemax": lambda b, call: sparsemax(b, call.x, call.config.get("axis", -1)),
    "op:Unfold": _unfold,
}
