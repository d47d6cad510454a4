"""Pooling layers: windows, global, adaptive."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import channels_last, ntuple, padding_pairs, spatial


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        config, x = call.config, call.x
        last, rank = channels_last(call.config), call.x.rank - 2
        window = ntuple(config["pool_size"], rank)
        given = config.get("strides")
        strides = window if given is None else ntuple(given, rank)
        pairs = padding_pairs(
            config.get("padding", "valid"), spatial(x.shape, last), window, strides, (1,) * rank
        )
        return b.emit(
            "pool",
            (x,),
            label=f"{fn}_pool",
            fn=fn,
            window=window,
            strides=strides,
            padding=pairs,
            channels_last=last,
        )

    return lowering


def _global_pool(fn: str) -> Lowering:
    """One window over all positions; the unit axes go unless ``keepdims``."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, last = call.x, channels_last(call.config)
        window = spatial(x.shape, last)
        y = b.emit(
            "pool",
            (x,),
            label=f"global_{fn}_pool",
            fn=fn,
            window=window,
            strides=(1,) * len(window),
            padding=((0, 0),) * len(window),
            channels_last=last,
        )
        if call.config.get("keepdims"):
            return y
        return b.reshape(y, (x.shape[0], x.shape[-1] if last else x.shape[1]))

    return lowering


LAYERS: Mapping[str, Lowering] = {
    **{f"layer:MaxPooling{n}D": _pool("max") for n in (1, 2, 3)},
    **{f"layer:AveragePooling{n}D": _pool("average") for n in (1, 2, 3)},
    **{f"layer:GlobalMaxPooling{n}D": _global_pool("max") for n in (1, 2, 3)},
    **{f"layer:GlobalAveragePooling{n}D": _global_pool("average") for n in (1, 2, 3)},
}
