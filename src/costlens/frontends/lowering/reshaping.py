"""Layers that move data: views, permutation, repetition, cropping, padding, upsampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree, map_leaves
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import Pairs, channels_last, ntuple, spatial
from costlens.frontends.lowering.policy import computed
from costlens.ir.ops import spatial_axes


def nothing(b: Builder, call: LayerCall) -> Tensor:
    """A layer that returns its input: a view."""
    return b.identity(call.x)


def _identity(b: Builder, call: LayerCall) -> Tree:
    """Identity, of one tensor or of a tree of them."""
    return map_leaves(
        lambda x: Tensor(b.identity(x).id, x.type, x.mask) if isinstance(x, Tensor) else x,
        call.arg(0, "inputs"),
    )


def _flatten(b: Builder, call: LayerCall) -> Tensor:
    """(B, …) as (B, n); with channels first the channels are brought last before."""
    x = call.x
    if not channels_last(call.config) and x.rank > 2:
        x = b.transpose(x, (0, *range(2, x.rank), 1))
    return b.reshape(x, (x.shape[0], x.type.size // x.shape[0] if x.shape[0] else 0))


def _reshape(b: Builder, call: LayerCall) -> Tensor:
    """(B, *target_shape), where one target size may be open."""
    x, target = call.x, [-1 if n is None else int(n) for n in call.config["target_shape"]]
    return b.reshape(x, (x.shape[0], *target))


def _permute(b: Builder, call: LayerCall) -> Tensor:
    return b.transpose(call.x, (0, *call.config["dims"]))


def _repeat_vector(b: Builder, call: LayerCall) -> Tensor:
    """(B, F) repeated to (B, n, F)."""
    x = call.x
    batch, features = x.shape
    repeated = (batch, call.config["n"], features)
    return b.broadcast(b.reshape(x, (batch, 1, features)), repeated)


def _pairs(given: Any, axes: int) -> Pairs:
    """A config's cropping or padding as (before, after) per spatial axis."""
    if axes == 1:
        return ((int(given), int(given)),) if isinstance(given, int) else (_pair(given),)
    return tuple(_pair(pair) for pair in ((given,) * axes if isinstance(given, int) else given))


def _pair(value: Any) -> tuple[int, int]:
    before, after = ntuple(value, 2)
    return before, after


def _zero_padding(b: Builder, call: LayerCall) -> Tensor:
    x = call.x
    axes = spatial_axes(x.rank, channels_last(call.config))
    pads = [(0, 0)] * x.rank
    for axis, pair in zip(axes, _pairs(call.config["padding"], len(axes)), strict=True):
        pads[axis] = pair
    return b.pad(x, pads)


def _cropping(b: Builder, call: LayerCall) -> Tensor:
    x, shape = call.x, list(call.x.shape)
    axes = spatial_axes(x.rank, channels_last(call.config))
    cuts = _pairs(call.config["cropping"], len(axes))
    for axis, (before, after) in zip(axes, cuts, strict=True):
        shape[axis] -= before + after
        if shape[axis] <= 0:
            raise ValueError(f"cropping {cuts} leaves nothing of {x.shape}")
    return b.slice(x, shape, f"cropping {cuts}")


def resize(
    b: Builder, x: Tensor, size: tuple[int, ...], method: str, last: bool, antialias: bool = False
) -> Tensor:
    """Interpolation to a spatial size; nearest computes nothing."""
    return b.emit(
        "resize",
        (x,),
        label="resize",
        method=method,
        size=size,
        channels_last=last,
        **({"antialias": True} if antialias else {}),
    )


def _up_sampling(b: Builder, call: LayerCall) -> Tensor:
    x, last = call.x, channels_last(call.config)
    sizes = spatial(x.shape, last)
    factors = ntuple(call.config.get("size", 2), len(sizes))
    method = str(call.config.get("interpolation") or "nearest").lower()
    return resize(b, x, tuple(n * f for n, f in zip(sizes, factors, strict=True)), method, last)


LAYERS: Mapping[str, Lowering] = {
    "layer:Identity": _identity,
    "layer:Flatten": _flatten,
    "layer:Reshape": _reshape,
    "layer:Permute": _permute,
    "layer:RepeatVector": computed(_repeat_vector),
    **{f"layer:ZeroPadding{n}D": computed(_zero_padding) for n in (1, 2, 3)},
    **{f"layer:Cropping{n}D": computed(_cropping) for n in (1, 2, 3)},
    **{f"layer:UpSampling{n}D": computed(_up_sampling) for n in (1, 2, 3)},
}
