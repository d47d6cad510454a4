"""Pooling layers: windows, global, adaptive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import (
    channels,
    channels_last,
    ntuple,
    padding_pairs,
    spatial,
)
from costlens.frontends.lowering.policy import computed


def pool(
    b: Builder,
    x: Tensor,
    fn: str,
    window: Sequence[int],
    strides: Sequence[int],
    padding: str = "valid",
    last: bool = True,
    label: str = "",
) -> Tensor:
    """One ``pool`` node: ``fn`` is max or average; window and strides per spatial axis."""
    ones = (1,) * len(window)
    pairs = padding_pairs(padding, spatial(x.shape, last), window, strides, ones)
    return b.emit(
        "pool",
        (x,),
        label=label or f"{fn}_pool",
        fn=fn,
        window=tuple(window),
        strides=tuple(strides),
        padding=pairs,
        channels_last=last,
    )


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        config, x = call.config, call.x
        rank = x.rank - 2
        window = ntuple(config["pool_size"], rank)
        given = config.get("strides")
        strides = window if given is None else ntuple(given, rank)
        padding = config.get("padding", "valid")
        return pool(b, x, fn, window, strides, padding, channels_last(config))

    return lowering


def global_pool(b: Builder, x: Tensor, fn: str, last: bool, keepdims: bool) -> Tensor:
    """One window over all positions; the unit axes go unless ``keepdims``."""
    window = spatial(x.shape, last)
    y = pool(b, x, fn, window, (1,) * len(window), last=last, label=f"global_{fn}_pool")
    return y if keepdims else b.reshape(y, (x.shape[0], channels(x.shape, last)))


def _global_pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        keepdims = bool(call.config.get("keepdims"))
        return global_pool(b, call.x, fn, channels_last(call.config), keepdims)

    return lowering


def _global_average_pool_1d(b: Builder, call: LayerCall) -> Tensor:
    """With a mask (B, T) the mean is taken over the steps that the mask keeps."""
    x, last = call.x, channels_last(call.config)
    keepdims = bool(call.config.get("keepdims"))
    mask = call.arg(1, "mask") or (x.mask and x.mask())
    if not isinstance(mask, Tensor):
        return global_pool(b, x, "average", last, keepdims)
    axis = 1 if last else 2
    batch, steps = mask.shape
    kept = b.cast(b.reshape(mask, (batch, steps, 1) if last else (batch, 1, steps)), "bool")
    x = b.emit("select", (kept, x))
    total = b.reduce("sum", x, axis, keepdims)
    count = b.reduce("sum", b.cast(kept, x.dtype), axis, keepdims)
    return b.binary("divide", total, count)


def _adaptive_pool(fn: str) -> Lowering:
    """Pooling to a given size; windows differ by at most one element."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, last = call.x, channels_last(call.config)
        size = ntuple(call.config["output_size"], x.rank - 2)
        return b.emit(
            "adaptive_pool",
            (x,),
            label=f"adaptive_{fn}_pool",
            fn=fn,
            size=size,
            channels_last=last,
        )

    return lowering


_LAYERS: Mapping[str, Lowering] = {
    **{f"layer:MaxPooling{n}D": _pool("max") for n in (1, 2, 3)},
    **{f"layer:AveragePooling{n}D": _pool("average") for n in (1, 2, 3)},
    **{f"layer:GlobalMaxPooling{n}D": _global_pool("max") for n in (1, 2, 3)},
    **{f"layer:GlobalAveragePooling{n}D": _global_pool("average") for n in (2, 3)},
    "layer:GlobalAveragePooling1D": _global_average_pool_1d,
    **{f"layer:AdaptiveMaxPooling{n}D": _adaptive_pool("max") for n in (1, 2, 3)},
    **{f"layer:AdaptiveAveragePooling{n}D": _adaptive_pool("average") for n in (1, 2, 3)},
}

LAYERS: Mapping[str, Lowering] = {key: computed(fn) for key, fn in _LAYERS.items()}
