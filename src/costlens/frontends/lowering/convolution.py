"""Convolutions: plain, grouped, dilated, depthwise, separable, transposed; 1-D, 2-D, 3-D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.activations import activate
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import (
    channels,
    channels_last,
    ntuple,
    padding_pairs,
    spatial,
)
from costlens.ir.types import Shape


def bias_add(b: Builder, x: Tensor, bias: Tensor, last: bool = True) -> Tensor:
    """Add a bias per channel; with channels first the bias is viewed as (C, 1, …)."""
    if not last and x.rank > 2:
        bias = b.reshape(bias, (*bias.shape, *(1,) * (x.rank - 2)))
    return b.emit("binary", (x, bias), label="bias_add", fn="add", **_keep(x, bias))


def _keep(x: Tensor, bias: Tensor) -> dict[str, str]:
    return {} if x.dtype == bias.dtype else {"dtype": x.dtype}


def convolve(
    b: Builder,
    x: Tensor,
    kernel: Tensor,
    *,
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int],
    groups: int = 1,
    last: bool = True,
    label: str = "conv",
    dtype: str | None = None,
) -> Tensor:
    """One ``conv`` node under Keras's padding rules; causal padding is an op of its own.

    ``dtype`` of the result, where it is not what the operands promote to.
    """
    taps = kernel.shape[:-2]
    if padding == "causal":
        before = (taps[0] - 1) * dilation[0]
        pads = ((0, 0), (before, 0), (0, 0)) if last else ((0, 0), (0, 0), (before, 0))
        x = b.pad(x, pads) if before else x
        padding = "valid"
    pairs = padding_pairs(padding, spatial(x.shape, last), taps, strides, dilation)
    dtype = dtype or b.dtype_of(x, kernel)
    return b.emit(
        "conv",
        (x, kernel),
        label=label,
        strides=tuple(strides),
        padding=pairs,
        dilation=tuple(dilation),
        groups=groups,
        channels_last=last,
        **({} if dtype == x.dtype else {"dtype": dtype}),
    )


def depthwise(
    b: Builder,
    x: Tensor,
    kernel: Tensor,
    *,
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int],
    last: bool = True,
    dtype: str | None = None,
) -> Tensor:
    """A depthwise convolution: one with as many groups as channels.

    Keras's kernel (*k, C, m) is viewed as (*k, 1, C·m).
    """
    *taps, cin, multiplier = kernel.shape
    dtype = dtype or b.dtype_of(x, kernel)  # a view of a weight is no weight: it would not autocast
    kernel = b.reshape(kernel, (*taps, 1, cin * multiplier))
    return convolve(
        b,
        x,
        kernel,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=cin,
        last=last,
        label="depthwise_conv",
        dtype=dtype,
    )


def _settings(config: Mapping[str, Any], rank: int) -> dict[str, Any]:
    return {
        "strides": ntuple(config.get("strides", 1), rank),
        "padding": config.get("padding", "valid"),
        "dilation": ntuple(config.get("dilation_rate", 1), rank),
        "last": channels_last(config),
    }


def _finish(b: Builder, call: LayerCall, x: Tensor, filters: int) -> Tensor:
    """Bias and activation, as every convolution ends."""
    if call.config.get("use_bias", True):
        x = bias_add(b, x, b.weight("bias", (filters,)), channels_last(call.config))
    return activate(b, call.config.get("activation"), x)


def with_lora(b: Builder, call: LayerCall, kernel: Tensor) -> Tensor:
    """A LoRA-enabled kernel: kernel + (α/r)·A·B (Hu et al. 2021); A is (…, Cin, r), B (r, Cout)."""
    rank = call.config.get("lora_rank")
    if not rank:
        return kernel
    a = b.weight("lora_kernel_a", (*kernel.shape[:-1], rank), "float32")
    bb = b.weight("lora_kernel_b", (rank, kernel.shape[-1]), "float32")
    letters = "abcdefgh"[: len(kernel.shape) - 1]
    delta = b.einsum(f"{letters}r,ro->{letters}o", a, bb, label="lora")
    scale = (call.config.get("lora_alpha") or rank) / rank
    return b.binary("add", kernel, b.binary("multiply", delta, scale))


def _conv(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    rank, last = x.rank - 2, channels_last(call.config)
    groups, filters = config.get("groups", 1), config["filters"]
    taps = ntuple(config["kernel_size"], rank)
    shape: Shape = (*taps, channels(x.shape, last) // groups, filters)
    kernel = with_lora(b, call, b.weight("kernel", shape, trainable=not config.get("lora_rank")))
    y = convolve(b, x, kernel, groups=groups, **_settings(config, rank))
    return _finish(b, call, y, filters)


def _depthwise_conv(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    rank, last = x.rank - 2, channels_last(call.config)
    multiplier, cin = config.get("depth_multiplier", 1), channels(x.shape, last)
    taps = ntuple(config["kernel_size"], rank)
    kernel = b.weight("kernel", (*taps, cin, multiplier))
    y = depthwise(b, x, kernel, **_settings(config, rank))
    return _finish(b, call, y, cin * multiplier)


def _separable_conv(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    rank, last = x.rank - 2, channels_last(call.config)
    multiplier, cin = config.get("depth_multiplier", 1), channels(x.shape, last)
    taps, filters = ntuple(config["kernel_size"], rank), config["filters"]
    deep = b.weight("depthwise_kernel", (*taps, cin, multiplier))
    point = b.weight("pointwise_kernel", (*(1,) * rank, cin * multiplier, filters))
    y = depthwise(b, x, deep, **_settings(config, rank))
    ones = (1,) * rank
    y = convolve(
        b,
        y,
        point,
        strides=ones,
        padding="valid",
        dilation=ones,
        last=last,
        label="pointwise_conv",
    )
    return _finish(b, call, y, filters)


def crops(
    sizes: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    output_padding: Sequence[int | None],
) -> tuple[tuple[int, int], ...]:
    """What Keras takes off the full output of a transposed convolution, per axis.

    Its sizes: "same" n·s, "valid" n·s + max(k-s, 0), and with ``output_padding`` o
    (n-1)·s + k - 2·p + o with p = ⌊k/2⌋ for "same", 0 for "valid"; k is the dilated kernel.
    """
    pairs = []
    for n, k, s, d, o in zip(sizes, taps, strides, dilation, output_padding, strict=True):
        k = (k - 1) * d + 1
        full = (n - 1) * s + k
        if o is None:
            out = n * s if padding == "same" else n * s + max(k - s, 0)
        else:
            out = full - 2 * (k // 2 if padding == "same" else 0) + o
        cut = full - out
        before = 0 if padding == "valid" or cut < 0 else cut // 2
        pairs.append((before, cut - before))
    return tuple(pairs)


def _conv_transpose(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    rank, last = x.rank - 2, channels_last(call.config)
    filters, taps = config["filters"], ntuple(config["kernel_size"], rank)
    kernel = b.weight("kernel", (*taps, filters, channels(x.shape, last)))
    settings = _settings(config, rank)
    given = config.get("output_padding")
    output_padding = (None,) * rank if given is None else ntuple(given, rank)
    crop = crops(
        spatial(x.shape, last),
        taps,
        settings["strides"],
        settings["dilation"],
        settings["padding"],
        output_padding,
    )
    y = b.emit(
        "conv_transpose",
        (x, kernel),
        strides=settings["strides"],
        crop=crop,
        dilation=settings["dilation"],
        channels_last=last,
        **_keep_compute(b, x),
    )
    return _finish(b, call, y, filters)


def _keep_compute(b: Builder, x: Tensor) -> dict[str, str]:
    return {} if b.policy.compute == x.dtype else {"dtype": b.policy.compute}


def _by_rank(prefix: str, suffix: str, ranks: str, lowering: Lowering) -> dict[str, Lowering]:
    return {f"layer:{prefix}{rank}D{suffix}": lowering for rank in ranks}


LAYERS: Mapping[str, Lowering] = {
    **_by_rank("Conv", "", "123", _conv),
    **_by_rank("DepthwiseConv", "", "12", _depthwise_conv),
    **_by_rank("SeparableConv", "", "12", _separable_conv),
    **_by_rank("Conv", "Transpose", "123", _conv_transpose),
}
